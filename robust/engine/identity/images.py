"""Images of a run must stay what they were: files between calls, pixels within one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from robust.cases.case import Case, Cases, Entry, pixel_hash
from robust.engine.run_store import CleanPrediction
from robust.errors import InputError, excerpt
from robust.progress import Progress, no_progress

_NAMED = 3
"""Changed files that are named."""
_AT_ONCE = 4096


class ChangedImage(InputError):
    """An image is not the one that the run began with."""


def require_unchanged(
    cases: Cases, known: Mapping[int, str], progress: Progress = no_progress
) -> None:
    """ChangedImage, naming the first, where files are not those of the finished rows any more.

    `known` has the digest of each by row; an empty one is of a file that could not be read then.
    The names are for the terminal alone: they may name a patient.
    """

    def differs(row: int) -> bool:
        if not known[row]:
            return False
        try:
            return row >= len(cases) or cases.content(row) != known[row]
        except InputError:
            return True

    rows, changed = sorted(known), []
    with ThreadPoolExecutor(2, thread_name_prefix="contents") as pool:
        for start in range(0, len(rows), _AT_ONCE):
            progress(start, len(rows), "checking that the images are the same")
            part = rows[start : start + _AT_ONCE]
            changed += [row for row, new in zip(part, pool.map(differs, part)) if new]
    if not changed:
        return
    names = ", ".join(_name(cases.entries[row]) for row in changed[:_NAMED])
    more = f" and {len(changed) - _NAMED} more" if len(changed) > _NAMED else ""
    verb = "has" if len(changed) == 1 else "have"
    raise ChangedImage(
        f"{names}{more} {verb} changed since this run began; choose another folder with --out, or "
        f"put the old file back"
    )


def contents_of(cases: Cases, rows: Sequence[int]) -> dict[int, str]:
    """By row: the digest of what lies there now; empty where it cannot be read."""

    def digest(row: int) -> str:
        try:
            return cases.content(row)
        except InputError:
            return ""

    with ThreadPoolExecutor(2, thread_name_prefix="contents") as pool:
        return dict(zip(rows, pool.map(digest, rows), strict=True))


def with_known_pixels(cases: Cases, clean: Iterable[CleanPrediction]) -> Cases:
    """The cases, each checked whenever it is read: its pixels are those that were predicted."""
    ids = [entry.id for entry in cases.entries]
    hashes = {ids[one.row]: one.pixels for one in clean if one.pixels}
    return dataclasses.replace(cases, check=_check(hashes))


def _check(hashes: Mapping[str, str]) -> Callable[[Entry, Case], None]:
    def check(entry: Entry, case: Case) -> None:
        known = hashes.get(case.id)
        if known is not None and pixel_hash(case.image) != known:
            raise ChangedImage(
                f"an image changed while the audit ran: {_name(entry)}; put the old file back, or "
                f"choose another folder with --out"
            )

    return check


def _name(entry: Entry) -> str:
    place = getattr(entry.location, "path", entry.location)
    return excerpt(entry.id if isinstance(place, int | tuple) else place, 200)
