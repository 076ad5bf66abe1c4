"""Writes corruptions.csv: how wrong the model is on each case under each corruption of a run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from robust.corruptions.predictions import CorruptedSample
from robust.corruptions.registry import corruptions_of
from robust.corruptions.run import modality_of
from robust.corruptions.scoring import sample_scorer
from robust.engine.outcome_table.csv_file import write_lines
from robust.engine.outcome_table.form import Line
from robust.engine.run_memory import CORRUPTED, CorruptedCases
from robust.engine.session import Session
from robust.plan.spec import AuditSpec, CorruptionsSpec

CORRUPTION_TABLE = "corruptions.csv"
"""Name of the file."""
COLUMNS = ("case", "group", "label", "kind", "severity", "prediction", "error", "l2", "linf")


def write_corruption_table(
    directory: Path, spec: CorruptionsSpec | None, audit: AuditSpec, session: Session
) -> str:
    """Write the table of a run whose corruptions are finished; its SHA-256, "" without any.

    `error` is that of the case, in [0, 1]: 1 if it is misread, of outlines 1 less its Dice. Of
    outlines `label` and `prediction` are empty.
    """
    if spec is None:
        return ""
    lines = _lines(spec, audit, session)
    return write_lines(directory / CORRUPTION_TABLE, COLUMNS, lines)


def _lines(spec: CorruptionsSpec, audit: AuditSpec, session: Session) -> Iterator[Line]:
    sample = CorruptedSample.of(session, spec.cases, audit.seed)
    scorer = sample_scorer(session, sample)
    entries = [session.cases.entries[row] for row in sample.rows]
    classes = () if session.task.record.is_segmentation else session.cases.classes
    for one in corruptions_of(modality_of(spec, session.cases.noun), spec.kinds):
        for severity in sorted(spec.severities):
            kept, l2, linf = _stored(session, one.name, severity)
            errors = scorer.errors(kept)
            for place, entry in enumerate(entries):
                said = classes[int(kept[place].argmax())] if classes else None
                yield [
                    *(entry.id, entry.group, classes[entry.label] if classes else None),
                    *(one.name, severity, said),
                    *(float(errors[place]), float(l2[place]), float(linf[place])),
                ]


def _stored(session: Session, kind: str, severity: int) -> tuple[np.ndarray, ...]:
    """What is kept of the predictions, and the distances, of the whole sample in its order."""
    parts: list[CorruptedCases] = []
    while (found := session.store.get(CORRUPTED.of(kind, severity, len(parts)))) is not None:
        parts.append(found)
    columns = ("kept", "l2", "linf")
    return tuple(
        np.array([value for part in parts for value in getattr(part, name)]) for name in columns
    )
