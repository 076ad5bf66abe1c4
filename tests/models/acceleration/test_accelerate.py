"""Faster copies of a classifier: chosen by a rule, and with the same logits."""

from __future__ import annotations

import dataclasses
import itertools

import pytest
import timm
import torch
import torchvision
from torch import nn

from robust.models import Classifier, prepare
from robust.models.acceleration import accelerate
from robust.models.acceleration.accelerate import (
    Acceleration,
    FastModels,
    make_fast_models,
    native_bfloat16,
)
from robust.models.acceleration.cuda_graphs import Replayed
from tests.models.acceleration.nets import lively


@pytest.fixture
def bfloat16_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accelerate, "_features_of_cpu", lambda: {"avx2", "avx512_bf16"})


def test_small_networks_and_float64_run_as_they_are() -> None:
    small = prepare(Classifier(nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), head="softmax"))
    for classifier, x, reason in (
        (small, torch.rand(4, 3, 2, 2), "the network is small"),
        (small.double(), torch.rand(4, 3, 2, 2).double(), "it runs at float64"),
    ):
        models = make_fast_models(classifier, x)
        assert (
            models.float32 is classifier
            and models.low_precision is None
            and models.acceleration == Acceleration(reason=reason)
        )


def test_no_timing_decides(monkeypatch: pytest.MonkeyPatch, bfloat16_processor: None) -> None:
    """Whatever the clock says, slower or faster, or where nothing can be measured."""
    classifier = prepare(
        Classifier(lively(torchvision.models.resnet18(num_classes=2)), head="softmax")
    )
    x = torch.rand(2, 3, 64, 64)
    seconds, shown = itertools.cycle([9.0, 0.1, float("nan"), 3.0, 0.0]), []

    def measured(models: dict[str, object], x: torch.Tensor) -> dict[str, float]:
        shown.append(len(x))
        return {name: next(seconds) for name in models}

    monkeypatch.setattr(accelerate, "measure_passes", measured)
    choices = [make_fast_models(classifier, torch.rand_like(x)).acceleration for _ in range(3)]
    assert {(one.folded, one.channels_last, one.bfloat16) for one in choices} == {(20, True, True)}
    assert len({str(one.gain) for one in choices}) > 1 and shown == [2, 2, 2]
    unmeasured = make_fast_models(classifier, x, gain=False).acceleration
    assert unmeasured == dataclasses.replace(choices[0], gain=1.0) and len(shown) == 3
    single = make_fast_models(classifier, x, "float32")
    assert single.low_precision is None and not single.acceleration.bfloat16
    with torch.no_grad():
        both, wanted = make_fast_models(classifier, x), classifier(x)
        torch.testing.assert_close(both.float32(x), wanted, rtol=1e-4, atol=1e-4)
        assert both.low_precision is not None
        assert float((both.low_precision(x) - wanted).abs().max()) < 0.1 * float(wanted.abs().max())


@pytest.mark.parametrize(
    ("name", "low"),
    [
        pytest.param("resnet18", True, marks=pytest.mark.slow),
        ("mobilenetv2_100", False),
        pytest.param("convnext_atto", True, marks=pytest.mark.slow),
    ],
)
def test_the_rule_agrees_with_what_was_measured(
    name: str, low: bool, monkeypatch: pytest.MonkeyPatch, bfloat16_processor: None
) -> None:
    """On a processor with AVX-512 and bfloat16: docs/speed.md has the table."""
    monkeypatch.setattr(accelerate, "measure_passes", lambda models, x: dict.fromkeys(models, 1.0))
    classifier = prepare(Classifier(timm.create_model(name, num_classes=2), head="softmax"))
    x = torch.rand(2, 3, 96, 96)
    assert make_fast_models(classifier, x).acceleration.bfloat16 is low
    assert make_fast_models(classifier, x, "bfloat16").acceleration.bfloat16
    stored = make_fast_models(classifier, x).acceleration
    monkeypatch.setattr(accelerate, "_features_of_cpu", set)  # the run goes on elsewhere
    again = make_fast_models(classifier, x, "auto", stored)
    assert again.acceleration is stored and (again.low_precision is not None) is low
    there = make_fast_models(classifier, x)
    assert there.low_precision is None
    assert low is ("does not compute in bfloat16" in there.acceleration.reason) or not low


def test_a_processor_says_whether_it_computes_in_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    for flags, native in (
        ({"avx512_bf16"}, True),
        ({"amx_bf16", "amx_tile"}, True),
        ({"avx512f", "avx512vl"}, False),
        (set(), False),
    ):
        monkeypatch.setattr(accelerate, "_features_of_cpu", lambda flags=flags: flags)
        assert native_bfloat16(torch.device("cpu")) is native
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    assert not native_bfloat16(torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 0))
    assert native_bfloat16(torch.device("cuda"))


def test_memory_is_measured_on_the_images_given() -> None:
    """Recorded passes fill a batch up: measured through them, an image would seem to need more."""
    network = prepare(Classifier(nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), head="softmax"))
    assert FastModels(Replayed(network), None, Acceleration()).measured is network
    assert FastModels(network, None, Acceleration()).measured is network
