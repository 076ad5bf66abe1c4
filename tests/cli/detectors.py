"""Images for tests of fitted detectors."""

from __future__ import annotations

from pathlib import Path

from robust.cases import open_cases
from robust.cases.images import as_png

COUNT = 60


def write_images(count: int) -> None:
    cases = open_cases("phantom:chest_xray", count=count, pixels=28)
    Path("images").mkdir()
    for i, case in enumerate(cases):
        (Path("images") / f"{i:02}.png").write_bytes(as_png(case.stored.pixels(case.image)))
