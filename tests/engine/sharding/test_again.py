"""What is computed again is compared case by case: verdicts, distances and logits, to the bit."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np

from attacks import FGSM, ThreatModel
from robust.cases.case import Entry
from robust.engine.cells import Cell
from robust.engine.run_memory import AGAIN, WORKERS
from robust.engine.run_store import ChunkRows, CleanPrediction, Outcome, RunStore
from robust.engine.sharding.again import chosen_chunks, compare, workers_of
from robust.records import AuditedTask, CellAgain, ComputedAgain, Workers
from robust.tasks.segmentation import Segmentation
from tests.tasks.questions import classification

CELL = Cell("FGSM", FGSM(), ThreatModel("Linf", 0.25), exact=True)
LOGITS = np.array([1.0, -1.0])
TWO_CLASSES = classification(2)
ENTRIES = [Entry(str(row), 0, str(row), {}, None) for row in range(16)]


def outcome(row: int, **changes: object) -> Outcome:
    plain = Outcome(
        row, LOGITS, 0.25, 1.0, 1.0, 2.0, 8.0, success=True, saturated=False, passes=2.0
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def rows_of(folder: Path, outcomes: list[Outcome], clean: list[CleanPrediction]) -> list[ChunkRows]:
    """What a worker sends."""
    store = RunStore(folder)
    store.taken = []
    store.add_clean(1, clean, 0.1)
    store.add_outcomes(CELL.key, 1, outcomes, 0.1)
    taken = store.taken
    store.close()
    return taken


def clean(row: int, **changes: object) -> CleanPrediction:
    return replace(CleanPrediction(row, LOGITS, "pixels"), **changes)  # type: ignore[arg-type]


def found(tmp_path: Path, theirs: list[Outcome], seen: list[CleanPrediction]) -> list[CellAgain]:
    store = RunStore(tmp_path / "run")
    ours = [outcome(8), outcome(9, success=False), outcome(10), outcome(11, linf=math.nan)]
    for rows in rows_of(tmp_path / "one", ours, [clean(row) for row in range(8, 16)]):
        store.add_rows(rows)
    try:
        again = rows_of(tmp_path / "two", theirs, seen)
        return list(compare(store, {CELL.key: CELL}, again, range(8, 16), TWO_CLASSES, ENTRIES))
    finally:
        store.close()


def test_equal_to_the_last_digit(tmp_path: Path) -> None:
    same = [outcome(8), outcome(9, success=False), outcome(10), outcome(11, linf=math.nan)]
    cells = found(tmp_path, same, [clean(row) for row in range(8, 16)])
    assert cells == [
        CellAgain("clean", "", 0.0, 8, 0, 0, 0.0, 0.0),
        CellAgain("FGSM", "Linf", 0.25, 4, 0, 0, 0.0, 0.0),
    ]


def test_each_difference_is_counted(tmp_path: Path) -> None:
    """A digit of a logit; a distance; a verdict; a case that one worker alone attacked."""
    theirs = [
        outcome(8, kept=LOGITS + np.array([0, 1e-6])),
        outcome(9, success=True),
        outcome(10, linf=0.2),
    ]
    seen = [clean(row) for row in range(8, 15)] + [clean(15, kept=LOGITS[::-1])]
    clean_again, fgsm = found(tmp_path, theirs, seen)
    assert (clean_again.compared, clean_again.differing, clean_again.verdicts) == (8, 1, 1)
    assert clean_again.logits == 2.0
    assert (fgsm.compared, fgsm.differing, fgsm.verdicts) == (4, 4, 2)
    assert fgsm.distance == 0.25 - 0.2 and 0.9e-6 < fgsm.logits < 1.1e-6


def test_outlines_differ_in_dice_and_what_is_not_finite_in_both_is_equal(tmp_path: Path) -> None:
    """A structure that is missed has an HD95 of inf; one that is nowhere has NaN."""
    missed = [0.0, 0.0, 0.0, math.inf, -1.0, 9.0, 0.0]
    nowhere = [math.nan] * 5 + [0.0, 0.0]
    scores = np.array([*missed, *nowhere, 0.0, 0.9, 22.6, math.nan])
    other = scores.copy()
    other[:7] = [0.25, 0.2, 0.2, 3.0, 0.0, 9.0, 9.0]
    other[-4] = 0.25
    task = Segmentation(AuditedTask("segmentation", ("a", "b")), "error", ("0", "a", "b"), (1, 2))
    ours = [outcome(8, kept=scores), outcome(9, kept=scores)]
    theirs = [outcome(8, kept=scores.copy()), outcome(9, kept=other)]
    store = RunStore(tmp_path / "outlined")
    for rows in rows_of(tmp_path / "three", ours, [clean(8, kept=scores)]):
        store.add_rows(rows)
    again = rows_of(tmp_path / "four", theirs, [clean(8, kept=scores.copy())])
    seen, fgsm = compare(store, {CELL.key: CELL}, again, range(8, 16), task, ENTRIES)
    store.close()
    assert (seen.compared, seen.differing) == (1, 0)
    assert (fgsm.compared, fgsm.differing, fgsm.verdicts, fgsm.logits) == (2, 1, 0, 0.25)


def test_one_in_a_hundred_at_least_one_chosen_by_the_seed() -> None:
    assert [len(chosen_chunks(n, 0)) for n in (1, 6, 100, 149, 151, 1000)] == [1, 1, 1, 1, 2, 10]
    assert chosen_chunks(1000, 3) == chosen_chunks(1000, 3) != chosen_chunks(1000, 4)
    assert all(0 <= number < 1000 for number in chosen_chunks(1000, 3))


def test_the_chunks_of_a_run_are_added_up(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    assert workers_of(store, 0) is None
    workers = Workers(2, "processes", 1, ("A", "B"), 151)
    store.put(WORKERS, workers)
    assert workers_of(store, 0) == workers
    cell = CellAgain("FGSM", "Linf", 0.25, 4, 2, 1, 0.5, 0.1)
    for number, other in zip(chosen_chunks(151, 0), (0.3, 0.7), strict=True):
        part = ComputedAgain(1, ("A", "B"), (replace(cell, distance=other),))
        store.put(AGAIN.of(number), part)
    known = workers_of(store, 0)
    assert known is not None and known.again == ComputedAgain(
        2, ("A", "B"), (CellAgain("FGSM", "Linf", 0.25, 8, 4, 2, 0.7, 0.1),)
    )
    store.close()
