"""A new head stands on any network, and weights go around it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from detectors.features import Extractor, find_layers
from robust.errors import InputError
from robust.models import Classifier
from robust.models.heads import Head, make_network

NETWORKS = (
    *("torchvision:squeezenet1_1", "torchvision:mobilenet_v3_small", "torchvision:resnet18"),
    *("torchvision:shufflenet_v2_x0_5", "timm:resnet10t", "timm:mobilenetv3_small_050"),
    *("timm:convnext_atto", "torchvision:mnasnet0_5"),
)
SMALL = "torchvision:squeezenet1_1"


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("kind", ["plain", "ma2021"])
def test_a_head_on_a_network(name: str, kind: str) -> None:
    network, _ = make_network(name, Head(3, kind, hidden=16), seed=0)
    classifier = Classifier(network.eval(), head="softmax")
    x = torch.rand(2, 3, 64, 64)
    assert classifier(x).shape == (2, 3)
    layers = find_layers(classifier, x)
    assert len(layers) >= 4
    if kind == "ma2021":
        features = Extractor(classifier, layers)(x)
        assert features.deep.shape == (2, 16)
        # The last layer is linear on those features, and nothing stands between.
        last = [m for m in network.modules() if isinstance(m, torch.nn.Linear)][-1]
        assert torch.allclose(last(features.deep), features.logits, atol=1e-5)


def test_a_seed_makes_the_same_network_and_leaves_other_draws_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    one, _ = make_network(SMALL, Head(2), seed=1)
    assert torch.equal(torch.rand(3), expected)
    two, _ = make_network(SMALL, Head(2), seed=1)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters()))


def test_logits_of_a_convolutional_classifier_may_fall_below_zero() -> None:
    network, _ = make_network(SMALL, Head(50), seed=0)
    assert (network.eval()(torch.rand(2, 3, 64, 64)) < 0).any()


@pytest.mark.parametrize("outputs", [1000, 7, None])
def test_weights_with_another_head_or_none_keep_their_features(outputs: int | None) -> None:
    import torchvision.models

    made = torchvision.models.resnet18(num_classes=outputs or 3)
    state = made.state_dict()
    if outputs is None:
        state = {name: value for name, value in state.items() if not name.startswith("fc.")}
    network, _ = make_network("torchvision:resnet18", Head(3, "ma2021"), state=state, seed=0)
    own = network.state_dict()
    assert all(torch.equal(own[n], v) for n, v in state.items() if not n.startswith("fc."))
    assert own["fc.logits.weight"].shape == (3, 128)


def test_weights_of_an_earlier_training_keep_their_head() -> None:
    head = Head(3, "ma2021")
    before, _ = make_network(SMALL, head, seed=0)
    after, _ = make_network(SMALL, head, state=before.state_dict(), seed=9)
    assert all(torch.equal(a, b) for a, b in zip(before.parameters(), after.parameters()))


def test_weights_of_another_network() -> None:
    state = make_network("torchvision:resnet18", Head(2), seed=0)[0].state_dict()
    with pytest.raises(InputError, match=r"my\.pth does not fit the architecture"):
        make_network(SMALL, Head(2), state=state, source=Path("my.pth"))


def test_first_weights_in_a_checkpoint(caplog: pytest.LogCaptureFixture) -> None:
    state = {n: v + 1 if v.is_floating_point() else v for n, v in _small_state().items()}
    wrapped = {f"model.{name}": value for name, value in state.items()}
    wrapped["criterion.pos_weight"] = torch.ones(1)
    found = make_network(SMALL, Head(2), state=wrapped, seed=0)[0].state_dict()
    assert all(torch.equal(v, state[n]) for n, v in found.items() if n in state)
    assert "criterion.pos_weight" in caplog.text
    two = {f"{who}.{n}": v for who in ("student", "teacher") for n, v in state.items()}
    with pytest.raises(InputError, match="2 networks whose names begin with"):
        make_network(SMALL, Head(2), state=two)


def _small_state() -> dict[str, torch.Tensor]:
    return make_network(SMALL, Head(2), seed=0)[0].state_dict()


def test_a_network_with_two_heads_is_refused() -> None:
    with pytest.raises(InputError, match="does not end in one linear layer"):
        make_network("timm:deit_tiny_distilled_patch16_224", Head(2))
