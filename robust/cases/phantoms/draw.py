"""Synthetic images and masks drawn from a seed: chest X-ray, fundus, dermoscopy, abdominal CT.

They need no download, consent or licence, and the truth about each is known: the same seed with
and without the finding is the same patient, grain included. They are for tests and demonstrations;
nothing measured on them says anything about patients.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from robust.cases.phantoms.abdomen import abdomen
from robust.cases.phantoms.canvas import Drawing
from robust.cases.phantoms.chest import chest
from robust.cases.phantoms.dermoscopy import dermoscopy
from robust.cases.phantoms.fundus import fundus
from robust.errors import InputError, did_you_mean
from robust.plan.paths import MODALITIES as MODALITIES

CLASSES: dict[str, tuple[str, str]] = {
    "chest_xray": ("normal", "opacity"),
    "fundus": ("normal", "retinopathy"),
    "dermoscopy": ("naevus", "melanoma-like"),
}
"""Class names by label: 0 without the finding, 1 with it."""

FINDINGS: dict[str, str] = {modality: names[1] for modality, names in CLASSES.items()}
"""The name of each modality's finding."""


class Outlined(NamedTuple):
    """What the masks of synthetic images show."""

    modality: str
    structures: tuple[str, ...]
    """Where masks are exclusive, a later structure lies above an earlier one."""
    overlapping: bool = False


OUTLINED: dict[str, Outlined] = {
    "lungs": Outlined("chest_xray", ("left lung", "right lung")),
    "opacity": Outlined("chest_xray", ("left lung", "right lung", "opacity"), overlapping=True),
    "vessels": Outlined("fundus", ("optic disc", "vessels")),
    "lesion": Outlined("dermoscopy", ("lesion",)),
    "organ": Outlined("abdomen", ("organ", "lesion")),
}
"""What is outlined, by the name in a data path. Half of the cases have an opacity, and a lesion of
the organ."""

NOUNS: dict[str, str] = {
    "chest_xray": "synthetic chest X-rays",
    "fundus": "synthetic fundus photographs",
    "dermoscopy": "synthetic dermoscopy images",
    "abdomen": "synthetic CT volumes",
}
"""What a report calls the images."""

MIN_SIZE = 28

Painter = Callable[[np.random.Generator, np.random.Generator | None, int], Drawing]

_PAINTERS: dict[str, Painter] = {
    "chest_xray": chest,
    "fundus": fundus,
    "dermoscopy": dermoscopy,
    "abdomen": abdomen,
}
"""A modality's place here is part of its seed: append, never reorder."""


class OutlinedPhantom(NamedTuple):
    """A synthetic image with its mask."""

    pixels: npt.NDArray[np.uint8]
    """`(h, w)`, `(h, w, 3)`, or a volume `(d, h, w, 1)`."""
    mask: npt.NDArray[np.uint8]
    """As in `Case.mask`."""
    spacing: tuple[float, ...] | None


def phantom(modality: str, finding: bool, seed: int, size: int = 224) -> npt.NDArray[np.uint8]:
    """One image, uint8 in 0..255: (size, size) grey for chest_xray, else (size, size, 3) RGB.

    seed >= 0 chooses the patient, `finding` whether the finding is there, and size >= 28 the
    pixels alone: a seed shows the same anatomy at every size. The same arguments give the same
    bytes on the same machine and libraries; elsewhere a value may round to its neighbour.
    """
    if modality not in MODALITIES:
        raise InputError(f"unknown modality {modality!r}; {did_you_mean(modality, MODALITIES)}")
    return _draw(modality, finding, seed, size)[0]


def outlined_phantom(name: str, finding: bool, seed: int, size: int) -> OutlinedPhantom:
    """One image with the mask `name` of `OUTLINED`: for `lungs` that of `phantom("chest_xray")`.

    A volume has `size // 2` slices. A pixel belongs to a structure that covers more than half.
    """
    modality, structures, overlapping = OUTLINED[name]
    pixels, drawing = _draw(modality, finding, seed, size)
    covered = np.stack([drawing.structures[structure] > 0.5 for structure in structures])
    mask = covered.astype(np.uint8)
    if not overlapping:
        numbers = np.arange(1, len(structures) + 1, dtype=np.uint8)
        mask = np.max(mask * numbers.reshape(-1, *[1] * (covered.ndim - 1)), axis=0)
    volume = drawing.spacing is not None
    return OutlinedPhantom(pixels[..., None] if volume else pixels, mask, drawing.spacing)


def _draw(
    modality: str, finding: bool, seed: int, size: int
) -> tuple[npt.NDArray[np.uint8], Drawing]:
    """The pixels with their grain, and what they were made of."""
    if size < MIN_SIZE:
        raise InputError(f"size {size} is too small to show anatomy; use at least {MIN_SIZE}")
    if seed < 0:
        raise InputError(f"seed {seed} is negative; use 0 or a positive integer")
    # Three streams, so that a finding and the number of pixels shift no draw of the anatomy.
    root = np.random.SeedSequence([seed, list(_PAINTERS).index(modality)])
    anatomy, lesion, grain = (np.random.Generator(np.random.PCG64(s)) for s in root.spawn(3))
    drawing = _PAINTERS[modality](anatomy, lesion if finding else None, size)
    image = drawing.image
    image = image + grain.uniform(0.008, 0.022) * grain.standard_normal(image.shape)
    return np.rint(np.clip(image, 0.0, 1.0) * 255.0).astype(np.uint8), drawing
