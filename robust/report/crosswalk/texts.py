"""The texts that a report is held against, a small TOML file each; no conformity is claimed."""

from __future__ import annotations

import datetime
import functools
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent / "texts"
CROSSWALKS: tuple[str, ...] = tuple(sorted(path.stem for path in _FOLDER.glob("*.toml")))
"""Names of the texts: each is a template of `robust report`."""


@dataclass(frozen=True)
class CrosswalkPoint:
    """One point of a text, in our own words."""

    topic: str
    """What it is about, in a few words."""
    asks: str
    """What it asks for or names."""
    place: str = ""
    """Where it stands in the text; empty where that was not seen."""
    answered_by: tuple[str, ...] = ()
    """Kinds of evidence that answer it, by their names in `EVIDENCE`."""
    also: tuple[str, ...] = ()
    """Kinds of evidence that add to the answer, and whose absence takes nothing from it."""
    limit: str = ""
    """What of the point a report does not answer even with all of that; empty for nothing."""
    outside: str = ""
    """Why no report of this program answers it; empty where one may."""


@dataclass(frozen=True)
class CrosswalkText:
    """A text with its points, and how well it is known."""

    name: str
    """By which it is asked for."""
    label: str
    """In a few words, for headings."""
    title: str
    publisher: str
    edition: str
    looked_at: datetime.date
    """When."""
    looked_at_what: str
    """What exactly was looked at then."""
    status: str
    """What kind of text it is: law, guidance, a draft."""
    points: tuple[CrosswalkPoint, ...]
    dates: tuple[str, ...] = ()
    """From when it applies; empty for a text that nobody is bound by."""


@functools.cache
def read_crosswalk(name: str) -> CrosswalkText:
    """The text of this name, one of `CROSSWALKS`."""
    with (_FOLDER / f"{name}.toml").open("rb") as file:
        raw: dict[str, Any] = tomllib.load(file)
    points = tuple(CrosswalkPoint(**_with_tuples(point)) for point in raw.pop("points"))
    return CrosswalkText(name, points=points, **_with_tuples(raw))


def _with_tuples(raw: dict[str, Any]) -> dict[str, Any]:
    return {k: tuple(value) if isinstance(value, list) else value for k, value in raw.items()}
