"""The per-case table, outcomes.csv: every rate of the report follows from it."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from robust.cases.case import Cases
from robust.engine.cells import Cell
from robust.engine.store import Store

_COLUMNS = (
    *("case", "group", "label", "attack", "norm", "eps", "prediction", "success"),
    *("linf", "l2", "passes", "saturated", "failure"),
)


def write_table(path: Path, store: Store, cases: Cases, cells: Sequence[Cell]) -> str:
    """Write the table, replacing an old one as a whole; returns its SHA-256.

    `eps` is empty on clean lines and where a minimum-norm attack had no bound. Logits are written
    with nine digits, which give a float32 back exactly.
    """
    metadata = sorted({name for entry in cases.entries for name in entry.metadata})
    logits = [f"logit_{name}" for name in cases.classes]
    partial = path.with_suffix(".partial")
    with partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*_COLUMNS, *metadata, *logits])
        for line, row in _lines(store, cases, cells):
            kept = cases.entries[row].metadata
            writer.writerow([*line[0], *(kept.get(name, "") for name in metadata), *line[1]])
    partial.replace(path)
    with path.open("rb") as written:
        return hashlib.file_digest(written, "sha256").hexdigest()


def _lines(
    store: Store, cases: Cases, cells: Sequence[Cell]
) -> Iterator[tuple[tuple[list[object], list[str]], int]]:
    names = cases.classes
    for clean in store.clean():
        entry = cases.entries[clean.row]
        head: list[object] = [entry.id, entry.group, names[entry.label], "clean", "", ""]
        if clean.logits is None:
            yield ([*head, "", "", "", "", "", "", "file could not be read"], []), clean.row
            continue
        said = names[int(np.argmax(clean.logits))]
        yield ([*head, said, "", "", "", "", "", ""], _digits(clean.logits)), clean.row
    for cell in cells:
        if cell.same_as is not None:
            continue
        for o in store.outcomes(cell.key):
            entry = cases.entries[o.row]
            line: list[object] = [entry.id, entry.group, names[entry.label], cell.label]
            line += [cell.threat.norm, "" if cell.eps is None else f"{cell.eps:.9g}"]
            line += [names[int(np.argmax(o.logits))], int(o.success)]
            line += [f"{o.linf:.9g}", f"{o.l2:.9g}", f"{o.passes:g}", int(o.saturated)]
            yield ([*line, o.failure or ""], _digits(o.logits)), o.row


def _digits(logits: object) -> list[str]:
    return [f"{value:.9g}" for value in np.asarray(logits)]
