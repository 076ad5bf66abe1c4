"""Synthetic medical images drawn from a seed: chest X-ray, fundus photograph, dermoscopy image.

They need no download, consent or licence, and the truth about each is known: the same seed with
and without the finding is the same patient, grain included. They are for tests and demonstrations;
nothing measured on them says anything about patients.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from robust.cases.phantoms.canvas import Field
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

NOUNS: dict[str, str] = {
    "chest_xray": "synthetic chest X-rays",
    "fundus": "synthetic fundus photographs",
    "dermoscopy": "synthetic dermoscopy images",
}
"""What a report calls the images."""

MIN_SIZE = 28

Painter = Callable[[np.random.Generator, np.random.Generator | None, int], Field]

_PAINTERS: dict[str, Painter] = {"chest_xray": chest, "fundus": fundus, "dermoscopy": dermoscopy}


def phantom(modality: str, finding: bool, seed: int, size: int = 224) -> npt.NDArray[np.uint8]:
    """One image, uint8 in 0..255: (size, size) grey for chest_xray, else (size, size, 3) RGB.

    seed >= 0 chooses the patient, `finding` whether the finding is there, and size >= 28 the
    pixels alone: a seed shows the same anatomy at every size. The same arguments give the same
    bytes on the same machine and libraries; elsewhere a value may round to its neighbour.
    """
    if modality not in _PAINTERS:
        raise InputError(f"unknown modality {modality!r}; {did_you_mean(modality, MODALITIES)}")
    if size < MIN_SIZE:
        raise InputError(f"size {size} is too small to show anatomy; use at least {MIN_SIZE}")
    if seed < 0:
        raise InputError(f"seed {seed} is negative; use 0 or a positive integer")
    # Three streams, so that a finding and the number of pixels shift no draw of the anatomy.
    root = np.random.SeedSequence([seed, MODALITIES.index(modality)])
    anatomy, lesion, grain = (np.random.Generator(np.random.PCG64(s)) for s in root.spawn(3))
    image = _PAINTERS[modality](anatomy, lesion if finding else None, size)
    image = image + grain.uniform(0.008, 0.022) * grain.standard_normal(image.shape)
    return np.rint(np.clip(image, 0.0, 1.0) * 255.0).astype(np.uint8)
