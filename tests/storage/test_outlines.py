"""Outlines under attack in the files that hold the images: PNG, DICOM, whole and float volumes."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from attacks import FGSM, ThreatModel
from attacks.losses import margin
from robust.auditing import audit
from robust.cases.case import Case
from robust.cases.images import read_image
from robust.cases.stored_pixels import Stored, whole_range
from robust.engine.cells import Cell
from robust.engine.runner import RunOptions
from robust.engine.verified_attack import AttackSetup, attack_batch
from robust.plan.load import make_plan
from robust.records import AuditedTask
from robust.storage.export_png import export_images
from robust.storage.rounding import StoredBatch, adversarial_rounding
from robust.storage.survival import StorageCheck
from robust.tasks.contract import Batch
from robust.tasks.segmentation import Segmentation
from tests.tasks.drawn import NAMES, drawn, pointwise

FILES = {
    "PNG of 8 bits": Stored(8),
    "PNG of 16 bits": Stored(16),
    "DICOM of 12 bits in a window": Stored(12, view=whole_range(900.0, 2900.0)),
    "DICOM, inverted": Stored(12, view=whole_range(0.0, 500.0), inverted=True),
    "NIfTI of 16 bits with a sign": Stored(16, signed=True, view=whole_range(-160.0, 240.0)),
    "NIfTI of 32 bits": Stored(32, wide="whole", view=whole_range(-1000.0, 1000.0)),
    "NIfTI of floats": Stored(32, wide="float", view=whole_range(0.0, 3.0)),
}


def held(case: Case, stored: Stored) -> Case:
    """The case as it would be read from such a file."""
    image = stored.image(stored.pixels(case.image))
    return dataclasses.replace(case, image=image, stored=stored)


def attacked(
    stored: Stored, eps: float, volumes: bool = False, touch: str = "image"
) -> tuple[Segmentation, Batch, Tensor, list[bool]]:
    """Two cases, their images attacked in one step, and whether they have fallen."""
    cases = [held(drawn(2, volumes=volumes)[i], stored) for i in range(2)]
    task = Segmentation(
        AuditedTask("segmentation", NAMES, touch=touch), "error", ("background", *NAMES), (1, 2)
    )
    x = torch.stack([case.image for case in cases])
    model = pointwise(blur=True).eval()
    kept = torch.from_numpy(task.keep(model(x).detach(), cases))
    batch = Batch((0, 1), tuple(cases), x, task.labels(cases, x), kept)
    setup = AttackSetup(FGSM(), "key", ThreatModel("Linf", eps), task, seed=0)
    x_adv, outcomes = attack_batch(model, setup, batch)
    return task, batch, x_adv, [one.success for one in outcomes]


@pytest.mark.parametrize("volumes", [False, True])
@pytest.mark.parametrize("name", list(FILES))
def test_what_a_file_holds_is_judged_again(name: str, volumes: bool) -> None:
    eps, stored = 0.15, FILES[name]
    task, batch, x_adv, fallen = attacked(stored, eps, volumes)
    assert all(fallen)
    model = pointwise(blur=True).eval()
    cell = Cell("FGSM", FGSM(), ThreatModel("Linf", eps), exact=True)
    setup = AttackSetup(FGSM(), "key", cell.threat, task, seed=0)
    outcomes = attack_batch(model, setup, batch)[1]
    found = StorageCheck(model, task).observe(cell, batch, x_adv, outcomes)
    shelf = StoredBatch.of(batch.cases, eps)
    files = shelf.quantise(x_adv)
    for case, image in zip(batch.cases, files, strict=True):
        # Written and read again, it is the very image that was judged.
        original = case.stored.pixels(case.image)
        again = case.stored.image(case.stored.pixels(image, original, eps))
        assert torch.equal(again, image) and again.shape == case.image.shape
        assert float((image - case.image).abs().max()) <= eps + 2e-7
    with torch.no_grad():
        reached = task.success(model(files), batch).tolist()
    assert [one.quantised for one in found] == reached == [True, True]
    for one in found:
        assert one.grey_levels == stored.levels + 1
        assert (one.jpeg is None) == (one.jpeg_clean is None) == volumes


def test_rounding_raises_the_damage_to_outlines_and_stays_in_the_region() -> None:
    """Files of 50 levels; the images hold three quarters of what the attacker may do."""
    coarse = Stored(8, view=whole_range(0.0, 50.0))
    for touch in ("image", "inside"):
        task, batch, x_adv, _ = attacked(coarse, 0.16, touch=touch)
        model, region = pointwise(blur=True).eval(), task.region(batch)
        shelf = StoredBatch.of(batch.cases, 0.16)
        plain = shelf.quantise(batch.x + 0.75 * (x_adv - batch.x))
        found = adversarial_rounding(model, shelf, plain, batch.y, None, region)
        with torch.no_grad():
            before, after = (margin(model(z), batch.y) for z in (plain, found))
        assert bool((after >= before).all()) and bool((after > before).any())
        assert torch.equal(shelf.quantise(found), found)
        assert float((found - batch.x).abs().max()) <= 0.16 + 2e-7
        if region is not None:
            assert torch.equal(found[~region], batch.x[~region])


def test_below_half_a_level_nothing_is_left_and_the_report_says_so() -> None:
    """The images in memory hold 8 bits; volumes have no JPEG."""
    for volumes in (False, True):
        report = audit(
            pointwise(), drawn(6, volumes=volumes), attacks=["FGSM"],
            eps=["0.4/255", 0.16], doubts={"probe": False}, device="cpu", gallery=0,
        )  # fmt: skip
        small, large = report.survival
        assert small.quantised.value == 0 and large.quantised.value == large.computed.value == 1
        assert small.adversarially_rounded is not None
        assert (large.jpeg is None) == volumes


def test_images_of_a_segmenter_as_files(tmp_path: Path) -> None:
    """The table has the Dice of the case in place of a class, for the file as it is read."""
    plan = make_plan(
        {
            "model": {
                "factory": "tests.storage.test_outlines:dark_lesion",
                "head": "softmax",
                "channels": 1,
            },
            "data": {"path": "phantom:lesion", "count": 8, "pixels": 32},
            "segmentation": {"dice": 0.4},
            "attacks": [{"name": "FGSM"}],
            "audit": {"eps": ["16/255"]},
        }
    )
    done = export_images(plan, tmp_path / "out", options=RunOptions("cpu"))
    with (tmp_path / "out" / "attacks.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert done.images == len(table) > 0
    assert done.fooled == sum(line["stored_success"] == "1" for line in table)
    for line in table:
        assert line["label"] == ""
        assert (float(line["stored_prediction"]) < 0.4) == (line["stored_success"] == "1")
        assert read_image(tmp_path / "out" / line["file"]).dtype == np.uint8


class _DarkLesion(torch.nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x - 0.55, 0.55 - x], 1)


def dark_lesion() -> torch.nn.Module:
    """A factory for a plan: what is darker than .55 is lesion."""
    return _DarkLesion()
