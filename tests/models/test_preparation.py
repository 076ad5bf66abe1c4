"""A prepared classifier: a frozen copy, devices, exact float32."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robust.errors import InputError
from robust.models import (
    Classifier,
    choose_device,
    full_precision,
    prepare,
)
from robust.models.preparation import image_template
from tests.models.nets import images, small


def snapshot(network: nn.Module) -> dict[str, Any]:
    """All that an audit must leave as it was."""
    return {
        "state": {k: v.clone() for k, v in network.state_dict().items()},
        "grad": [p.grad if p.grad is None else p.grad.clone() for p in network.parameters()],
        "wanted": [p.requires_grad for p in network.parameters()],
        "modes": [m.training for m in network.modules()],
        "places": [p.data_ptr() for p in network.parameters()],
    }


def same(one: Any, two: Any) -> bool:
    if isinstance(one, Tensor):
        return torch.equal(one, two)
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(same(one[k], two[k]) for k in one)
    if isinstance(one, list):
        return len(one) == len(two) and all(same(a, b) for a, b in zip(one, two))
    return bool(one == two)


def a_network(kind: str, programs: dict[str, Path]) -> nn.Module:
    if kind == "normal":
        return small()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if kind == "scripted":
            return torch.jit.load(programs["script.pt"])  # type: ignore[no-any-return]
        return torch.export.load(programs["any.pt2"]).module()


@pytest.mark.parametrize("kind", ["normal", "scripted", "exported"])
@pytest.mark.parametrize("training", [False, True])
def test_prepare_leaves_the_users_network_as_it_came(
    kind: str, training: bool, programs: dict[str, Path]
) -> None:
    network = a_network(kind, programs)
    if kind != "exported":
        network.train(training)
    parameters = list(network.parameters())
    parameters[0].requires_grad_(False)
    network(images()).sum().backward()  # leaves .grad; in training it also moves the buffers
    before = snapshot(network)
    assert before["grad"][0] is None and before["grad"][1] is not None
    classifier = Classifier(network, head="softmax")

    twin = prepare(classifier)
    x = images().requires_grad_()
    twin(x).sum().backward()
    for parameter in twin.parameters():
        assert parameter.grad is None and not parameter.requires_grad
        parameter.data.zero_()
    for buffer in twin.buffers():
        buffer.zero_()
    assert not any(module.training for module in twin.modules())
    assert same(before, snapshot(network))
    assert [p.data_ptr() for p in parameters] == before["places"]


@pytest.mark.parametrize("kind", ["normal", "scripted", "exported"])
def test_a_prepared_classifier_answers_as_in_evaluation(
    kind: str, programs: dict[str, Path]
) -> None:
    network = a_network(kind, programs)
    if kind != "exported":
        network.train()
    twin = prepare(Classifier(network, mean=0.3, std=0.4, size=32, head="softmax"))
    x = images(4, 40)
    wanted = Classifier(small(), mean=0.3, std=0.4, size=32, head="softmax")(x)
    torch.testing.assert_close(twin(x), wanted)
    state = {k: v.clone() for k, v in twin.state_dict().items()}
    twin(images())
    assert same(state, dict(twin.state_dict())), "no forward pass moves a buffer"


def test_prepare_wants_a_classifier_that_can_be_copied() -> None:
    with pytest.raises(InputError, match=r"a Sequential is no classifier: .*Classifier\(network"):
        prepare(small())  # type: ignore[arg-type]

    class Stubborn(nn.Module):
        def __deepcopy__(self, memo: dict[int, Any]) -> nn.Module:
            raise RuntimeError("no copies")

    with pytest.raises(
        InputError, match=r"cannot be copied \(RuntimeError: no copies\); give robust a factory"
    ):
        prepare(Classifier(Stubborn()))


def test_devices() -> None:
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device().type in ("cpu", "cuda")
    for name in ("tpu", "cuda:99", "", "cpu0"):
        with pytest.raises(InputError, match=re.escape(f"device {name!r} is not available")):
            choose_device(name)


def test_full_precision_puts_the_switches_back() -> None:
    def switches() -> tuple[bool, ...]:
        matmul, conv = torch.backends.cuda.matmul, torch.backends.cudnn
        return matmul.allow_tf32, conv.allow_tf32, conv.deterministic, conv.benchmark

    before = switches()
    torch.backends.cudnn.benchmark = True
    try:
        with pytest.raises(ZeroDivisionError), full_precision():
            assert switches() == (False, False, True, False)
            raise ZeroDivisionError
        assert torch.backends.cudnn.benchmark
    finally:
        torch.backends.cudnn.benchmark = before[3]
    assert switches() == before


def flat() -> Classifier:
    """A classifier whose outputs are logits, its head not recognised yet."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Classifier(nn.Sequential(nn.Flatten(), nn.Linear(64, 2)), channels=1)


def test_the_head_is_recognised_on_images_or_taken_as_given() -> None:
    own, x = flat(), torch.rand(4, 1, 8, 8)
    assert own.head == prepare(own).head == "auto"
    assert prepare(own, images=x).head == "softmax"
    assert prepare(own, head="probabilities").head == "probabilities"
    settled = flat()
    settled.head = "softmax"
    assert prepare(settled, images=x, head="probabilities").head == "softmax"
    assert own.head == "auto"


def test_images_are_of_the_type_of_the_weights() -> None:
    assert image_template(prepare(flat())).dtype == torch.float32
    assert image_template(prepare(flat().double())).dtype == torch.float64
