"""Small stores, and disks that lack something."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robust.engine.database.connection import DATABASE
from robust.engine.run_memory import HEAD
from robust.engine.run_store import (
    CleanPrediction,
    KnownCase,
    Observations,
    Outcome,
    RunStore,
    SurvivalOutcome,
)

IDENTITY = {"plan": "p" * 64, "data": "d" * 64}
CELLS = [f"PGD|Linf|{eps}" for eps in (0.00392156862745098, 0.00784313725490196)]
CHUNK, CHUNKS = 4, 6


def fill(folder: Path, identity: dict[str, str] = IDENTITY) -> None:
    """A small store: clean predictions and two cells of six chunks, a memo."""
    rng = np.random.default_rng(0)
    store = RunStore(folder)
    store.identify(identity)
    store.put(HEAD, "softmax")
    for number in range(CHUNKS):
        rows = range(number * CHUNK, (number + 1) * CHUNK)
        clean = [CleanPrediction(row, rng.normal(size=3), f"{row:064x}") for row in rows]
        cases = [
            KnownCase(row, f"c{row}", 0, "g", 9, False, 1.0, {"a": "b"}, "0" * 64) for row in rows
        ]
        store.add_clean(number, clean, 0.5, cases)
        for cell in CELLS:
            outcomes = [
                Outcome(
                    row,
                    rng.normal(size=3),
                    0.004,
                    float("nan"),
                    0.5,
                    0.9,
                    3,
                    row % 2 > 0,
                    False,
                    10.0,
                )
                for row in rows
            ]
            survival = [
                SurvivalOutcome(r, True, r % 2 > 0, True, None, None, 1.0, 256) for r in rows
            ]
            features = [(cell, row, rng.normal(size=40).astype(np.float32)) for row in rows]
            store.add_outcomes(cell, number, outcomes, 0.25, Observations(features, survival))
    store.close()


def content(store: RunStore) -> dict[tuple[str, int], Any]:
    """Everything stored, by finished chunk."""
    every: dict[tuple[str, int], Any] = {}
    for cell, number in store.done():
        first, stop = number * CHUNK, (number + 1) * CHUNK
        if cell == "clean":
            rows: list[object] = list(store.clean(first, stop))
            rows += [one for one in store.known_cases() if first <= one.row < stop]
        else:
            rows = list(store.outcomes(cell, first, stop))
            rows += [one for one in store.survival(cell) if first <= one.row < stop]
            places, vectors = store.features(cell)
            rows += [
                (row, vector.tolist())
                for row, vector in zip(places, vectors, strict=True)
                if first <= row < stop
            ]
        every[cell, number] = [repr(row) for row in rows]
    return every


def statement(folder: Path, text: str, *values: object) -> None:
    database = sqlite3.connect(folder / DATABASE)
    with database:
        database.execute(text, values)
    database.close()


def in_child(act: Callable[[], None]) -> int:
    """Do something in a process of its own; its exit code, or minus the signal that ended it."""
    child = os.fork()
    if child == 0:
        try:
            act()
        except BaseException as error:  # noqa: BLE001  (a fork must not return)
            print(f"{type(error).__name__}: {error}", flush=True)
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def without_shared_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let SQLite use its own layer without locks and shared memory."""
    connect = sqlite3.connect

    def changed(name: Any, *values: Any, uri: bool = False, **options: Any) -> sqlite3.Connection:
        if not uri and not str(name).endswith((DATABASE, ".partial")):
            return connect(name, *values, **options)
        address = name if uri else f"{Path(name).absolute().as_uri()}?"
        return connect(f"{address}&vfs=unix-none", *values, uri=True, **options)

    monkeypatch.setattr(sqlite3, "connect", changed)
