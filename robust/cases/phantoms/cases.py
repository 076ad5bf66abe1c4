"""Synthetic images as cases, drawn when they are read; the same seed gives the same images."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import partial

from robust.cases.case import Cases, Entry, Pixels, finding_indices
from robust.cases.phantoms.draw import CLASSES, NOUNS, phantom
from robust.errors import InputError, did_you_mean, excerpt
from robust.plan.paths import PHANTOM, require_modality

PREFIX = PHANTOM
SPLITS = {"train": 0, "val": 1, "test": 2}
MOST_CASES = 1_000_000
"""Of a split; more would be drawn from the seeds of the next split."""
MOST_PIXELS = 1024
"""Of a side: drawing takes some 300 bytes of memory for every pixel."""
MOST_SEED = (1 << 32) - 1


def open_phantoms(
    modality: str,
    *,
    split: str | None = None,
    findings: Sequence[str] | None = None,
    group: str | None = None,
    count: int = 200,
    pixels: int = 64,
    seed: int = 0,
) -> Cases:
    """`count` synthetic images of `pixels` x `pixels`, half of them with the finding.

    Two images that share a label count as one patient, so that groups have something to group;
    their anatomy differs. Splits are drawn from different seeds and share none.
    """
    require_modality(modality)
    for name, value, least, most in (
        ("count", count, 2, MOST_CASES),
        ("pixels", pixels, 28, MOST_PIXELS),
        ("seed", seed, 0, MOST_SEED),
    ):
        if not least <= value <= most:
            raise InputError(
                f"synthetic images: {name} must be at least {least} and at most {most}, not "
                f"{excerpt(value)}"
            )
    wanted = split or "test"
    if wanted not in SPLITS:
        raise InputError(
            f"synthetic images have no split {wanted!r}; {did_you_mean(wanted, SPLITS)}"
        )
    first = (seed * len(SPLITS) + SPLITS[wanted]) * MOST_CASES
    entries = []
    for i in range(count):
        patient, finding = i // 2, i // 2 % 2
        owner = f"{wanted}-patient-{patient}" if group != "none" else f"{wanted}-{i}"
        entries.append(
            Entry(f"{wanted}-{i}", finding, owner, {}, (modality, bool(finding), first + i))
        )
    return Cases(
        source=f"{NOUNS[modality]} (drawn by a program: no patient, no clinical meaning)",
        classes=CLASSES[modality],
        entries=tuple(entries),
        read=partial(_draw, pixels),
        findings=finding_indices(CLASSES[modality], findings, in_order=True),
        grouped=group != "none",
        phantom=True,
        split=wanted,
        noun=NOUNS[modality],
        digest=partial(_digest, pixels),
    )


def _digest(pixels: int, location: tuple[str, bool, int]) -> str:
    """Of what the image is drawn from."""
    return hashlib.sha256(repr((pixels, *location)).encode()).hexdigest()


def _draw(pixels: int, location: tuple[str, bool, int]) -> Pixels:
    modality, finding, seed = location
    return phantom(modality, finding, seed, pixels)
