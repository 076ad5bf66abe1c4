"""Separation of splits: an image that shows a picture of a later split is left out of its own."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

from robust.cases.case import Cases, pixel_hash
from robust.cases.duplicates.fingerprints import Fingerprints, fingerprint_of
from robust.cases.duplicates.merging import find_merged_groups, named_pairs
from robust.cases.duplicates.search import partners
from robust.errors import InputError
from robust.progress import Progress, no_progress
from robust.records import CopiedImages, SplitCopies

MOST_COPIES = 0.5
"""Share of a split that may be copies of images of later splits; they are left out."""


@dataclass(frozen=True)
class SeparateSplits:
    """Splits of which no two show one picture."""

    splits: Mapping[str, Cases]
    """By role, in order; in each but the first, images that show one picture are one group."""
    between: tuple[SplitCopies, ...]
    """By pair of splits that share pictures."""
    within: Mapping[str, CopiedImages]
    """The copies inside each split but the first, by role."""


def separate(splits: Mapping[str, Cases], progress: Progress = no_progress) -> SeparateSplits:
    """Leave out of each split the images that are copies or near copies of one in a later split.

    `splits` are train, val and test by role, in this order. InputError for an image that cannot be
    read, and where more than half of a split would be left out.
    """
    seen = {}
    for role, cases in splits.items():
        seen[role] = _Pictures.read(cases, role, progress)
    left_out: dict[str, set[int]] = {role: set() for role in splits}
    between = []
    for one, other in itertools.combinations(splits, 2):
        first = partners(seen[one].fingerprints, seen[other].fingerprints)
        if not first:
            continue
        entries, others = splits[one].entries, splits[other].entries
        left_out[one] |= set(first)
        between.append(
            SplitCopies(
                split=one,
                other=other,
                images=len(first),
                other_label=sum(entries[a].label != others[b].label for a, b in first.items()),
                pairs=named_pairs([(entries[a].id, others[b].id) for a, b in first.items()]),
            )
        )
    kept, within = {}, {}
    for number, (role, cases) in enumerate(splits.items()):
        _check_enough(role, len(left_out[role]), len(cases))
        rows = [row for row in range(len(cases)) if row not in left_out[role]]
        kept[role] = cases.select(rows) if left_out[role] else cases
        if number:
            kept[role], within[role] = seen[role].merged(kept[role], rows)
    return SeparateSplits(kept, tuple(between), within)


@dataclass(frozen=True)
class _Pictures:
    """What is remembered of the images of a split, in order."""

    fingerprints: Fingerprints
    pixels: tuple[str, ...]

    @classmethod
    def read(cls, cases: Cases, role: str, progress: Progress) -> _Pictures:
        fingerprints, pixels = [], []
        for row, case in enumerate(cases.stream(range(len(cases)))):
            if isinstance(case, InputError):
                raise case
            progress(row, len(cases), f"{role} images, for copies")
            fingerprints.append(fingerprint_of(case.image))
            pixels.append(pixel_hash(case.image))
        return cls(Fingerprints(fingerprints), tuple(pixels))

    def merged(self, cases: Cases, rows: list[int]) -> tuple[Cases, CopiedImages]:
        """The cases, which are those at `rows`, with groups joined; and the copies among them."""
        keys = self.fingerprints.keys
        found = find_merged_groups(
            cases,
            {place: keys[row] for place, row in enumerate(rows)},
            {place: self.pixels[row] for place, row in enumerate(rows)},
        )
        return found.applied(cases), found.copies


def _check_enough(role: str, copies: int, images: int) -> None:
    if copies > MOST_COPIES * images:
        raise InputError(
            f"{copies} of {images} {role} images are copies or near copies of images of the splits "
            f"that they are evaluated on; keep the splits apart, or name others in [splits]"
        )
