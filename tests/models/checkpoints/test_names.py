"""Names in state dicts: wrappers, old names, other heads, and what lies beside a network."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from robust.errors import InputError
from robust.models.checkpoints.names import fits
from robust.models.weights import load_strictly
from tests.models.nets import small, wrapped

BEGINNINGS = (
    *("model.", "module.", "backbone.", "encoder.", "_model.", "student.", "net.", "network."),
    *("module.densenet121.", "_orig_mod.", "module._orig_mod.", "model._orig_mod.module."),
    *("module.module.", "ema_model.module.", "base_model.model.", "my_own.very.deep.name."),
    *("clf.0.", "features.", "0.", "_forward_module.model.", "_fsdp_wrapped_module."),
)


def shifted() -> dict[str, Tensor]:
    return {k: v + 1 if v.is_floating_point() else v for k, v in small().state_dict().items()}


def loaded(state: dict[str, Tensor], network: nn.Module | None = None) -> tuple[nn.Module, str]:
    network = network or small()
    return network, "; ".join(load_strictly(network, state, "w.pth"))


@pytest.mark.parametrize("beginning", BEGINNINGS)
def test_any_common_beginning_is_taken_off(beginning: str) -> None:
    network, said = loaded(wrapped(shifted(), beginning))
    assert all(torch.equal(v, shifted()[k]) for k, v in network.state_dict().items())
    assert said == ""


@pytest.mark.parametrize("beginning", ["", "model.", "backbone."])
@pytest.mark.parametrize(
    "name",
    [
        *("criterion.pos_weight", "loss.weight", "loss_fn.weight", "train_acc.tp", "pos_weight"),
        *("val_auroc.measure.bins", "metrics.f1.tp", "n_averaged", "class_weights", "total_ops"),
        *("val_acc_best.value", "val_precision.tp", "bce.pos_weight", "ce.weight"),
        *("optimizer.state", "ema_decay", "train_loss.value", "epoch", "test_accuracy.total"),
    ],
)
def test_strangers_are_left_out_and_said(beginning: str, name: str) -> None:
    state = {**wrapped(shifted(), beginning), name: torch.tensor([3.2])}
    network, said = loaded(state)
    assert all(torch.equal(v, shifted()[k]) for k, v in network.state_dict().items())
    assert name.partition(".")[0] in said and "not part of the network" in said


@pytest.mark.parametrize(
    "name",
    [
        *("extra.bias", "neck.conv.weight", "normalize.mean", "mean", "temperature", "age.weight"),
        *("head2.weight", "attention.weight", "lossless.weight", "steps_conv.weight"),
    ],
)
def test_what_may_belong_to_the_network_is_refused(name: str) -> None:
    for beginning in ("", "model."):
        with pytest.raises(InputError, match=rf"unknown to the network, \S*{re.escape(name)}"):
            loaded({**wrapped(shifted(), beginning), name: torch.zeros(1)})


def test_strangers_beside_an_incomplete_network_change_nothing() -> None:
    state = wrapped(shifted(), "model.")
    del state["model.conv.weight"]
    with pytest.raises(InputError, match=r"lacks conv\.weight \(1 missing"):
        loaded({**state, "criterion.pos_weight": torch.ones(1)})


@pytest.mark.parametrize("name", ["AuxLogits.fc.weight", "aux1.conv.weight", "head_dist.weight"])
def test_heads_of_training_are_left_out_and_said(name: str) -> None:
    _, said = loaded({**shifted(), name: torch.zeros(1)})
    assert name.rpartition(".")[0] in said and "training alone" in said


@pytest.mark.parametrize(
    ("here", "there"),
    [
        ("head.", "head.0."),
        ("head.", "head.1."),
        ("head.", "fc."),
        ("head.", "classifier.1."),
        ("head.", "my_classifier_is.classifier."),
    ],
)
@pytest.mark.parametrize("beginning", ["", "backbone."])
def test_a_head_under_another_name(beginning: str, here: str, there: str) -> None:
    state = {}
    for name, value in shifted().items():
        inside = name.startswith(here)
        own = there + name.removeprefix(here) if inside else name
        state[own if inside and there[0] != "h" else beginning + own] = value
    network, said = loaded(state)
    assert all(torch.equal(v, shifted()[k]) for k, v in network.state_dict().items())
    assert there.rstrip(".") in said and "last layer" in said


def test_a_head_out_of_its_sequential() -> None:
    network = nn.Sequential()
    network.add_module("features", nn.Conv2d(3, 4, 3))
    network.add_module("classifier", nn.Sequential(nn.Dropout(), nn.Linear(4, 2)))
    state = {
        name.replace("classifier.1.", "classifier."): value + 1
        for name, value in network.state_dict().items()
    }
    wanted = {name: value + 1 for name, value in network.state_dict().items()}
    loaded(state, network)
    assert all(torch.equal(v, wanted[k]) for k, v in network.state_dict().items())


@pytest.mark.parametrize(
    "head",
    [
        {
            "head.0.weight": (8, 16),
            "head.0.bias": (8,),
            "head.2.weight": (3, 8),
            "head.2.bias": (3,),
        },
        {"fc.0.weight": (8, 16), "fc.0.bias": (8,), "fc.2.weight": (3, 8), "fc.2.bias": (3,)},
        {"projection.weight": (3, 16), "projection.bias": (3,)},
        {"fc.weight": (3, 99), "fc.bias": (3,)},
        {"fc.weight": (3, 16)},
    ],
    ids=["two layers", "two layers beside", "no name of a head", "another width", "no bias"],
)
def test_what_is_no_plain_head_is_refused(head: dict[str, tuple[int, ...]]) -> None:
    state = {k: v for k, v in shifted().items() if not k.startswith("head.")}
    with pytest.raises(InputError, match=r"lacks head\.weight"):
        loaded({**state, **{name: torch.zeros(shape) for name, shape in head.items()}})


def test_wrappers_within_names_are_passed_over() -> None:
    """As of nn.DataParallel around the features alone, or a compiled part."""
    for inside in ("module.", "_orig_mod."):
        state = {
            f"conv.{inside}{k[5:]}" if k.startswith("conv.") else k: v for k, v in shifted().items()
        }
        network, _ = loaded(state)
        assert torch.equal(network.state_dict()["conv.weight"], shifted()["conv.weight"])


def test_a_network_whose_own_names_are_wrapped() -> None:
    network = nn.DataParallel(small())
    for state in (shifted(), wrapped(shifted(), "module."), wrapped(shifted(), "backbone.")):
        loaded(state, network)
        assert torch.equal(network.state_dict()["module.conv.weight"], shifted()["conv.weight"])


def test_chance_ends_explain_nothing() -> None:
    other = {f"layer{i}.weight": torch.zeros(2) for i in range(9)}
    with pytest.raises(InputError, match=r"lacks conv\.weight \(8 missing, 9 unknown\)"):
        loaded(other)


def test_a_file_that_is_exactly_the_network_is_that_alone() -> None:
    """Though a part of it looks like a second one."""
    network = nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.ModuleDict({"a": nn.Linear(2, 2)})})
    assert len(fits(network.state_dict(), network.state_dict())) == 1


@pytest.mark.parametrize("beginning", ["", "module.densenet121."])
@pytest.mark.parametrize("head", ["classifier.", "classifier.0."])
def test_densenet_as_torchvision_named_it_once(tmp_path: Path, beginning: str, head: str) -> None:
    import torchvision.models

    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = torchvision.models.DenseNet(8, (2, 2), 16, num_classes=14).eval()
    old = {
        beginning
        + re.sub(r"(denselayer\d+)\.(norm|conv)(\d)", r"\1.\2.\3", name).replace(
            "classifier.", head
        ): value
        for name, value in net.state_dict().items()
    }
    fresh = torchvision.models.DenseNet(8, (2, 2), 16, num_classes=14).eval()
    loaded(old, fresh)
    x = torch.rand(2, 3, 64, 64)
    assert torch.equal(fresh(x), net(x))
