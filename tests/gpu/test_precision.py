"""Precision on a GPU: TF32 is off where numbers count, and bfloat16 is confirmed at float32."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import pytest
import torch
import torchvision

from attacks import PGD, ThreatModel
from robust.engine.cells import Cell
from robust.engine.mixed_precision import make_mixed_precision_attacker
from robust.engine.run_store import RunStore
from robust.models import Classifier, full_precision, prepare
from robust.tasks.classification import ANY_ERROR
from tests.engine.test_mixed_precision import batch
from tests.models.acceleration.nets import lively

pytestmark = pytest.mark.gpu


def network() -> Classifier:
    torch.manual_seed(0)
    return Classifier(lively(torchvision.models.resnet18(num_classes=3)), head="softmax")


def test_float32_is_float32(gpu: torch.device) -> None:
    """Where TF32 was left on, the error is a thousand times as large."""
    exact = copy.deepcopy(network()).eval().double()
    x = torch.rand(8, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted = exact(x.double())
    ready = prepare(network(), gpu)
    allowed = torch.backends.cudnn.allow_tf32
    with full_precision(), torch.no_grad():
        assert not torch.backends.cudnn.allow_tf32
        found = ready(x.to(gpu)).cpu().double()
    assert torch.backends.cudnn.allow_tf32 == allowed
    assert float((found - wanted).abs().max() / wanted.abs().max()) < 3e-6


def test_what_bfloat16_finds_is_confirmed(tmp_path: Path, gpu: torch.device) -> None:
    x = torch.rand(24, 3, 96, 96, generator=torch.Generator().manual_seed(0)).to(gpu)
    ready = prepare(network(), gpu)
    with full_precision():
        store = RunStore(tmp_path)
        attacker = make_mixed_precision_attacker(ready, x, "bfloat16", store)
        assert attacker.models.acceleration.bfloat16
        cell = Cell("PGD", PGD(), ThreatModel("Linf", 0.2 / 255), exact=True)
        x_adv, outcomes = attacker.run(cell, batch(ready, x), ANY_ERROR, 0)
        with torch.no_grad():
            labels = ready(x_adv).argmax(1) != ready(x).argmax(1)
        store.close()
        folder = tmp_path / "float32"
        folder.mkdir()
        store = RunStore(folder)
        exact = make_mixed_precision_attacker(ready, x, "float32", store)
        _, slow = exact.run(cell, batch(ready, x), ANY_ERROR, 0)
        store.close()
    assert [o.success for o in outcomes] == labels.tolist()
    assert sum(o.success for o in outcomes) >= sum(o.success for o in slow) - 1


def test_the_same_cell_twice(tmp_path: Path, gpu: torch.device) -> None:
    x = torch.rand(24, 3, 96, 96, generator=torch.Generator().manual_seed(0)).to(gpu)
    ready = prepare(network(), gpu)
    found = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        store = RunStore(tmp_path / name)
        with full_precision():
            attacker = make_mixed_precision_attacker(ready, x, "auto", store)
            cell = Cell("PGD", PGD(), ThreatModel("Linf", 0.2 / 255), exact=True)
            found.append(attacker.run(cell, batch(ready, x), ANY_ERROR, 0))
        store.close()
    assert torch.equal(found[0][0], found[1][0])
    for one, two in zip(found[0][1], found[1][1], strict=True):
        assert (one.kept == two.kept).all()
        assert dataclasses.replace(one, kept=two.kept) == two
