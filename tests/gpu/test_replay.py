"""Recorded passes give what the network gives, bit for bit, and own what they return."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import torchvision
from torch import Tensor

from attacks import PGD, Streams, ThreatModel
from robust.models import Classifier, full_precision, prepare
from robust.models.acceleration.accelerate import make_fast_models
from robust.models.acceleration.cuda_graphs import CALLS, Replayed
from tests.models.acceleration.nets import lively

pytestmark = pytest.mark.gpu


@pytest.fixture
def card(gpu: torch.device) -> Iterator[torch.device]:
    if gpu.type != "cuda":
        pytest.skip("recorded passes need a GPU")
    with full_precision():
        yield gpu


def ready(device: torch.device) -> Classifier:
    torch.manual_seed(0)
    net = lively(torchvision.models.resnet18(num_classes=3))
    return prepare(Classifier(net, head="softmax"), device)


def passes(model: object, x: Tensor) -> tuple[Tensor, Tensor]:
    moving = x.detach().requires_grad_(True)
    logits = model(moving)  # type: ignore[operator]
    (gradient,) = torch.autograd.grad(logits.square().sum(), moving)
    return logits.detach(), gradient


def images(n: int, device: torch.device) -> Tensor:
    return torch.rand(n, 3, 64, 64, generator=torch.Generator().manual_seed(n)).to(device)


@pytest.mark.parametrize("n", [32, 30])
def test_the_same_bits(n: int, card: torch.device) -> None:
    classifier = ready(card)
    replayed = Replayed(classifier)
    first = passes(replayed, images(n, card))
    for _ in range(CALLS):
        again = passes(replayed, images(n, card))
    assert replayed._graphs and not replayed._failed
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])
    kept = [part.clone() for part in again]
    passes(replayed, images(n, card).flip(0))
    assert torch.equal(again[0], kept[0]) and torch.equal(again[1], kept[1])
    plain = passes(classifier, images(n, card))
    assert torch.allclose(first[0], plain[0], rtol=1e-4, atol=1e-4)
    replayed.release()
    assert torch.equal(passes(replayed, images(n, card))[0], first[0])


def test_streams_are_those_of_the_cpu(card: torch.device) -> None:
    x = torch.empty(9, 3, 200, 200)
    for kind in ("uniform", "normal"):
        here = getattr(Streams.of(0, range(9), "draw"), kind)(x)
        there = getattr(Streams.of(0, range(9), "draw"), kind)(x.to(card))
        assert torch.equal(there.cpu(), here)


def test_no_step_waits_for_the_device(card: torch.device) -> None:
    """Between the start and the end of PGD nothing asks the device for a number."""
    classifier, x = ready(card), images(32, card)
    model = make_fast_models(classifier, x, "bfloat16").low_precision
    assert model is not None
    y = classifier(x).argmax(1)
    attack, threat = PGD(start="image"), ThreatModel("Linf", 1 / 255)

    def run() -> Tensor:
        return attack(model, x, y, threat, Streams.of(0, range(32)))

    expected = run()
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        found = run()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert torch.equal(found, expected)


def test_compiled_batches_are_near(card: torch.device) -> None:
    classifier, x = ready(card), images(32, card)
    models = make_fast_models(classifier, x, "bfloat16", passes=1e12, rows=32)
    assert models.acceleration.compiled and models.low_precision is not None
    plain = make_fast_models(classifier, x, "bfloat16").low_precision
    found, expected = passes(models.low_precision, x), passes(plain, x)
    assert torch.allclose(found[0], expected[0], rtol=0.05, atol=0.1)
    again = passes(models.low_precision, x)
    for _ in range(CALLS):
        last = passes(models.low_precision, x)
    assert torch.equal(again[1], last[1])
