"""One label an image where a table has several rows of it: they agree, or readers vote."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

from robust.cases.tables.labels import LEFT_OUT, Labels
from robust.errors import InputError, excerpt

Vote = Literal["majority", "any", "all"]


def one_label_each(
    images: Sequence[int],
    labels: Labels,
    readers: Sequence[str] | None,
    vote: Vote | None,
    keys: Sequence[str],
    table: str,
) -> dict[int, int]:
    """The label of each image, by its number in `images`, which has one for each row.

    A reader finds what any of his rows says. `majority` is more than half of the readers, or the
    class that most chose; `any` and `all` speak of a finding. Without a vote rows must agree.
    Rows that a policy leaves out have no vote. InputError where that gives no label.
    """
    if vote in ("any", "all") and not labels.finding:
        raise InputError(
            f'[data] vote = "{vote}" speaks of one finding; name it with positive, or vote = '
            f'"majority"'
        )
    rows: dict[int, list[int]] = {}
    for row, image in enumerate(images):
        rows.setdefault(image, []).append(row)
    found: dict[int, int] = {}
    torn: list[int] = []
    for image, of_image in rows.items():
        votes = [labels.values[row] for row in of_image if labels.values[row] != LEFT_OUT]
        if len(of_image) > 1 and readers is not None:
            votes = _by_reader(of_image, labels, readers)
        label = votes[0] if votes and len(set(votes)) == 1 else _decide(votes, vote, labels)
        if label is None:
            torn.append(of_image[0])
        else:
            found[image] = label
    if torn:
        raise InputError(_torn(torn, rows[images[torn[0]]], len(rows), labels, vote, keys, table))
    return found


def _by_reader(rows: Sequence[int], labels: Labels, readers: Sequence[str]) -> list[int]:
    """The vote of each reader: of a finding any of his rows, of classes each one he names."""
    by_reader: dict[str, set[int]] = {}
    for row in rows:
        if labels.values[row] != LEFT_OUT:
            by_reader.setdefault(readers[row], set()).add(labels.values[row])
    if labels.finding:
        return [max(values) for values in by_reader.values()]
    return [value for values in by_reader.values() for value in sorted(values)]


def _decide(votes: Sequence[int], vote: Vote | None, labels: Labels) -> int | None:
    """The label that votes give, `LEFT_OUT` where nobody votes, None where they give none."""
    if not votes:
        return LEFT_OUT
    if vote is None:
        return None
    if labels.finding:
        share = sum(votes) / len(votes)
        return int({"any": share > 0, "all": share == 1, "majority": share > 0.5}[vote])
    (first, count), *others = Counter(votes).most_common()
    return None if others and others[0][1] == count else first


def _torn(
    torn: Sequence[int],
    rows: Sequence[int],
    images: int,
    labels: Labels,
    vote: Vote | None,
    keys: Sequence[str],
    table: str,
) -> str:
    times = "twice" if len(rows) == 2 else f"{len(rows)} times"
    if vote is not None:
        remedy = "as many votes stand against each other; filter these rows out with where"
    elif labels.finding:
        remedy = 'say how they count: vote = "majority", "any" or "all", of each reader or row'
    else:
        remedy = (
            "keep one row per image, or name the finding with positive and how rows count: vote"
        )
    return (
        f"{table} names {excerpt(keys[rows[0]], 200)} {times}, with other labels ({len(torn)} of "
        f"{images} images so); {remedy}"
    )
