"""How fast cases come: PNG files from a disk, and phantoms that are drawn when read."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from robust.cases import Case, Cases, open_cases

pytestmark = pytest.mark.benchmark(group="loader")

CASES = 24


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Cases:
    """Grey 8-bit PNG files of 512 x 512 with the noise of a detector, which PNG cannot shrink."""
    folder = tmp_path_factory.mktemp("images")
    noise = np.random.default_rng(0)
    for i in range(CASES):
        (folder / f"class{i % 2}").mkdir(exist_ok=True)
        pixels = noise.integers(0, 256, (512, 512), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"class{i % 2}" / f"{i}.png")
    return open_cases(folder, group="none", size=(224, 224))


def read(cases: Cases) -> list[Any]:
    return list(cases.stream(range(len(cases))))


def test_png_files(benchmark: Any, files: Cases) -> None:
    found = benchmark.pedantic(read, args=(files,), rounds=3, warmup_rounds=1)
    benchmark.extra_info["cases"] = CASES
    assert [type(case) for case in found] == [Case] * CASES
    assert {tuple(case.image.shape) for case in found} == {(1, 224, 224)}


@pytest.mark.parametrize("modality", ["chest_xray", "dermoscopy", "fundus"])
def test_phantoms(benchmark: Any, modality: str) -> None:
    cases = open_cases(f"phantom:{modality}", count=CASES, pixels=64)
    found = benchmark.pedantic(read, args=(cases,), rounds=3)
    benchmark.extra_info["cases"] = CASES
    assert [case.id for case in found] == [entry.id for entry in cases.entries]
