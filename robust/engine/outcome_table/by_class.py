"""The table of classification: a line for each case and attack, with prediction and logits."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from robust.engine.outcome_table.form import UNREADABLE, Line, RunContent, blanks, finite
from robust.metrics.arrays import Array


class ByClass:
    """`eps` is empty on clean lines and where a minimum-norm attack had no bound."""

    def fields(self, run: RunContent) -> list[pa.Field]:
        """The columns of a case, of the attack, of the outcome, and a logit for each class."""
        logits = [(f"logit_{name}", pa.float64()) for name in run.cases.classes]
        return [pa.field(name, kind) for name, kind in (*self._first(run), *logits)]

    def place(self, run: RunContent) -> int:
        """The metadata stand before the logits."""
        return len(self._first(run))

    def lines(self, run: RunContent) -> Iterator[Line]:
        """Clean, then attack by attack."""
        names, cases, metadata = run.cases.classes, run.cases, run.metadata
        outcome = len(run.distance_fields) + 4
        for clean in run.store.clean():
            entry = cases.entries[clean.row]
            line = [entry.id, entry.group, names[entry.label], "clean", *blanks(2)]
            columns = [entry.metadata.get(name) for name in metadata]
            if clean.kept is None:
                yield [*line, *blanks(outcome), UNREADABLE, *columns, *blanks(len(names))]
            else:
                prediction = names[int(np.argmax(clean.kept))]
                yield [*line, prediction, *blanks(outcome), *columns, *_floats(clean.kept)]
        for cell in run.own_cells:
            for o in run.store.outcomes(cell.key):
                entry = cases.entries[o.row]
                yield [
                    *(entry.id, entry.group, names[entry.label]),
                    *(cell.label, cell.threat.norm, cell.eps),
                    *(names[int(np.argmax(o.kept))], o.success),
                    *(*run.distances(o), o.passes, o.saturated, o.failure),
                    *(entry.metadata.get(name) for name in metadata),
                    *_floats(o.kept),
                ]

    def _first(self, run: RunContent) -> list[tuple[str, pa.DataType]]:
        return [
            *(("case", pa.string()), ("group", pa.string()), ("label", pa.string())),
            *(("attack", pa.string()), ("norm", pa.string()), ("eps", pa.float64())),
            *(("prediction", pa.string()), ("success", pa.bool_())),
            *(*run.distance_fields, ("passes", pa.float64())),
            *(("saturated", pa.bool_()), ("failure", pa.string())),
        ]


def _floats(logits: Array) -> list[float | None]:
    return [finite(float(value)) for value in logits]
