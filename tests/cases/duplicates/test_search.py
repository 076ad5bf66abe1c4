"""Near duplicates: found at another exposure or place; other patients, blank fields and eyes not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from robust.cases import Cases, open_cases
from robust.cases.duplicates.fingerprints import Fingerprints, fingerprint_of
from robust.cases.duplicates.search import near_duplicates
from robust.cases.jpeg import through_jpeg

DATA = Path(__file__).resolve().parents[4] / "shared" / "data"


def shift(x: Tensor, by: int) -> Tensor:
    padded = torch.nn.functional.pad(x[None], (by, 0, by, 0), mode="replicate")[0]
    return padded[:, : x.shape[1], : x.shape[2]]


CHANGES: dict[str, Callable[[Tensor], Tensor]] = {
    "the same": lambda x: x,
    "brighter": lambda x: (1.1 * x).clamp(0, 1),
    "darker": lambda x: 0.7 * x,
    "gamma": lambda x: x**1.3,
    "window": lambda x: ((x - 0.05) / 0.9).clamp(0, 1),
    "jpeg": lambda x: through_jpeg(x[None], 80)[0],
    "noise": lambda x: (x + 0.01 * torch.randn(x.shape)).clamp(0, 1),
    "one pixel": lambda x: shift(x, 1),
    "two pixels": lambda x: shift(x, 2),
    "crop": lambda x: F.resize(x[:, 1:-1, 1:-1], list(x.shape[1:])),
    "half the size": lambda x: F.resize(x, [side // 2 for side in x.shape[1:]]),
    "in colour": lambda x: x.mean(0, keepdim=True).expand(3, -1, -1),
}


def images(modality: str, count: int = 40, pixels: int = 96) -> list[Tensor]:
    cases = open_cases(f"phantom:{modality}", split="test", count=count, pixels=pixels)
    return [case.image for case in cases]


def found(first: list[Tensor], second: list[Tensor] | None = None) -> list[tuple[int, int]]:
    own = Fingerprints([fingerprint_of(x) for x in first])
    other = None if second is None else Fingerprints([fingerprint_of(x) for x in second])
    return [(a, b) for a, b in near_duplicates(own, other).tolist()]


@pytest.fixture(scope="module")
def drawn() -> list[Tensor]:
    return [*images("chest_xray", 12), *images("fundus", 8), *images("dermoscopy", 8)]


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_copy_is_found_and_no_other_image(name: str, drawn: list[Tensor]) -> None:
    torch.manual_seed(0)
    changed = [CHANGES[name](x) for x in drawn]
    assert found(changed, drawn) == [(i, i) for i in range(len(drawn))]
    assert found([*drawn, *changed]) == [(i, i + len(drawn)) for i in range(len(drawn))]


def test_synthetic_images_of_other_patients_are_no_copies() -> None:
    for modality in ("chest_xray", "fundus", "dermoscopy"):
        assert found(images(modality, 40, 28)) == []


def test_blank_images_are_copies_of_each_other_and_smooth_ones_are_not() -> None:
    blank = [torch.full((1, 40, 40), level) for level in (0.0, 0.4, 1.0)]
    line = torch.linspace(0, 1, 40)
    y, x = torch.meshgrid(line, line, indexing="ij")
    smooth = [one[None] for one in (x, y, x * y, (x - 0.5) ** 2 + (y - 0.5) ** 2)]
    assert found([*blank, *smooth]) == [(0, 1), (0, 2)]
    assert found(smooth, smooth) == [(i, i) for i in range(4)]


def test_noise_alone_is_no_picture_that_two_images_share() -> None:
    torch.manual_seed(0)
    assert found([torch.rand(3, 32, 32) for _ in range(60)]) == []


def test_many_copies_of_one_image_hang_together(drawn: list[Tensor]) -> None:
    many = [(0.7 + 0.01 * i) * drawn[0] for i in range(30)]
    pairs = found([*drawn[1:], *many])
    reached = {len(drawn) - 1}
    for _ in range(30):
        reached |= {b for a, b in pairs if a in reached} | {a for a, b in pairs if b in reached}
    assert reached == set(range(len(drawn) - 1, len(drawn) + 29))


def test_nothing_is_found_among_too_few() -> None:
    assert found([]) == [] == found([torch.rand(1, 8, 8)])
    assert found([torch.rand(1, 8, 8)], []) == []


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["chest_xray", "dermoscopy", "fundus"])
def test_patients_are_told_apart_and_copies_found(folder: str) -> None:
    if not (DATA / folder).is_dir():
        pytest.skip("needs the real images beside the project")
    cases: Cases = open_cases(DATA / folder, split="test", limit=600)
    real = [case.image for case in cases]
    groups = np.array([entry.group for entry in cases.entries])
    assert [pair for pair in found(real) if groups[pair[0]] != groups[pair[1]]] == []
    for name in ("brighter", "gamma", "jpeg", "one pixel", "crop"):
        changed = [CHANGES[name](x) for x in real[::20]]
        pairs = set(found(changed, real))
        assert sum((i, 20 * i) in pairs for i in range(len(changed))) >= 0.9 * len(changed)
