"""Against numbers that the package medmnistc gave on synthetic images.

`python -m experiments.corruptions.oracle_numbers` wrote them. The package truncates to 8 bits where
these corruptions keep real values: half a grey level darker in the mean.
"""

from __future__ import annotations

import csv
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from experiments.corruptions.oracle import angles
from robust.corruptions.contract import Corruption
from robust.corruptions.medmnist_c.blur.motion_blur import MotionBlur, motion_blurred
from robust.corruptions.medmnist_c.definitions import MEDMNIST_C
from tests.corruptions.medmnist_c.images import images, stored, streams

SIZE, SEED = 56, 7
FEW = ("shot_noise", "stain_deposit", "bubble", "characters")
"""Kinds of which a draw takes long."""


def numbers(name: str) -> dict[str, list[dict[str, str]]]:
    """Rows by data set and kind."""
    path = Path(__file__).parent / "oracle" / f"{name}.csv"
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    found = groupby(rows, key=lambda row: f"{row['set']}-{row['kind']}")
    return {key: list(own) for key, own in found}


DETERMINISTIC, RANDOM = numbers("deterministic"), numbers("random")


def corruption_of(row: dict[str, str]) -> Corruption:
    (found,) = (one for one in MEDMNIST_C[row["set"]] if one.name == row["kind"])
    return found


def corrupted(corruption: Corruption, x: Tensor, severity: int) -> Tensor:
    if isinstance(corruption, MotionBlur):
        directions = torch.from_numpy(angles(SEED, len(x)))
        return motion_blurred(x, *corruption.levels[severity - 1], directions)
    return corruption(x, severity, streams(len(x)))


@pytest.mark.parametrize("rows", list(DETERMINISTIC.values()), ids=list(DETERMINISTIC))
def test_a_deterministic_kind_gives_the_levels_of_the_package(rows: list[dict[str, str]]) -> None:
    corruption = corruption_of(rows[0])
    x = images(stored(rows[0]["set"], SIZE))
    for row in rows:
        y = 255 * corrupted(corruption, x, int(row["severity"]))
        assert float(y.mean()) == pytest.approx(float(row["level"]), abs=1)
        assert float((y - 255 * x).abs().mean()) == pytest.approx(float(row["change"]), abs=1)
        along = np.linspace(0, SIZE - 1, 8).astype(int)
        apart = y[0, 0, along, along] - torch.tensor([float(row[f"pixel{i}"]) for i in range(8)])
        # A level of a phantom may be rounded otherwise elsewhere, which JPEG spreads over a block.
        assert apart.abs().max() < (8 if corruption.name == "jpeg_compression" else 2.5)


@pytest.mark.parametrize("rows", list(RANDOM.values()), ids=list(RANDOM))
def test_a_random_kind_changes_images_as_much_as_the_package(rows: list[dict[str, str]]) -> None:
    corruption = corruption_of(rows[0])
    draws = 60 if corruption.name in FEW else 100
    x = images(stored(rows[0]["set"], int(rows[0]["size"]))[:1]).repeat(draws, 1, 1, 1)
    for row in rows[::2]:
        change = 255 * (corruption(x, int(row["severity"]), streams(draws, row["severity"])) - x)
        own = change.square().flatten(1).mean(1).sqrt()
        spread = float(row["rms_std"])
        assert float(own.mean()) == pytest.approx(float(row["rms"]), rel=0.03, abs=spread / 2)
        assert float(change.mean()) == pytest.approx(float(row["mean"]), abs=1)
        assert spread / 1.5 < float(own.std()) < spread * 1.5
