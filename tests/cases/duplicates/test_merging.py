"""Audited images that show one picture count as one group."""

from __future__ import annotations

import dataclasses

from robust.cases import Cases, open_cases
from robust.cases.case import pixel_hash
from robust.cases.duplicates.fingerprints import fingerprint_of
from robust.cases.duplicates.merging import MergedGroups, find_merged_groups


def merged(cases: Cases) -> MergedGroups:
    images = {row: case.image for row, case in enumerate(cases)}
    fingerprints = {row: fingerprint_of(x) for row, x in images.items()}
    return find_merged_groups(
        cases, fingerprints, {row: pixel_hash(x) for row, x in images.items()}
    )


def shown_again(cases: Cases, pairs: dict[int, int]) -> Cases:
    """The cases, some of which show the image of another one."""
    entries = [
        dataclasses.replace(entry, location=cases.entries[pairs.get(row, row)].location)
        for row, entry in enumerate(cases.entries)
    ]
    return dataclasses.replace(cases, entries=tuple(entries))


def test_groups_that_share_a_picture_are_one_along_chains() -> None:
    plain = open_cases("phantom:chest_xray", split="test", count=20, pixels=28)
    assert merged(plain).new_groups == {} and merged(plain).applied(plain) is plain
    groups = [entry.group for entry in plain.entries]
    assert len({groups[0], groups[6], groups[11]}) == 3
    twice = shown_again(plain, {6: 0, 11: 0})
    found = merged(twice)
    after = found.applied(twice)
    assert {after.entries[row].group for row in (0, 6, 11)} == {groups[0]}
    assert len({entry.group for entry in after.entries}) == len(set(groups)) - 2
    assert (found.copies.images, found.copies.identical, found.copies.joined_groups) == (2, 2, 2)
    labels = [entry.label for entry in plain.entries]
    assert found.copies.other_label == sum(labels[row] != labels[0] for row in (6, 11))
    named = {(pair.image, pair.copy) for pair in found.copies.pairs}
    assert ("test-0", "test-6") in named and ("test-0", "test-11") in named
