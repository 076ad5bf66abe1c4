"""`Cases` of a list of `Case`, with their own ids, groups, masks and metadata."""

from __future__ import annotations

from collections.abc import Sequence

from robust.cases.case import Case, CaseNotes, Cases, Entry, StoredImage, finding_indices, stored_as
from robust.cases.in_memory.masks import HeldMasks, as_masks, read_held_mask
from robust.cases.in_memory.pixels import as_pixels
from robust.cases.in_memory.targets import as_labels, class_names
from robust.cases.index.spelling import spelled_alike
from robust.cases.masks.stored import StoredMask
from robust.cases.stored_pixels import Pixels
from robust.cases.volumes.grid import Grid
from robust.errors import InputError

_ROUNDING = 1e-6
"""How far a displayed float may lie beside the one that its stored float leads back to."""


def from_case_list(
    cases: Sequence[Case], classes: Sequence[str] | None, findings: Sequence[str] | None
) -> Cases:
    """Cases whose pixels are kept as their files hold them; InputError."""
    ids = [case.id for case in cases]
    if len(set(ids)) < len(ids):
        twice = next(name for i, name in enumerate(ids) if name in ids[:i])
        raise InputError(f"two cases have the id {twice!r}; give each its own")
    floats = as_pixels([case.image for case in cases])
    stored = [_stored(case, pixels) for case, pixels in zip(cases, floats, strict=True)]
    held = _masks(cases, stored, classes)
    if held is None:
        labels, _ = as_labels([case.label for case in cases], len(cases))
        names = class_names(labels, None, classes)
    else:
        labels, names = [0] * len(cases), held.classes
    groups = {case.group for case in cases}
    return Cases(
        source="images in memory",
        classes=names,
        entries=tuple(
            Entry(
                case.id,
                label,
                case.group,
                case.metadata,
                place,
                mask=None if held is None else held.masks[i],
                target_mask=None
                if case.target_mask is None
                else StoredMask(case.target_mask.numpy()),
            )
            for i, (case, label, place) in enumerate(zip(cases, labels, stored, strict=True))
        ),
        read=as_held,
        findings=() if held is not None else finding_indices(names, findings, in_order=True),
        grouped=len(groups) < len(cases) or groups != set(ids),
        notes=CaseNotes(groups_alike=spelled_alike(groups)),
        outlines=None if held is None else held.outlines,
        read_mask=read_held_mask,
    )


def as_held(location: StoredImage) -> StoredImage:
    """`Cases.read` of images that are their own location."""
    return location


def _stored(case: Case, pixels: Pixels) -> StoredImage:
    grid = None if case.spacing is None else Grid(case.spacing)
    held = case.stored.pixels(case.image)
    apart = float((case.stored.image(held) - case.image).abs().max())
    if apart <= (_ROUNDING if case.stored.wide == "float" else 0):
        return StoredImage(held, case.stored, grid)
    return StoredImage(pixels, stored_as(pixels), grid)


def _masks(
    cases: Sequence[Case], stored: Sequence[StoredImage], classes: Sequence[str] | None
) -> HeldMasks | None:
    masks = [case.mask for case in cases if case.mask is not None]
    if not masks:
        return None
    if len(masks) < len(cases):
        raise InputError(f"{len(masks)} of {len(cases)} cases have a mask; give all one, or none")
    return as_masks(masks, [one.pixels for one in stored], classes)
