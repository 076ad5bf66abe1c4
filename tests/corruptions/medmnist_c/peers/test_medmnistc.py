"""Against the package medmnistc, where the environment variable `ROBUST_MEDMNISTC` names its Python.

`experiments/corruptions/oracle.py` says how to install it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from experiments.corruptions.oracle import VARIABLE, MedMNISTC, angles
from robust.corruptions.contract import Corruption
from robust.corruptions.medmnist_c.blur.motion_blur import MotionBlur, motion_blurred
from tests.conftest import DATA
from tests.corruptions.medmnist_c.images import DISTINCT, IN_COLOUR, images, stored, streams

pytestmark = pytest.mark.skipif(VARIABLE not in os.environ, reason=f"{VARIABLE} is not set")

Pixels = NDArray[np.uint8]
FIXED = {k: v for k, v in DISTINCT.items() if not v[1].random or v[1].name == "motion_blur"}
DRAWN = {k: v for k, v in DISTINCT.items() if k not in FIXED}


@pytest.fixture(scope="module")
def oracle() -> Iterator[MedMNISTC]:
    with MedMNISTC() as started:
        yield started


def real(colour: bool, size: int) -> Pixels:
    """Three real images: of 28 px from MedMNIST, of 224 px from folders; skips where they lack."""
    if size == 28:
        path = DATA / "medmnist" / f"{'retina' if colour else 'pneumonia'}mnist.npz"
        if not path.exists():
            pytest.skip(f"no {path.name}")
        return np.load(path)["test_images"][:3]
    folders = ("dermoscopy", "fundus") if colour else ("chest_xray",)
    found: list[Path] = []
    for folder in folders:
        found += sorted((DATA / folder).rglob("*.jp*g"))[: 3 - len(folders) + 1]
    if len(found) < 2:
        pytest.skip(f"no images in {', '.join(folders)}")
    mode = "RGB" if colour else "L"
    return np.stack([np.asarray(Image.open(p).convert(mode).resize((224, 224))) for p in found])


def pixels(source: str, data_set: str, size: int) -> Pixels:
    colour = data_set in IN_COLOUR
    return real(colour, size) if source == "real" else stored(data_set, size)


@pytest.mark.slow
@pytest.mark.parametrize("size", [28, 224])
@pytest.mark.parametrize("source", ["synthetic", "real"])
@pytest.mark.parametrize(("data_set", "corruption"), list(FIXED.values()), ids=list(FIXED))
def test_a_deterministic_kind_agrees_within_a_grey_level_in_the_mean(
    oracle: MedMNISTC, data_set: str, corruption: Corruption, source: str, size: int
) -> None:
    given = pixels(source, data_set, size)
    for severity in range(1, 6):
        theirs = images(oracle.corrupted(data_set, corruption.name, severity, given, seed=3))
        if isinstance(corruption, MotionBlur):
            directions = torch.from_numpy(angles(3, len(given)))
            ours = motion_blurred(images(given), *corruption.levels[severity - 1], directions)
        else:
            ours = corruption(images(given), severity, streams(len(given)))
        apart = 255 * (ours - theirs).abs()
        assert apart.flatten(1).mean(1).max() <= 1
        if corruption.name != "jpeg_compression":
            assert apart.max() < 2


@pytest.mark.slow
@pytest.mark.parametrize(("data_set", "corruption"), list(DRAWN.values()), ids=list(DRAWN))
def test_a_random_kind_agrees_in_the_distribution_of_its_change(
    oracle: MedMNISTC, data_set: str, corruption: Corruption
) -> None:
    draws = 40 if corruption.family == "noise" else 300
    given = np.repeat(pixels("synthetic", data_set, 224)[:1], draws, 0)
    for severity in (1, 3, 5):
        theirs = images(oracle.corrupted(data_set, corruption.name, severity, given, seed=3))
        ours = corruption(images(given), severity, streams(draws, severity))
        changes = [255 * (done - images(given)) for done in (ours, theirs)]
        means = [float(change.mean()) for change in changes]
        assert means[0] == pytest.approx(means[1], abs=0.75)
        sizes = [change.square().flatten(1).mean(1).sqrt() for change in changes]
        spread = float(sizes[1].std())
        error = 4 * spread * (2 / draws) ** 0.5
        assert float(sizes[0].mean()) == pytest.approx(float(sizes[1].mean()), abs=error, rel=0.01)
        assert spread / 1.6 < float(sizes[0].std()) < spread * 1.6
