"""Recorded passes give what the network gives, bit for bit, and own what they return."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import torchvision
from torch import Tensor

from attacks import PGD, Streams, ThreatModel
from detectors import Extractor, find_layers
from robust.models import Classifier, full_precision, prepare
from robust.models.acceleration.accelerate import make_fast_models
from robust.models.acceleration.cuda_graphs import CALLS, Replayed, filled
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


@pytest.mark.parametrize("n", [32, 30])
def test_the_same_bits_without_a_gradient(n: int, card: torch.device) -> None:
    classifier = ready(card)
    replayed = Replayed(classifier)
    with torch.no_grad():
        found = [replayed(images(n, card)) for _ in range(CALLS + 2)]
        assert replayed._graphs and not replayed._failed
        assert all(torch.equal(one, found[0]) for one in found)
        kept = found[-1].clone()
        replayed(images(n, card).flip(0))
        assert torch.equal(found[-1], kept)
        assert torch.allclose(kept, classifier(images(n, card)), rtol=1e-4, atol=1e-4)
    # One with a gradient does not lose what it keeps to a pass without.
    first = passes(replayed, images(n, card))
    for _ in range(CALLS):
        moving = images(n, card).requires_grad_(True)
        logits = replayed(moving)
        with torch.no_grad():
            replayed(images(n, card).flip(0))
        (gradient,) = torch.autograd.grad(logits.square().sum(), moving)
        assert torch.equal(gradient, first[1])


def test_passes_are_differentiated_in_any_order_and_again(card: torch.device) -> None:
    classifier = ready(card)
    replayed = Replayed(classifier)
    for n in (32, 48):
        for _ in range(CALLS):
            passes(replayed, images(n, card))
    own = [images(n, card).requires_grad_(True) for n in (32, 48, 32)]
    found = [replayed(x) for x in own]
    for i in (1, 0, 2, 2, 1):
        (gradient,) = torch.autograd.grad(found[i].square().sum(), own[i], retain_graph=True)
        expected = passes(classifier, own[i])[1]
        assert torch.allclose(gradient, expected, rtol=1e-3, atol=1e-6)


def test_features_are_recorded(card: torch.device) -> None:
    classifier = ready(card)
    plain = Extractor(classifier, find_layers(classifier, images(2, card)))
    extract = Extractor(classifier, plain.layers, Replayed)
    for climbs in (True, False):
        for _ in range(CALLS + 2):
            x = images(32, card).requires_grad_(climbs)
            with torch.set_grad_enabled(climbs):
                found, expected = extract(x), plain(x)
            assert torch.equal(found.logits, expected.logits)
            assert all(torch.equal(found.layers[k], expected.layers[k]) for k in plain.layers)
            if climbs:  # both the classifier and a detector are differentiated, one after the other
                for values, own in ((found.logits, expected.logits), (found.deep, expected.deep)):
                    (slope,) = torch.autograd.grad(values.square().sum(), x, retain_graph=True)
                    (true,) = torch.autograd.grad(own.square().sum(), x, retain_graph=True)
                    # Several outputs are differentiated at once, all but one of them by 0.
                    assert torch.allclose(slope, true, rtol=1e-3, atol=1e-6)
    replayed = extract._pass
    assert isinstance(replayed, Replayed) and len(replayed._graphs) == 2


def test_memory_limits_what_is_filled_up(card: torch.device) -> None:
    seen: list[int] = []
    classifier = ready(card)

    def network(x: Tensor) -> Tensor:
        seen.append(len(x))
        return classifier(x)

    replayed = Replayed(network)
    for limit, expected in ((None, filled(3)), (5, 5), (2, 3), (64, filled(3))):
        replayed.most_filled = limit
        passes(replayed, images(3, card))
        assert seen[-1] == expected


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
