"""Where the memory of a GPU runs out, smaller batches go on, and the outcome is the same."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torchvision

from attacks import PGD, ThreatModel
from robust.engine.cells import Cell
from robust.engine.mixed_precision import cases_at_once, make_mixed_precision_attacker
from robust.engine.run_store import RunStore
from robust.models import Classifier, full_precision, prepare
from robust.models.acceleration import memory
from robust.tasks.classification import ANY_ERROR
from tests.engine.test_mixed_precision import batch
from tests.models.acceleration.nets import lively

pytestmark = pytest.mark.gpu


@pytest.fixture
def little(gpu: torch.device) -> Iterator[None]:
    """A card of which this process may use half a gigabyte more."""
    if gpu.type != "cuda":
        pytest.skip("the memory of a GPU")
    gc.collect()  # what other tests have left
    torch.cuda.empty_cache()
    total, left = torch.cuda.mem_get_info(gpu)[1], torch.cuda.memory_reserved(gpu)
    torch.cuda.set_per_process_memory_fraction(((512 << 20) + left) / total)
    yield
    torch.cuda.set_per_process_memory_fraction(1.0)
    torch.cuda.empty_cache()


def test_half_a_batch_goes_on(
    tmp_path: Path, gpu: torch.device, little: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "MEMORY_SHARE", 1e9)  # the estimate does not help here
    ready = prepare(
        Classifier(lively(torchvision.models.resnet18(num_classes=2)), head="softmax"), gpu
    )
    x = torch.rand(64, 3, 224, 224, generator=torch.Generator().manual_seed(0)).to(gpu)
    store = RunStore(tmp_path)
    with full_precision():
        with torch.no_grad():
            logits = torch.cat([ready(part) for part in x.split(8)])
        attacker = make_mixed_precision_attacker(ready, x[:2], "float32", store, 64)
        cell = Cell("PGD", PGD(steps=3), ThreatModel("Linf", 1 / 255), exact=True)
        made = batch(lambda images: logits[: len(images)], x)  # type: ignore[arg-type]
        _, outcomes = attacker.run(cell, made, ANY_ERROR, 0)
    assert len(outcomes) == 64 and not any(o.failure for o in outcomes)
    used = cases_at_once(store)
    store.close()
    assert used is not None and used < 64


def test_recorded_passes_are_not_counted_as_more_images(tmp_path: Path, gpu: torch.device) -> None:
    """They fill a batch up; the memory of an image is that of an image."""
    ready = prepare(Classifier(torchvision.models.resnet18(num_classes=2), head="softmax"), gpu)
    x = torch.rand(2, 3, 224, 224, device=gpu)
    store = RunStore(tmp_path)
    with full_precision():
        attacker = make_mixed_precision_attacker(ready, x, "float32", store, 1 << 20)
        size = attacker.sizes.of(x)
    store.close()
    per_image = memory.batch_memory(gpu) / size.settled
    assert per_image < 2 * memory.WORKING_MEMORY * memory.bytes_for_gradient(ready, x[:1])
