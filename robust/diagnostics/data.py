"""Warnings about the cases: synthetic or broken images, copies, groups, classes, shortcuts.

Each check returns what it observed where its warning is raised, else None; `FLAG_TEXTS` says why
the warning matters and what to do.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from robust.cases.index.files import unread_text
from robust.diagnostics.evidence import Evidence
from robust.diagnostics.metadata_shortcuts import find_shortcuts
from robust.records import named_copies
from robust.records.estimate import TOO_FEW
from robust.units import percent_text

DARK = 0.5
"""Brightest value of all images below which a bit of each value, or more, is not used."""


def phantoms(e: Evidence) -> str | None:
    """Raised if the images are synthetic: a program drew them."""
    return "every image is synthetic, drawn by a program" if e.cases.phantom else None


def shortcut(e: Evidence) -> str | None:
    """Raised if a metadata column, or the group, predicts the label of held-out cases."""
    found = find_shortcuts(e.cases, e.seed) if e.outlines is None else {}
    if not found:
        return None
    name, right = max(found.items(), key=lambda item: item[1])
    others = f"; so do {', '.join(sorted(set(found) - {name}))}" if len(found) > 1 else ""
    return (
        f"{name} alone predicts the label of held-out cases: {percent_text(right)} correct on "
        f"average over the classes, {percent_text(1 / len(e.cases.classes))} by chance{others}"
    )


def no_groups(e: Evidence) -> str | None:
    """Raised if no patient or lesion column is given."""
    if e.cases.grouped:
        return None
    return "no patient or lesion column is given; each image counts as its own group"


def few_groups(e: Evidence) -> str | None:
    """Raised if there are fewer than `TOO_FEW` groups."""
    if e.groups >= TOO_FEW:
        return None
    return f"{e.groups} groups, at least {TOO_FEW} needed"


def broken_files(e: Evidence) -> str | None:
    """Raised if image files could not be read and were skipped."""
    if not e.broken:
        return None
    return f"{e.broken} of {e.broken + len(e.cases)} images could not be read and were skipped"


def missing_class(e: Evidence) -> str | None:
    """Raised if a class has no case."""
    if e.outlines is not None:
        return None
    present = {entry.label for entry in e.cases.entries}
    missing = [name for i, name in enumerate(e.cases.classes) if i not in present]
    return f"no case of {', '.join(missing)}" if missing else None


def grey_in_colour(e: Evidence) -> str | None:
    """Raised if any of the images looked at has three equal channels."""
    if not e.grey_in_colour:
        return None
    return f"{e.grey_in_colour} of the images looked at have three equal channels"


def left_out(e: Evidence) -> str | None:
    """Raised if files with images were left out, since their format is not read."""
    return unread_text(e.notes.left_out) if e.notes.left_out else None


def groups_alike(e: Evidence) -> str | None:
    """Raised if groups differ from one another in spelling alone."""
    if not e.notes.groups_alike:
        return None
    return f"{e.notes.groups_alike} groups are written like another one but for the spelling"


def groups_finer_than_names(e: Evidence) -> str | None:
    """Raised if each image is a group, and file names that differ at their end alone make fewer."""
    groups, images = e.notes.finer_than_names
    if not images:
        return None
    return (
        f"each of {images} images is its own group, while their file names, without what tells "
        f"views or numbers apart at the end, are {groups}"
    )


def part_of_range(e: Evidence) -> str | None:
    """Raised if no image is brighter than half of the range that is displayed."""
    if not 0 < e.brightest < DARK:
        return None
    bits = 16 - int(math.log2(1 / e.brightest)) if e.brightest else 0
    return (
        f"the brightest value of all images is {e.brightest:.3g} of the range that their files "
        f"have room for: in a file of 16 bits, values of {bits}"
    )


def copied_images(e: Evidence) -> str | None:
    """Raised if audited images show one picture, or one that detectors learn from."""
    seen = [*_audited_copies(e), *_copies_for_detectors(e)]
    return "; ".join(seen) or None


def _audited_copies(e: Evidence) -> Iterator[str]:
    found = e.copies
    if not found.images:
        return
    nearly = found.images - found.identical
    labels = f", {found.other_label} pairs with two labels" if found.other_label else ""
    yield (
        f"{found.images} of the {len(e.cases)} audited images are copies of another one "
        f"({found.identical} equal to the bit, {nearly} nearly so{labels}): "
        f"{named_copies(found.pairs)}"
    )


def _copies_for_detectors(e: Evidence) -> Iterator[str]:
    if e.detection is None:
        return
    reference = e.detection.reference
    if reference.left_out:
        one = "is a copy of an audited one and was left out"
        several = "are copies of audited ones and were left out"
        yield (
            f"{reference.left_out} of {reference.left_out + reference.cases} images of the "
            f"reference {one if reference.left_out == 1 else several}: "
            f"{named_copies(reference.copies)}"
        )
    if e.detection.joined_by_features:
        yield (
            f"{e.detection.joined_by_features} pairs of images that detectors are evaluated on are "
            f"near copies to the network alone"
        )
