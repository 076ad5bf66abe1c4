"""The run store: one writer, readers that write nothing, typed memory, layouts that are refused."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from robust.engine.provenance import Provenance
from robust.engine.run_memory import (
    ADAPTIVE,
    CASES_AT_ONCE,
    PROBE,
    QUERIES,
    SCENARIO,
    AdaptiveFold,
    CasesAtOnce,
    Memo,
    QueryResult,
    ScenarioResult,
)
from robust.engine.run_store import (
    CleanPrediction,
    Observations,
    Outcome,
    RunStore,
    SurvivalOutcome,
)
from robust.errors import InputError
from robust.models.acceleration.memory import BatchSize
from robust.plan.spec import Plan
from robust.records import Estimate, Scenario
from robust.records.stages.probe import Gradients, LineSearch, Probed, Search

CLEAN = CleanPrediction(0, np.array([0.5, -0.5]), "hash")


def state(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Names, times and bytes of all that a folder holds.

    In one process reader and writer share the index of the log, of which only the time counts.
    """
    return {
        p.name: (p.stat().st_mtime_ns, b"" if p.suffix.endswith("-shm") else p.read_bytes())
        for p in folder.iterdir()
    }


def rows(folder: Path) -> list[int]:
    """The clean rows that a reader sees, who must not change anything."""
    before = state(folder)
    store = RunStore.open_to_read(folder)
    found = [one.row for one in store.clean()]
    store.close()
    assert state(folder) == before
    return found


def test_a_second_writer_is_refused_until_the_first_is_done(tmp_path: Path) -> None:
    first = RunStore(tmp_path)
    with pytest.raises(InputError, match="another process is using"):
        RunStore(tmp_path)
    child = os.fork()
    if child == 0:
        try:
            RunStore(tmp_path)
        except InputError:
            os._exit(0)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    first.close()
    assert (tmp_path / "run.lock").exists(), "another process may be waiting for it"
    RunStore(tmp_path).close()


def test_a_reader_writes_nothing_while_the_run_goes_on_and_afterwards(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    store.add_clean(0, [CLEAN], 0.1)
    assert rows(tmp_path) == [0]
    store.add_clean(1, [CleanPrediction(1, None, broken="broken")], 0.1)
    assert rows(tmp_path) == [0, 1]
    store.close()
    assert {p.name for p in tmp_path.iterdir()} == {"run.lock", "outcomes.sqlite"}
    (tmp_path / "run.lock").unlink()
    assert rows(tmp_path) == [0, 1]


def test_a_reader_writes_nothing_after_a_kill_nor_in_a_copy(tmp_path: Path) -> None:
    """The last rows are in the write-ahead log alone."""
    run = tmp_path / "run"
    child = os.fork()
    if child == 0:
        RunStore(run).add_clean(0, [CLEAN], 0.1)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert (run / "outcomes.sqlite-wal").stat().st_size
    assert rows(run) == [0]
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    (copy / "outcomes.sqlite-shm").unlink()
    assert rows(copy) == [0]
    store = RunStore(run)  # and a writer goes on from there
    assert [one.row for one in store.clean()] == [0]
    store.close()


def test_a_store_of_another_layout_is_refused(tmp_path: Path) -> None:
    old = sqlite3.connect(tmp_path / "outcomes.sqlite")
    old.executescript(
        "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT); INSERT INTO meta VALUES ('layout', '1')"
    )
    old.close()
    before = (tmp_path / "outcomes.sqlite").read_bytes()
    for how in (RunStore, RunStore.open_to_read):
        with pytest.raises(InputError, match=r"another version of robust.*layout 1"):
            how(tmp_path)
    assert (tmp_path / "outcomes.sqlite").read_bytes() == before


def test_a_file_that_is_no_database_is_kept_aside(tmp_path: Path) -> None:
    (tmp_path / "outcomes.sqlite").write_bytes(b"no database at all" * 1000)
    reader = RunStore.open_to_read(tmp_path)
    assert reader.damage is not None and reader.done() == set()
    reader.close()
    store = RunStore(tmp_path)
    store.identify({"plan": "p"})
    assert store.damage is not None and "0 of its parts are whole" in store.damage.lines(1, 1)[0]
    store.add_clean(0, [CLEAN], 0.1)
    store.close()
    assert (tmp_path / "outcomes.sqlite.damaged").read_bytes() == b"no database at all" * 1000
    assert rows(tmp_path) == [0]


def test_what_a_run_remembers_comes_back_with_its_type(tmp_path: Path) -> None:
    share = Estimate(0.5, 0.25, 0.75, 4, 2)
    scenario = Scenario("patch", "AdversarialPatch()", 3, 0.1, None, share, share)
    search = Search("Linf", 0.1, 4, 1, 40, 3, 1, 300)
    lines = LineSearch("Linf", 0.1, 40, 16, 1, 2)
    probed = Probed(16, 9, 0.5, 0.0, 0.0, ("Dropout",), Gradients(16, judged=12), 0, search, lines)
    values: list[tuple[Memo[object], object]] = [
        (CASES_AT_ONCE, CasesAtOnce({"3 x 8 x 8": BatchSize(64, 7)})),  # type: ignore[list-item]
        (PROBE, probed),  # type: ignore[list-item]
        (SCENARIO.of("patch", 0.1), ScenarioResult(scenario)),  # type: ignore[list-item]
        (SCENARIO.of("patch", 0.2), ScenarioResult(None)),  # type: ignore[list-item]
        (QUERIES.of(0), QueryResult({"30": [True]}, {"30": [False]}, "")),  # type: ignore[list-item]
        (ADAPTIVE.of("LID", 0), AdaptiveFold(((3, 0.5, "PGD"), (4, None, "")), None)),  # type: ignore[list-item]
    ]
    store = RunStore(tmp_path)
    for memo, value in values:
        assert store.get(memo) is None
        store.put(memo, value)
        assert store.get(memo) == value
        assert store.memo(memo, lambda: pytest.fail("it was remembered")) == value
    assert store.get(ADAPTIVE.of("LID", 1)) is None
    provenance = Provenance(Plan(title="x"), {"head": "softmax"}, {"torch": "2"})
    assert Provenance.load(store) is None
    provenance.save(store)
    assert Provenance.load(store) == provenance
    store.close()


def test_survival_is_a_table_of_its_own(tmp_path: Path) -> None:
    found = [
        SurvivalOutcome(1, True, True, False, None, None, 1.5, 4096),
        SurvivalOutcome(2, False, False, False, True, False, 1.5, 256),
    ]
    outcome = Outcome(1, np.zeros(2), 0.1, 0.2, 0.2, 0.3, 4, True, False, 3.0)
    store = RunStore(tmp_path)
    vector = np.ones(3, np.float32)
    features = Observations([("PGD", 1, vector)], found[:1]) + Observations((), found[1:])
    store.add_outcomes("PGD", 0, [outcome], 0.1, features)
    assert store.survival("PGD") == found
    assert store.survival("FGSM") == []
    assert store.count("PGD") == 1
    store.close()
