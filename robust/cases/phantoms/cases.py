"""Synthetic images as cases, drawn when they are read; the same seed gives the same images."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import partial
from typing import Any

from robust.cases.case import Cases, Entry, Pixels, StoredImage, finding_indices, stored_as
from robust.cases.masks.stored import BACKGROUND, StoredMask
from robust.cases.phantoms.draw import (
    CLASSES,
    NOUNS,
    OUTLINED,
    OutlinedPhantom,
    outlined_phantom,
    phantom,
)
from robust.cases.volumes.grid import Grid
from robust.errors import InputError, did_you_mean, excerpt
from robust.plan.paths import PHANTOM, require_phantom

PREFIX = PHANTOM
SPLITS = {"train": 0, "val": 1, "test": 2}
MOST_CASES = 1_000_000
"""Of a split; more would be drawn from the seeds of the next split."""
MOST_PIXELS = 1024
"""Of a side: drawing takes some 300 bytes of memory for every pixel."""
MOST_OF_A_VOLUME = 192
"""The same where the image is a volume."""
MOST_SEED = (1 << 32) - 1


def open_phantoms(
    name: str,
    *,
    split: str | None = None,
    findings: Sequence[str] | None = None,
    group: str | None = None,
    count: int = 200,
    pixels: int = 64,
    seed: int = 0,
) -> Cases:
    """`count` synthetic images of `pixels` x `pixels`, half of them with the finding.

    `name` is a modality, and the label whether the finding is there; or one of `OUTLINED`, and the
    case has a mask. A volume has half as many slices. Two images that agree on the finding count as
    one patient, so that groups have something to group; their anatomy differs. Splits are drawn
    from different seeds and share none.
    """
    require_phantom(name)
    outlined = OUTLINED.get(name)
    modality = name if outlined is None else outlined.modality
    for option, value, least, most in (
        ("count", count, 2, MOST_CASES),
        ("pixels", pixels, 28, MOST_OF_A_VOLUME if modality == "abdomen" else MOST_PIXELS),
        ("seed", seed, 0, MOST_SEED),
    ):
        if not least <= value <= most:
            raise InputError(
                f"synthetic images: {option} must be at least {least} and at most {most}, not "
                f"{excerpt(value)}"
            )
    if outlined is not None and findings:
        raise InputError(
            f"[data] findings does not apply to the masks of phantom:{name}; remove it"
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
        label = finding if outlined is None else 0
        place = (name, bool(finding), first + i)
        mask = None if outlined is None else place
        entries.append(Entry(f"{wanted}-{i}", label, owner, {}, place, mask=mask))
    common: dict[str, Any] = {
        "source": f"{NOUNS[modality]} (drawn by a program: no patient, no clinical meaning)",
        "entries": tuple(entries),
        "grouped": group != "none",
        "phantom": True,
        "split": wanted,
        "noun": NOUNS[modality],
        "digest": partial(_digest, pixels),
    }
    if outlined is None:
        return Cases(
            classes=CLASSES[name],
            read=partial(_draw, pixels),
            findings=finding_indices(CLASSES[name], findings, in_order=True),
            **common,
        )
    structures = outlined.structures
    return Cases(
        classes=structures if outlined.overlapping else (BACKGROUND, *structures),
        read=partial(_draw_outlined, pixels),
        read_mask=partial(_draw_mask, pixels),
        outlines="overlapping" if outlined.overlapping else "exclusive",
        **common,
    )


def _digest(pixels: int, location: tuple[str, bool, int]) -> str:
    """Of what the image is drawn from."""
    return hashlib.sha256(repr((pixels, *location)).encode()).hexdigest()


def _draw(pixels: int, location: tuple[str, bool, int]) -> Pixels:
    modality, finding, seed = location
    return phantom(modality, finding, seed, pixels)


def _draw_outlined(pixels: int, location: tuple[str, bool, int]) -> StoredImage:
    name, finding, seed = location
    drawn = outlined_phantom(name, finding, seed, pixels)
    return StoredImage(drawn.pixels, stored_as(drawn.pixels), _grid(drawn))


def _draw_mask(pixels: int, location: tuple[str, bool, int], space: tuple[int, ...]) -> StoredMask:
    name, finding, seed = location
    drawn = outlined_phantom(name, finding, seed, pixels)
    return StoredMask(drawn.mask, _grid(drawn))


def _grid(drawn: OutlinedPhantom) -> Grid | None:
    return None if drawn.spacing is None else Grid(drawn.spacing)
