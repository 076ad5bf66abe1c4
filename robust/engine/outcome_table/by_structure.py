"""The table of segmentation: a line for each case, attack, structure and score (long form)."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pyarrow as pa

from robust.engine.outcome_table.form import UNREADABLE, Line, RunContent, blanks
from robust.metrics.arrays import Array
from robust.metrics.outlines.kept import CASE_COLUMNS, COLUMNS


class ByStructure:
    """The scores of the whole case have no structure. An empty value is one that does not exist."""

    def fields(self, run: RunContent) -> list[pa.Field]:
        """The columns of a case, of the attack, of the score, and of the outcome."""
        return [
            pa.field(name, kind)
            for name, kind in (
                *(("case", pa.string()), ("group", pa.string())),
                *(("attack", pa.string()), ("norm", pa.string()), ("eps", pa.float64())),
                *(("structure", pa.string()), ("score", pa.string()), ("value", pa.float64())),
                *(("success", pa.bool_()), *run.distance_fields),
                *(("passes", pa.float64()), ("failure", pa.string())),
            )
        ]

    def place(self, run: RunContent) -> int:
        """The metadata stand last."""
        return len(self.fields(run))

    def lines(self, run: RunContent) -> Iterator[Line]:
        """Clean, then attack by attack; all scores of a case stand together."""
        cases, metadata = run.cases, run.metadata
        outcome = len(run.distance_fields) + 2
        for clean in run.store.clean():
            entry = cases.entries[clean.row]
            start: Line = [entry.id, entry.group, "clean", *blanks(2)]
            columns = [entry.metadata.get(name) for name in metadata]
            if clean.kept is None:
                yield [*start, *blanks(3), *blanks(outcome), UNREADABLE, *columns]
                continue
            for score in _scores(run.structures, clean.kept):
                yield [*start, *score, *blanks(outcome + 1), *columns]
        for cell in run.own_cells:
            for o in run.store.outcomes(cell.key):
                entry = cases.entries[o.row]
                start = [entry.id, entry.group, cell.label, cell.threat.norm, cell.eps]
                end = [o.success, *run.distances(o), o.passes, o.failure]
                columns = [entry.metadata.get(name) for name in metadata]
                for score in _scores(run.structures, o.kept):
                    yield [*start, *score, *end, *columns]


def _scores(structures: tuple[str, ...], kept: Array) -> Iterator[Line]:
    """Structure, score and value, in the order in which they are kept; HD95 may be infinite."""
    names = [(name, column) for name in structures for column in COLUMNS]
    names += [("", column) for column in CASE_COLUMNS]
    for (name, column), value in zip(names, kept.tolist(), strict=True):
        yield [name, column, None if math.isnan(value) else value]
