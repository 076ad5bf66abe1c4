"""A sample of cases, stratified by class and group: the same for the same cases and seed.

Every n-th case of a list is no sample: with the left and the right eye in turn it takes one side.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Unit:
    """What a sample is drawn by, of one case."""

    id: str
    stratum: Hashable
    """Its class: classes keep their shares."""
    group: str
    """Its patient: no patient gives a second image before all of the class gave one."""


def sample(units: Sequence[Unit], limit: int, seed: int = 0) -> list[int]:
    """Places of at most `limit` of the units, ascending.

    Each stratum has its share, and at least one where `limit` allows it. The choice is drawn by
    hashes of seed, group and id, so that it does not depend on the order of the units.
    """
    if limit >= len(units):
        return list(range(len(units)))
    strata: dict[Hashable, list[int]] = defaultdict(list)
    for place, unit in enumerate(units):
        strata[unit.stratum].append(place)
    members = sorted(strata.values(), key=len)
    chosen: list[int] = []
    for own, share in zip(members, _shares([len(own) for own in members], limit), strict=True):
        chosen += _in_drawn_order(units, own, seed)[:share]
    return sorted(chosen)


def sample_places(count: int, limit: int, seed: int = 0) -> list[int]:
    """At most `limit` of the places 0 to count - 1, ascending: a sample without strata."""
    return sample([Unit(str(i), 0, str(i)) for i in range(count)], limit, seed)


def _shares(sizes: Sequence[int], limit: int) -> list[int]:
    """How many of each stratum, ascending in size: largest remainders, and one each if possible."""
    total = sum(sizes)
    exact = [limit * size / total for size in sizes]
    shares = [int(part) for part in exact]
    by_remainder = sorted(range(len(sizes)), key=lambda i: shares[i] - exact[i])
    for i in by_remainder[: limit - sum(shares)]:
        shares[i] += 1
    for i, share in enumerate(shares):
        richest = max(range(len(shares)), key=shares.__getitem__)
        if not share and shares[richest] > 1:
            shares[i], shares[richest] = 1, shares[richest] - 1
    return shares


def _in_drawn_order(units: Sequence[Unit], places: Sequence[int], seed: int) -> list[int]:
    """The places of one stratum: of each group one, then of each that has it a second, ..."""
    by_group: dict[str, list[int]] = defaultdict(list)
    for place in sorted(places, key=lambda place: _drawn(seed, "case", units[place].id)):
        by_group[units[place].group].append(place)
    ranks = {group: _drawn(seed, "group", group) for group in by_group}
    turns = [
        (turn, ranks[group], place)
        for group, own in by_group.items()
        for turn, place in enumerate(own)
    ]
    return [place for *_, place in sorted(turns)]


def _drawn(seed: int, kind: str, name: str) -> bytes:
    text = f"{seed} {kind} {name}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=8).digest()
