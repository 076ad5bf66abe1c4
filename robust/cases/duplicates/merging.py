"""Merged groups: audited images that show one picture are one group, whatever their names."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from robust.cases.case import Cases
from robust.cases.duplicates.fingerprints import Fingerprints
from robust.cases.duplicates.search import Pairs, near_duplicates
from robust.metrics.arrays import Mask
from robust.metrics.groups import joined_groups
from robust.records import CopiedImages, CopyPair

NAMED = 10
"""Most pairs that a report names."""


@dataclass(frozen=True)
class MergedGroups:
    """The copies among the audited images, and the groups that they join."""

    copies: CopiedImages
    new_groups: dict[str, str]
    """By group that was joined to another one: the name of that other one."""

    def applied(self, cases: Cases) -> Cases:
        """The cases with the joined groups."""
        if not self.new_groups:
            return cases
        entries = tuple(
            dataclasses.replace(entry, group=self.new_groups.get(entry.group, entry.group))
            for entry in cases.entries
        )
        return dataclasses.replace(cases, entries=entries)


def find_merged_groups(
    cases: Cases, fingerprints: Mapping[int, bytes], pixels: Mapping[int, str]
) -> MergedGroups:
    """Find the copies among cases, by row their fingerprints and the hashes of their pixels.

    Images of one group that resemble each other are no copies unless they are equal to the bit.
    """
    rows = sorted(fingerprints)
    groups = [cases.entries[row].group for row in rows]
    labels = [cases.entries[row].label for row in rows]
    hashes = [pixels[row] for row in rows]
    pairs = near_duplicates(Fingerprints([fingerprints[row] for row in rows]))
    same_group, equal = (_same(values, pairs) for values in (groups, hashes))
    pairs = pairs[~same_group | equal]
    joined = joined_groups(groups, pairs)
    first = dict(zip(joined[::-1].tolist(), groups[::-1], strict=True))
    new = {old: first[code] for old, code in zip(groups, joined.tolist(), strict=True)}
    pictures = joined_groups([str(i) for i in range(len(rows))], pairs)
    copies = CopiedImages(
        images=len(rows) - len(np.unique(pictures)),
        identical=len(rows) - len(set(hashes)),
        joined_groups=len(set(groups)) - len(np.unique(joined)),
        other_label=int((~_same(labels, pairs)).sum()),
        pairs=named_pairs(
            [(cases.entries[rows[a]].id, cases.entries[rows[b]].id) for a, b in pairs[:NAMED]]
        ),
    )
    return MergedGroups(copies, {old: name for old, name in new.items() if old != name})


def _same(values: Sequence[object], pairs: Pairs) -> Mask:
    """For which pairs of places `(m, 2)` the values are equal."""
    codes = np.unique(values, return_inverse=True)[1]  # type: ignore[call-overload]
    found: Mask = codes[pairs[:, 0]] == codes[pairs[:, 1]]
    return found


def named_pairs(pairs: Sequence[tuple[str, str]]) -> tuple[CopyPair, ...]:
    """The first pairs of ids, as a report names them."""
    return tuple(CopyPair(*pair) for pair in pairs[:NAMED])
