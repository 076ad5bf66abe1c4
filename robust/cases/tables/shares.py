"""Splits by shares: each patient wholly in one, drawn by a seed, with each class in proportion."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence

from robust.errors import InputError

_WHOLE = 1e-6


def are_shares(splits: Mapping[str, object]) -> bool:
    """Whether the plan names shares, not lists; InputError where it names both or nothing."""
    kinds = {isinstance(value, str) for value in splits.values()}
    if len(kinds) != 1:
        raise InputError(
            "[data] splits names lists of images, or shares of the patients, for every split"
        )
    return kinds == {False}


def drawn_text(shares: Mapping[str, float], seed: int, unit: str) -> str:
    """What the report says of splits that were drawn; `unit` is a group or an image."""
    parts = ", ".join(f"{name} {share:g}" for name, share in shares.items())
    return f"splits drawn by {unit} with seed {seed}, stratified by label: {parts}"


def check_shares(shares: Mapping[str, float]) -> None:
    """InputError where shares are not positive or do not add up to 1."""
    if any(not 0 < share <= 1 for share in shares.values()):
        raise InputError("[data] splits: each share must be above 0 and at most 1")
    if abs(sum(shares.values()) - 1) > _WHOLE:
        raise InputError(
            f"[data] splits: the shares add up to {sum(shares.values()):g}, not 1; name a share "
            f"for every split"
        )


def draw_splits(
    groups: Sequence[str], strata: Sequence[str], shares: Mapping[str, float], seed: int
) -> list[str]:
    """The split of each image; images of a group are in one.

    `strata` are the labels as written: of a group with several the rarest counts. Within a stratum
    groups are dealt out by the hash of their name and the seed, so that each split has its share
    of each stratum up to one group. The order of images does not matter.
    """
    check_shares(shares)
    frequency = Counter(strata)
    kind: dict[str, str] = {}
    for group, stratum in zip(groups, strata, strict=True):
        kind[group] = min(
            stratum, kind.get(group, stratum), key=lambda text: (frequency[text], text)
        )
    places = {text: _hash(seed, "stratum", text) for text in set(kind.values())}
    order = sorted(kind, key=lambda group: (places[kind[group]], _hash(seed, "group", group)))
    names = sorted(shares)
    dealt = dict.fromkeys(names, 0)
    chosen: dict[str, str] = {}
    for count, group in enumerate(order, 1):
        # The split that lacks most of its share so far.
        name = max(names, key=lambda one: (shares[one] * count - dealt[one], shares[one], one))
        dealt[name] += 1
        chosen[group] = name
    return [chosen[group] for group in groups]


def _hash(seed: int, what: str, text: str) -> bytes:
    return hashlib.sha256(f"{seed}\0{what}\0{text}".encode("utf-8", "surrogateescape")).digest()
