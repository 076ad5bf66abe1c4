"""Reproducibility across workers: which chunks are computed again, and what differs then."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from attacks.streams import stream_seed
from robust.cases.case import Entry
from robust.engine.cells import Cell
from robust.engine.run_memory import AGAIN, WORKERS
from robust.engine.run_store import ChunkRows, CleanPrediction, Outcome, RunStore
from robust.metrics.arrays import Array
from robust.records import CellAgain, ComputedAgain, Workers
from robust.tasks.contract import Task

SHARE = 0.01
"""Share of the chunks that are computed again."""


def chosen_chunks(count: int, seed: int) -> list[int]:
    """The chunks that are computed again: one in a hundred, at least one, chosen by the seed."""
    order = sorted(range(count), key=lambda number: stream_seed(seed, "computed again", number))
    return sorted(order[: max(1, round(SHARE * count))])


def compare(
    store: RunStore,
    cells: Mapping[str, Cell],
    again: Iterable[ChunkRows],
    rows: range,
    task: Task,
    entries: Sequence[Entry],
) -> tuple[CellAgain, ...]:
    """What a worker found for the cases `rows`, against what the store of the run has.

    `cells` are all that are attacked, by the key of their outcomes; `entries` are those of all
    cases.
    """

    def of_clean(one: CleanPrediction) -> _Found:
        if one.kept is None:
            return _Found(one.row, one.broken, (0.0,), np.zeros(0), np.zeros(0))
        kept = one.kept[None]
        right = bool(task.right(kept, [entries[one.row]])[0])
        return _Found(one.row, right, (0.0,), one.kept, task.compared(kept)[0])

    def of_outcome(one: Outcome, norm: str) -> _Found:
        verdict, compared = (one.success, one.failure is None), task.compared(one.kept[None])[0]
        distances = one.distance(norm), one.linf, one.l2
        return _Found(one.row, verdict, distances, one.kept, compared)

    found = []
    for chunk in again:
        if chunk.cell == "clean":
            predicted = map(of_clean, store.clean(rows.start, rows.stop))
            nothing = CellAgain("clean", "", 0.0, 0, 0, 0, 0.0, 0.0)
            found.append(_compared(nothing, predicted, map(of_clean, chunk.clean())))
        elif cell := cells.get(chunk.cell):
            norm = cell.threat.norm
            first = store.outcomes(chunk.cell, rows.start, rows.stop)
            ours = (of_outcome(one, norm) for one in first)
            theirs = (of_outcome(one, norm) for one in chunk.outcomes())
            nothing = CellAgain(cell.label, norm, cell.eps, 0, 0, 0, 0.0, 0.0)
            found.append(_compared(nothing, ours, theirs))
    return tuple(found)


def workers_of(store: RunStore, seed: int) -> Workers | None:
    """The workers of a run, with what they computed again; None where it had none."""
    known = store.get(WORKERS)
    if known is None:
        return None
    found = (store.get(AGAIN.of(number)) for number in chosen_chunks(known.chunks, seed))
    return replace(known, again=together(one for one in found if one is not None))


def together(parts: Iterable[ComputedAgain]) -> ComputedAgain | None:
    """Of several chunks; None where there is none."""
    chunks, processors = 0, dict[str, None]()
    cells: dict[tuple[str, str, float | None], CellAgain] = {}
    for part in parts:
        chunks += part.chunks
        processors |= dict.fromkeys(part.processors)
        for cell in part.cells:
            key = cell.attack, cell.norm, cell.eps
            known = cells.get(key)
            cells[key] = cell if known is None else _sum(known, cell)
    return ComputedAgain(chunks, tuple(processors), tuple(cells.values())) if chunks else None


def _sum(one: CellAgain, other: CellAgain) -> CellAgain:
    return replace(
        one,
        compared=one.compared + other.compared,
        differing=one.differing + other.differing,
        verdicts=one.verdicts + other.verdicts,
        distance=max(one.distance, other.distance),
        logits=max(one.logits, other.logits),
    )


@dataclass(frozen=True)
class _Found:
    """What is compared of one case."""

    row: int
    verdict: object
    distances: tuple[float, ...]
    """The first is the one that is reported."""
    kept: Array
    compared: Array
    """Of `kept`, what differences are given of: logits, or Dice."""


def _compared(nothing: CellAgain, ours: Iterable[_Found], theirs: Iterable[_Found]) -> CellAgain:
    """`nothing` with what was found; a case that one of them alone attacked has two verdicts."""
    first, second = ({one.row: one for one in found} for found in (ours, theirs))
    total = nothing
    for row in first.keys() | second.keys():
        a, b = first.get(row), second.get(row)
        if a is None or b is None:
            new = replace(nothing, compared=1, differing=1, verdicts=1)
        else:
            same = a.verdict == b.verdict and np.array_equal(a.kept, b.kept, equal_nan=True)
            same = same and all(map(_equal, a.distances, b.distances))
            new = replace(
                nothing,
                compared=1,
                differing=int(not same),
                verdicts=int(a.verdict != b.verdict),
                distance=_gap(np.array(a.distances[:1]), np.array(b.distances[:1])),
                logits=_gap(a.compared, b.compared),
            )
        total = _sum(total, new)
    return total


def _equal(a: float, b: float) -> bool:
    return a == b or (math.isnan(a) and math.isnan(b))


def _gap(a: Array, b: Array) -> float:
    """The largest difference, of what is finite in both."""
    if a.shape != b.shape:
        return 0.0
    finite = np.isfinite(a) & np.isfinite(b)
    return float(np.abs(a[finite] - b[finite]).max(initial=0.0))
