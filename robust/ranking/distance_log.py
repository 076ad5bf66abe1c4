"""Adversarial distances found so far, beside the table that they are for: a search can go on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from robust.errors import InputError
from robust.files import cannot, create_private, open_regular, path_exists

SUFFIX = ".distances"


@dataclass(frozen=True)
class FoundDistance:
    """What an attack found for one image."""

    distance: float | None
    """To the nearest adversarial image; None where there is none."""
    why: str = ""
    """Why there is none."""


class DistanceLog:
    """One line of JSON for each image, by the hash of its pixels; the first says what was run.

    Lines of another model, attack or norm are not used: the file begins anew. A line that a kill
    has cut is run again.
    """

    def __init__(self, table: Path | None, identity: Mapping[str, str]) -> None:
        self._path = None if table is None else table.with_name(table.name + SUFFIX)
        self.known: dict[str, FoundDistance] = {}
        if self._path is None:
            return
        header = json.dumps(dict(identity), sort_keys=True)
        if path_exists(self._path):
            self.known = _read(self._path, header)
        if not self.known:
            self._start(header)

    def add(self, found: Mapping[str, FoundDistance]) -> None:
        """Keep what was found, by the hash of the pixels."""
        self.known.update(found)
        self._append([json.dumps([pixels, asdict(one)]) for pixels, one in found.items()])

    def finish(self) -> None:
        """Remove the file: the table has it all."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def _start(self, header: str) -> None:
        assert self._path is not None
        self._path.unlink(missing_ok=True)
        try:
            create_private(self._path)
        except OSError as error:
            raise InputError(cannot(self._path, "be written", error)) from None
        self._append([header])

    def _append(self, lines: list[str]) -> None:
        if self._path is None:
            return
        try:
            with self._path.open("a", encoding="utf-8") as file:
                # A line that was cut short stays a line of its own.
                file.write("\n" + "\n".join(lines) + "\n")
        except OSError as error:
            raise InputError(cannot(self._path, "be written", error)) from None


def _read(path: Path, header: str) -> dict[str, FoundDistance]:
    known: dict[str, FoundDistance] = {}
    with open_regular(path) as file:
        lines = [line for line in file.read().decode("utf-8", "replace").splitlines() if line]
    if not lines or lines[0] != header:
        return {}
    for line in lines[1:]:
        try:
            pixels, fields = json.loads(line)
            known[str(pixels)] = FoundDistance(**fields)
        except (ValueError, TypeError):
            continue
    return known
