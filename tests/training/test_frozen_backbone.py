"""Training of the head alone: nothing else moves by a bit, and the head is logistic regression."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from torch import nn

from robust.errors import InputError
from robust.models import Classifier
from robust.models.heads import Head, layers_of_head, put_head
from robust.models.networks.gist import GistNetwork
from robust.training.data import Images
from robust.training.frozen_backbone.features import freeze_backbone, kept_features
from robust.training.recipe import Recipe
from tests.training.tiny import chests, classifier, equal, network, recipe, rows, run

PLAIN = recipe(training={"epochs": 4, "freeze": True, "average": 0.5})
CHANGED = recipe(training={"freeze": True}, augmentation={"brightness": 0.2})
ATTACKED = recipe(
    training={"freeze": True, "epochs": 1},
    adversarial={"method": "pgd-at", "eps": "1/255", "steps": 1},
)


@pytest.mark.parametrize("told", [PLAIN, CHANGED, ATTACKED], ids=["kept", "changed", "attacked"])
def test_only_the_head_moves(told: Recipe, tmp_path: Path) -> None:
    before = network().state_dict()
    after = run(tmp_path, told).state
    assert before.keys() == after.keys()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == {"8.weight", "8.bias"} or moved == {"7.weight", "7.bias"}


class Stop(Callback):
    def on_train_batch_end(self, trainer: object, pl_module: object, *args: object) -> None:
        if getattr(trainer, "current_epoch") == 2:  # noqa: B009
            raise KeyboardInterrupt


def test_one_that_was_cut_short_ends_in_the_same_weights(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole", PLAIN)
    with pytest.raises(BaseException):  # noqa: B017
        run(tmp_path / "cut", PLAIN, Stop())
    again = run(tmp_path / "cut", PLAIN)
    assert equal(again.state, whole.state) and rows(again) == rows(whole)


def test_kept_features_are_what_the_head_is_given() -> None:
    adapter = classifier().eval()
    head = freeze_backbone(adapter)
    images = Images(chests(), adapter)
    kept = kept_features(adapter, images, head)
    assert kept is not None
    x, _ = images.batch(torch.arange(len(images)))
    with torch.no_grad():
        assert torch.allclose(adapter(x / 255), head(kept), atol=1e-5)
    after = nn.Sequential(network(), nn.ReLU())  # more than a head
    other = Classifier(after, mean=0.5, std=0.25, channels=1, size=32, head="softmax").eval()
    assert kept_features(other, images, freeze_backbone(other)) is None


def test_the_layers_of_a_head_of_two() -> None:
    net = network()
    put_head(net, Head(2, "ma2021", hidden=5))
    kinds = [type(layer) for layer in layers_of_head(net)]
    assert kinds == [nn.Linear, nn.Dropout, nn.Linear]


@pytest.mark.slow
def test_the_head_is_a_logistic_regression(tmp_path: Path) -> None:
    from sklearn.linear_model import LogisticRegression

    torch.manual_seed(0)
    adapter = Classifier(GistNetwork(2), channels=3, size=32, head="softmax")
    decay, cases = 0.05, chests()
    told = recipe(
        training={
            "freeze": True,
            "optimiser": "sgd",
            "lr": 0.3,
            "weight_decay": decay,
            "batch": 24,
            "repeats": 1000,
            "epochs": 1,
            "class_weights": False,
        }
    )
    fitted = run(tmp_path, told, classifier=adapter, train=cases)
    images = Images(cases, adapter)
    x, y = images.batch(torch.arange(len(images)))
    with torch.no_grad():
        features = adapter.network.features(adapter.network_input(x / 255)).numpy()  # type: ignore[operator]
    # Two rows w and -w have twice the square of w, and their logits differ by 2 w.
    exact = LogisticRegression(C=2 / (decay * len(y)), tol=1e-8, max_iter=2000)
    exact.fit(features, y.numpy())
    weight, bias = fitted.state["head.weight"], fitted.state["head.bias"]
    ours = features @ (weight[1] - weight[0]).numpy() + float(bias[1] - bias[0])
    signs = 2 * y.numpy() - 1

    def loss(odds: np.ndarray, squares: float) -> float:
        return float(np.logaddexp(0, -signs * odds).mean() + decay / 2 * squares)

    best = loss(exact.decision_function(features), float((exact.coef_**2).sum()) / 2)
    found = loss(ours, float(weight.square().sum()))
    assert best - 1e-6 <= found < 1.02 * best


def test_what_cannot_be_frozen_is_one_line() -> None:
    with pytest.raises(InputError, match="freeze is for networks of images"):
        recipe(training={"freeze": True}, network={"architecture": "t", "bag": {"tile": 8}})
