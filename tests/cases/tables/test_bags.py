"""Bags of images as cases: which images, in which order, with which label, and black behind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from robust.cases import Cases, open_cases
from robust.errors import InputError
from robust.plan.spec import AuditSpec, ModelSpec
from robust.tasks.bags import BagLimits, bag_limits

ROWS = (
    ("a.png", 0, "p1", "left"),
    ("b.png", 1, "p2", "left"),
    ("c.png", 1, "p1", "left"),
    ("d.png", 0, "p2", "right"),
    ("e.png", 0, "p3", "left"),
)


def folder(at: Path, label: dict[str, int] | None = None) -> Path:
    generator = np.random.default_rng(0)
    lines = ["file,label,group,side"]
    for name, own, group, side in ROWS:
        Image.fromarray(generator.integers(1, 256, (4, 6), dtype=np.uint8)).save(at / name)
        lines.append(f"{name},{(label or {}).get(name, own)},{group},{side}")
    (at / "cases.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return at


def opened(at: Path, **options: object) -> Cases:
    return open_cases(at, keep_names=True, **options)  # type: ignore[arg-type]


def test_the_images_of_a_patient_are_one_case(tmp_path: Path) -> None:
    folder(tmp_path)
    images, bags = opened(tmp_path), opened(tmp_path, bag="group")
    assert [(e.group, e.label) for e in bags.entries] == [("p1", 1), ("p2", 1), ("p3", 0)]
    assert [tuple(case.image.shape) for case in bags] == [(1, 8, 6)] * 3
    by_name = {case.id: case.image for case in images}
    first = torch.cat([by_name["a.png"], by_name["c.png"]], 1)
    assert torch.equal(bags[0].image, first)
    assert torch.equal(bags[2].image[:, :4], by_name["e.png"]) and not bags[2].image[:, 4:].any()
    assert BagLimits((4, 6)).present(bags[2].image[None]).tolist() == [[True, False]]
    assert bags[0].stored.pixels(bags[0].image).shape == (8, 6)
    assert "3 bags of 5 images" in bags.source


def test_a_column_makes_bags_within_a_patient_and_a_size_is_that_of_an_image(
    tmp_path: Path,
) -> None:
    folder(tmp_path)
    with pytest.raises(InputError, match="images of 3 groups; a bag lies within one"):
        opened(tmp_path, bag="side", subgroups=("side",))
    with pytest.raises(InputError, match="neither group nor one of the subgroups"):
        opened(tmp_path, bag="side")
    own = opened(tmp_path, bag="side", subgroups=("side",), where="group == 'p2'", split="all")
    assert [entry.metadata["side"] for entry in own.entries] == ["left", "right"]
    small = opened(tmp_path, bag="group", size=2)
    assert tuple(small[0].image.shape) == (1, 4, 2)


def test_a_changed_image_changes_what_a_bag_is_known_by(tmp_path: Path) -> None:
    folder(tmp_path)
    before = [opened(tmp_path, bag="group").content(row) for row in range(3)]
    Image.fromarray(np.full((4, 6), 9, np.uint8)).save(tmp_path / "e.png")
    after = [opened(tmp_path, bag="group").content(row) for row in range(3)]
    assert before[:2] == after[:2] and before[2] != after[2]


def test_labels_without_a_finding_must_agree(tmp_path: Path) -> None:
    folder(tmp_path, {"d.png": 2})
    with pytest.raises(InputError, match="images of 2 labels and not one finding"):
        opened(tmp_path, bag="group")


def test_limits_of_a_plan() -> None:
    model = ModelSpec.model_validate({"factory": "a:b", "bag": {"tile": [4, 6]}})
    assert bag_limits(AuditSpec(instances=2), model) == BagLimits((4, 6), 2)
    assert bag_limits(AuditSpec(), None) is None
    with pytest.raises(InputError, match="instances is for models that read bags"):
        bag_limits(AuditSpec(instances=2), None)
    x = torch.rand(1, 1, 8, 6)
    x[:, :, 4:] = 0
    limits = BagLimits((4, 6), 1)
    blank = x.clone()
    blank[0, 0, 7, 0] = 0.1
    assert limits.violations(blank, x) == ["changed a blank tile, which is no instance of the bag"]
    full = torch.rand(1, 1, 8, 6) / 2
    assert limits.violations(full + 0.1, full) == ["changed 2 instances, allowed 1"]
