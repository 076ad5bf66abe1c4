"""What `fit` learns from, how it steps, which epoch it keeps, and what it refuses."""

from __future__ import annotations

import copy
import csv
import logging
import math
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn

from robust.cases import Cases
from robust.errors import InputError
from robust.models import Classifier
from robust.training.average import make_average, update_average
from robust.training.data import class_weights, steps_per_epoch
from robust.training.module import finished, merit
from robust.training.recipe import TrainingSpec
from robust.training.schedule import learning_rate, make_optimiser
from tests.training.tiny import (
    Watch,
    cases_of,
    chests,
    classifier,
    equal,
    network,
    recipe,
    run,
)


def test_under_their_weights_all_classes_count_the_same() -> None:
    labels = torch.tensor([0] * 6 + [1] * 3 + [2])
    weights = class_weights(labels, 3)
    assert weights.tolist() == pytest.approx([10 / 18, 10 / 9, 10 / 3])
    assert (weights * torch.bincount(labels)).tolist() == pytest.approx([10 / 3] * 3)


def one_step(tmp_path: Path, **training: Any) -> tuple[Tensor, Tensor]:
    """The bias of a linear network after one step of plain descent, as trained and as by hand.

    On black images with three cases of the first class and one of the second.
    """
    y = torch.tensor([0, 0, 0, 1])
    model = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(64, 2)), channels=1, head="softmax")
    nn.init.zeros_(model.network[1].bias)  # type: ignore[index, arg-type]
    sgd = {"optimiser": "sgd", "momentum": 0, "schedule": "constant", "lr": 1.0, "weight_decay": 0}
    run(
        tmp_path,
        recipe(training={**sgd, "epochs": 1, "batch": 4, **training}),
        classifier=model,
        train=cases_of(torch.zeros(4, 1, 8, 8), y),
        val=cases_of(torch.zeros(4, 1, 8, 8), y),
    )
    bias = torch.zeros(2, requires_grad=True)
    weights = class_weights(y, 2) if training.get("class_weights", True) else None
    smoothing = training.get("label_smoothing", 0.0)
    F.cross_entropy(bias.expand(4, 2), y, weights, label_smoothing=smoothing).backward()
    assert bias.grad is not None
    return model.network[1].bias.detach(), -bias.grad  # type: ignore[index, union-attr, return-value, operator]


@pytest.mark.parametrize("weighted", [True, False])
def test_a_step_goes_down_the_loss_that_the_recipe_names(weighted: bool, tmp_path: Path) -> None:
    """Weighed, classes of three and of one are even, and nothing is to be learnt from black."""
    found, expected = one_step(tmp_path / "plain", class_weights=weighted)
    assert torch.allclose(found, expected, atol=1e-6)
    assert torch.allclose(found, torch.tensor([0.0, 0.0] if weighted else [0.25, -0.25]), atol=1e-6)
    found, expected = one_step(tmp_path / "smooth", class_weights=weighted, label_smoothing=0.2)
    assert torch.allclose(found, expected, atol=1e-6)


def rates(total: int = 10, per_epoch: int = 1, **spec: Any) -> list[float]:
    told = TrainingSpec(epochs=total // per_epoch, lr=1.0, **spec)
    return [learning_rate(told, step, per_epoch) for step in range(total)]


def test_learning_rates() -> None:
    assert rates(schedule="constant") == [1.0] * 10
    assert rates(4, schedule="cosine") == pytest.approx(
        [1, 0.5 + math.sqrt(0.125), 0.5, 0.5 - math.sqrt(0.125)]
    )
    assert rates(10, 5, schedule="constant", warmup=0.8)[:5] == pytest.approx(
        [0.25, 0.5, 0.75, 1, 1]
    )
    warm = rates(12, 6, schedule="cosine", warmup=2 / 3)
    assert warm[:4] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert warm[4:] == pytest.approx(rates(8, schedule="cosine"))
    cycle = rates(20, schedule="onecycle")
    assert cycle[0] == pytest.approx(1 / 25) and cycle[6] == pytest.approx(1.0)
    assert cycle[3] == pytest.approx((1 + 1 / 25) / 2)
    assert cycle[13] == pytest.approx((1 + 1e-4) / 2) and 0 < cycle[19] < 0.02
    assert sorted(cycle[:7]) == cycle[:7] and sorted(cycle[6:], reverse=True) == cycle[6:]


class Rates(Callback):
    """The learning rate that each step was made with."""

    def __init__(self) -> None:
        self.found: list[float] = []

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        self.found += [group["lr"] for group in optimizer.param_groups[:1]]


def test_each_step_is_made_with_its_rate_and_the_history_says_the_last(tmp_path: Path) -> None:
    how, seen = recipe(training={"warmup": 0.5, "epochs": 2}), Rates()
    fitted = run(tmp_path, how, seen)
    assert steps_per_epoch(24, 8) == 3 and len(seen.found) == 6
    assert seen.found == [learning_rate(how.training, step, 3) for step in range(6)]
    assert [row["lr"] for row in fitted.history] == [seen.found[2], seen.found[5]]


def test_weights_of_matrices_alone_decay() -> None:
    groups = make_optimiser(network(), TrainingSpec(weight_decay=0.3)).param_groups
    decays = {p.ndim: group["weight_decay"] for group in groups for p in group["params"]}
    assert decays == {4: 0.3, 2: 0.3, 1: 0.0}
    assert sum(len(group["params"]) for group in groups) == len(list(network().parameters()))
    kind = make_optimiser(network(), TrainingSpec(optimiser="sgd", momentum=0.7))
    assert isinstance(kind, torch.optim.SGD) and kind.param_groups[0]["momentum"] == 0.7


def test_the_average_moves_by_its_decay_and_copies_batch_statistics() -> None:
    model = network()
    average = make_average(model)
    with torch.no_grad():
        for p in model.parameters():
            p.fill_(1.0)
        for p in average.parameters():
            p.fill_(0.0)
        model[1].running_mean.fill_(3.0)  # type: ignore[union-attr, operator]
    for step, value in ((1, 1 - 2 / 11), (2, 1 - 2 / 11 * 3 / 12)):
        update_average(average, model, 0.9, step)
        assert {round(float(v), 5) for p in average.parameters() for v in p.flatten()} == {
            round(value, 5)
        }
    update_average(average, model, 0.2, 10_000)
    assert float(average[0].weight[0, 0, 0, 0]) == pytest.approx(1 - 2 / 11 * 0.25 * 0.2)  # type: ignore[index]
    assert bool((average[1].running_mean == 3.0).all())  # type: ignore[index, union-attr]
    assert not average.training and not any(p.requires_grad for p in average.parameters())


def test_val_sees_and_the_best_is_the_average(tmp_path: Path) -> None:
    watch, how = Watch(), recipe(training={"epochs": 1, "average": 0.5})
    fitted = run(tmp_path, how, watch)
    expected = {k: v.double() for k, v in network().state_dict().items()}
    for step, state in enumerate(watch.steps, 1):
        keep = min(0.5, (1 + step) / (10 + step))
        for name in expected:
            expected[name] = keep * expected[name] + (1 - keep) * torch.as_tensor(state[name])
    for name, value in fitted.state.items():
        if "running" not in name and "tracked" not in name:
            assert torch.allclose(value.double(), expected[name], atol=1e-6), name
    assert not torch.equal(fitted.state["0.weight"], torch.as_tensor(watch.steps[-1]["0.weight"]))
    val, judge = chests("val", 12), classifier().eval()
    judge.network.load_state_dict(fitted.state)
    with torch.no_grad():
        logits = judge(torch.stack([val[i].image for i in range(12)]))
    labels = torch.tensor([entry.label for entry in val.entries])
    row = fitted.history[0]
    assert row["val_loss"] == pytest.approx(float(F.cross_entropy(logits, labels)), rel=1e-5)
    assert row["val_accuracy"] == pytest.approx(float((logits.argmax(1) == labels).float().mean()))


def test_the_best_epoch_is_kept_and_patience_ends(tmp_path: Path) -> None:
    """Val says the opposite of train: the more is learnt, the worse it looks."""
    y = torch.arange(24) % 2
    x = (0.5 + 0.1 * (2.0 * y - 1)).view(24, 1, 1, 1).expand(24, 1, 8, 8)
    model = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(64, 2)), channels=1, head="softmax")
    with torch.no_grad():
        for p in model.network.parameters():
            p.zero_()
    watch = Watch()
    how = recipe(training={"epochs": 9, "patience": 2, "schedule": "constant"})
    cases = {"train": cases_of(x, y), "val": cases_of(x, 1 - y)}
    fitted = run(tmp_path, how, watch, classifier=model, **cases)
    assert fitted.best_epoch == 1 and fitted.epochs == len(fitted.history) == 3
    losses = [row["val_loss"] for row in fitted.history]
    assert losses == sorted(losses) and losses[0] < losses[2]
    first = {name: torch.as_tensor(value) for name, value in watch.steps[2].items()}
    assert equal(fitted.state, first) and equal(dict(model.network.state_dict()), first)
    assert not model.training
    again = Watch()
    assert run(tmp_path, how, again, classifier=copy.deepcopy(model), **cases).epochs == 3
    assert not again.steps


def test_which_epoch_is_better() -> None:
    row = {"val_auc": 0.8, "val_loss": 1.0}
    assert merit({**row, "val_auc": 0.81, "val_loss": 2.0}) > merit(row)
    assert merit({**row, "val_loss": 0.9}) > merit(row)
    assert not merit(row) > merit(row)
    hard = {**row, "val_robust_accuracy": 0.5}
    assert merit({**hard, "val_robust_accuracy": 0.6, "val_auc": 0.1}) > merit(hard)
    how = recipe(training={"epochs": 5, "patience": 2})
    assert [finished(how, [row] * n, 0) for n in (1, 2, 3)] == [False, False, True]
    assert not finished(how, [row] * 4, 2) and finished(how, [row] * 5, 4)
    assert not finished(recipe(training={"epochs": 5}), [row] * 4, 0)


class Spoil(Callback):
    """Lets the network's weights overflow after a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *args: Any) -> None:
        if trainer.global_step == self.step:
            with torch.no_grad():
                next(pl_module.classifier.parameters()).fill_(float("nan"))


@pytest.mark.parametrize("step", [1, 3])
@pytest.mark.parametrize("average", [0.0, 0.9])
def test_a_loss_that_is_no_number_ends_it_in_one_line(
    step: int, average: float, tmp_path: Path
) -> None:
    """After the first step train tells; after the epoch's last one val alone could."""
    how = recipe(training={"average": average})
    said = r"the loss is not a number in epoch 1; lower lr \(it is 0\.003\) or lengthen the warmup"
    with pytest.raises(InputError, match=said) as refused:
        run(tmp_path, how, Spoil(step))
    assert len(str(refused.value).splitlines()) == 1
    assert not list((tmp_path / "checkpoints").glob("*.ckpt"))


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("classes", "train has the classes normal, opacity, val one, two"),
        ("train", r"train has cases of 1 class only \(2 cases\)"),
        ("val", r"val has cases of 1 class only \(2 cases\)"),
        ("devices", "devices must be 1 or more, not 0"),
        ("many", "9 devices are too many for this batch size"),
        ("float16", "precision float16 needs a GPU"),
        ("outputs", r"the network has 3 classes, the data 2 \(normal, opacity\)"),
        ("sizes", r"the images differ in size \(32x32, 40x40\)"),
    ],
)
def test_what_cannot_be_trained_is_refused_in_one_line(
    what: str, said: str, tmp_path: Path
) -> None:
    how, options = recipe(training={"epochs": 1}), {}
    if what == "classes":
        options["val"] = cases_of(torch.zeros(8, 1, 32, 32), torch.arange(8) % 2)
    elif what in ("train", "val"):
        options[what] = chests(what)[:2]
    elif what == "devices":
        options["devices"] = 0
    elif what == "many":
        options["devices"] = 9
    elif what == "float16":
        how = recipe(training={"precision": "float16"})
    elif what == "outputs":
        net = nn.Sequential(nn.Flatten(), nn.Linear(1024, 3))
        options["classifier"] = Classifier(net, channels=1, size=32, head="softmax")
    else:
        pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1, 2))
        options["classifier"] = Classifier(pool, channels=1, head="softmax")
        options["train"] = mixed("size")
    with pytest.raises(InputError, match=said) as refused:
        run(tmp_path, how, **options)
    assert len(str(refused.value).splitlines()) == 1


def mixed(how: str, split: str = "train") -> Cases:
    """Phantoms of which the last third differ: in size, or in being colour."""
    cases = chests(split)

    def read(where: Any) -> Any:
        pixels = cases.read(where)
        if where[2] % 1_000_000 < 16:
            return pixels
        return np.pad(pixels, 4) if how == "size" else pixels[:, :, None].repeat(3, 2)

    return replace(cases, read=read)


def test_grey_images_among_colour_ones_are_trained_on(tmp_path: Path) -> None:
    """Attacked ones too: colour that is read as grey is the same image."""
    how = recipe(
        training={"epochs": 1, "batch": 24},
        adversarial={"method": "pgd-at", "eps": 0.03, "steps": 1},
    )
    net = Classifier(network(norm=False), channels=1, size=32, head="softmax")
    cases = {"train": mixed("colour"), "val": mixed("colour", "val")}
    row = run(tmp_path, how, classifier=net, **cases).history[0]
    assert 0 <= row["val_robust_accuracy"] <= row["val_accuracy"]


def test_the_callers_random_numbers_and_logging_are_left_alone(tmp_path: Path) -> None:
    logger = logging.getLogger("lightning.pytorch")
    before, level = torch.get_rng_state(), logger.level
    with warnings.catch_warnings():
        filters = list(warnings.filters)
        run(tmp_path, recipe(training={"epochs": 1}))
        assert warnings.filters == filters
    assert torch.equal(torch.get_rng_state(), before) and logger.level == level


def test_it_is_silent_and_logs_every_epoch(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    fitted = run(tmp_path, recipe(training={"epochs": 2}))
    shown = capfd.readouterr()
    assert shown.out == shown.err == "" and not recwarn.list
    with (tmp_path / "logs" / "epochs.csv").open(encoding="utf-8") as file:
        written = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]
    assert written == fitted.history
    assert list((tmp_path / "logs").glob("events.out.tfevents.*"))
