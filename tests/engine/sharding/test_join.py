"""Joining shards: all verified and compared first, then taken in, or none of them."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from robust.engine.database.repair import put_memo
from robust.engine.database.tables import checksum_key
from robust.engine.run_memory import (
    ACCELERATION,
    BEGAN,
    CASES_AT_ONCE,
    HEAD,
    REPAIRED,
    SHARD,
    START,
    CasesAtOnce,
    Memo,
)
from robust.engine.run_store import (
    CleanPrediction,
    KnownCase,
    Observations,
    Outcome,
    RunStore,
    SurvivalOutcome,
)
from robust.engine.sharding.join import Wanted, join_shards
from robust.errors import InputError
from robust.models.acceleration.accelerate import Acceleration
from robust.models.acceleration.memory import BatchSize
from robust.plan.machines import Shard

IDENTITY = {"plan": "p" * 64, "model": "m" * 64, "data": "d" * 64, "device": "cpu"}
CHUNK, CHUNKS = 4, 9
CELLS = [f"PGD|Linf|{eps}" for eps in (0.00392156862745098, 0.00784313725490196)]
WANTED = Wanted(
    identity=IDENTITY,
    chunks={(cell, n) for cell in ("clean", *CELLS) for n in range(CHUNKS)},
    chunk=CHUNK,
    cases=CHUNK * CHUNKS,
)


def add(store: RunStore, number: int, seconds: float = 0.5, cells: list[str] = CELLS) -> None:
    """A chunk of clean predictions and of every cell, always with the same values."""
    rng, rows = np.random.default_rng(number), range(number * CHUNK, (number + 1) * CHUNK)
    clean = [CleanPrediction(row, rng.normal(size=3), f"{row:064x}") for row in rows]
    cases = [KnownCase(row, f"c{row}", 0, "g", 9, False, 1.0, {"a": "b"}, "0" * 64) for row in rows]
    if ("clean", number) not in store.done():
        store.add_clean(number, clean, seconds, cases, {row: bytes(4) for row in rows})
    for cell in cells:
        outcomes = [
            Outcome(
                row, rng.normal(size=3), 0.004, float("nan"), 0.5, 0.9, 3, row % 2 > 0, False, 10.0
            )
            for row in rows
        ]
        survival = [SurvivalOutcome(r, True, r % 2 > 0, True, None, None, 1.0, 256) for r in rows]
        features = [(cell, row, rng.normal(size=40).astype(np.float32)) for row in rows]
        store.add_outcomes(cell, number, outcomes, seconds, Observations(features, survival))


def settle(store: RunStore) -> None:
    store.identify(IDENTITY)
    store.put(HEAD, "softmax")
    store.put(BEGAN, "2030-01-02T00:00:00Z")
    store.put(START, {"threads": 2, "torch": "2.10", "platform": "one"})
    store.put(ACCELERATION, Acceleration(3, True, True, 1.5, "it gains"))
    store.put(CASES_AT_ONCE, CasesAtOnce({"3 x 8 x 8": BatchSize(64, 64)}))


def make_shards(run: Path, count: int) -> None:
    for k in range(1, count + 1):
        store = RunStore(Shard(k, count).folder(run))
        settle(store)
        store.put(SHARD, Shard(k, count))
        for number in Shard(k, count).chunks(CHUNKS):
            add(store, number, seconds=k)
        store.close()


def rows(folder: Path) -> dict[str, list[object]]:
    """All that a database holds, but for times."""
    database = sqlite3.connect(folder / "outcomes.sqlite")
    tables = ("clean", "cases", "contents", "fingerprints", "outcomes", "features", "survival")
    found = {t: list(database.execute(f"SELECT * FROM {t}")) for t in tables}
    found["chunks"] = list(database.execute("SELECT cell, chunk, part, rows FROM chunks"))
    database.close()
    return found


def join(run: Path, incomplete: bool = False) -> None:
    whole = RunStore(run)
    try:
        join_shards(whole, run, WANTED, incomplete=incomplete)
    finally:
        whole.close()


def edit(run: Path, number: int) -> RunStore:
    store = RunStore(run / "shards" / str(number))
    store.identify(IDENTITY)
    return store


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[object]]:
    """The rows of a run without shards, whose chunks were attacked in another order."""
    run = tmp_path_factory.mktemp("single")
    store = RunStore(run)
    settle(store)
    numbers = list(range(CHUNKS))
    random.Random(0).shuffle(numbers)
    for number in numbers:
        add(store, number)
    store.close()
    return rows(run)


@pytest.mark.parametrize("count", [1, 2, 7, 16])
def test_joined_shards_hold_what_a_single_run_holds(
    count: int, single: dict[str, list[object]], tmp_path: Path
) -> None:
    make_shards(tmp_path, count)
    join(tmp_path)
    assert rows(tmp_path) == single
    again = RunStore(tmp_path)
    again.identify(IDENTITY)
    assert again.damage is None, "every checksum still holds"
    assert again.get(SHARD) is None and again.get(HEAD) == "softmax"
    assert again.seconds()["clean"] == sum(
        k * len(Shard(k, count).chunks(CHUNKS)) for k in range(1, count + 1)
    )
    again.close()
    join(tmp_path)  # once more changes nothing
    assert rows(tmp_path) == single


def test_what_is_missing_is_named_and_nothing_is_joined(
    single: dict[str, list[object]], tmp_path: Path
) -> None:
    make_shards(tmp_path, 4)
    shutil.rmtree(tmp_path / "shards" / "3")
    with pytest.raises(InputError, match=r"^shard 3 of 4 is not finished.*--shard 3/4 --out"):
        join(tmp_path)
    assert not rows(tmp_path)["chunks"]
    join(tmp_path, incomplete=True)
    assert {n for _, n, *_ in rows(tmp_path)["chunks"]} == {0, 1, 3, 4, 5, 7, 8}  # type: ignore[misc]
    whole = RunStore(tmp_path)
    whole.identify(IDENTITY)
    for number in (2, 6):
        add(whole, number)
    whole.close()
    assert rows(tmp_path) == single


def test_a_chunk_found_twice_must_be_equal(single: dict[str, list[object]], tmp_path: Path) -> None:
    make_shards(tmp_path, 2)
    store = edit(tmp_path, 2)
    add(store, 0, seconds=77.0)  # equal but for its time
    store.close()
    join(tmp_path)
    assert rows(tmp_path) == single
    store = edit(tmp_path, 2)
    wrong = [
        Outcome(row, np.zeros(3), 0.1, 0.1, 0.1, 0.3, 1, True, False, 1.0) for row in range(8, 12)
    ]
    store.add_outcomes(CELLS[0], 2, wrong, 1.0)
    store.close()
    (tmp_path / "outcomes.sqlite").unlink()
    with pytest.raises(InputError, match="PGD at 1/255, cases 9 to 12, differ") as error:
        join(tmp_path)
    for k in (1, 2):
        assert str(tmp_path / "shards" / str(k)) in str(error.value)
    assert not rows(tmp_path)["chunks"]


@pytest.mark.parametrize("what", ["plan", "model", "data", "device"])
def test_a_shard_of_another_run_is_named_with_what_differs(what: str, tmp_path: Path) -> None:
    make_shards(tmp_path, 1)
    other = RunStore(tmp_path / "shards" / "2")
    other.identify({**IDENTITY, what: "another"})
    other.put(SHARD, Shard(2, 2))
    other.close()
    with pytest.raises(InputError, match=rf"shards/2 is of another run: its {what} differs"):
        join(tmp_path)


def test_a_shard_of_another_layout_is_named(tmp_path: Path) -> None:
    make_shards(tmp_path, 1)
    (tmp_path / "shards" / "2").mkdir()
    old = sqlite3.connect(tmp_path / "shards" / "2" / "outcomes.sqlite")
    old.executescript(
        "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT); INSERT INTO meta VALUES ('layout', '1')"
    )
    old.close()
    with pytest.raises(InputError, match=r"shards/2 was made by another version"):
        join(tmp_path)


def test_shards_of_two_numbers_or_in_the_wrong_folder_are_named(tmp_path: Path) -> None:
    make_shards(tmp_path, 2)
    store = edit(tmp_path, 2)
    store.put(SHARD, Shard(2, 3))
    store.close()
    with pytest.raises(InputError, match=r"2 holds shard 2 of 3, .*1 holds shard 1 of 2"):
        join(tmp_path)
    (tmp_path / "shards" / "2").rename(tmp_path / "shards" / "4")
    with pytest.raises(InputError, match=r"shards/4 does not hold shard 4"):
        join(tmp_path)


def test_a_shard_at_work_is_waited_for(tmp_path: Path) -> None:
    make_shards(tmp_path, 2)
    busy = edit(tmp_path, 2)
    with pytest.raises(InputError, match=r"shards/2 is still at work"):
        join(tmp_path)
    busy.close()
    join(tmp_path)


def test_without_shards_the_line_says_how_to_make_them(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no shard; run them first: robust audit"):
        join(tmp_path)


def test_shards_that_were_settled_apart_must_agree(tmp_path: Path) -> None:
    make_shards(tmp_path, 2)
    store = edit(tmp_path, 2)
    store.put(BEGAN, "2030-01-01T00:00:00Z")
    store.put(START, {"threads": 2, "torch": "2.10", "platform": "two"})
    store.put(ACCELERATION, Acceleration(3, True, True, 1.7, "it gains"))
    short = {"3 x 8 x 8": BatchSize(64, 16), "1 x 8 x 8": BatchSize(8, 8)}
    store.put(CASES_AT_ONCE, CasesAtOnce(short))
    store.put(REPAIRED, 3)
    store.close()
    for _ in range(2):  # joined again, nothing is counted twice
        join(tmp_path)
        whole = RunStore.open_to_read(tmp_path)
        assert whole.get(BEGAN) == "2030-01-01T00:00:00Z"
        assert whole.get(CASES_AT_ONCE) == CasesAtOnce(short)
        assert whole.get(REPAIRED) == 3
        whole.close()
    store = edit(tmp_path, 2)
    store.put(START, {"threads": 3, "torch": "2.10"})
    store.close()
    with pytest.raises(InputError, match=r"settled apart, and differ in threads or versions"):
        join(tmp_path)
    store = edit(tmp_path, 2)
    store.put(START, {"threads": 2, "torch": "2.10"})
    store.put(HEAD, "sigmoid")
    store.close()
    with pytest.raises(InputError, match=r"settled apart, and differ in head"):
        join(tmp_path)


def test_a_folder_whose_name_is_no_utf8(single: dict[str, list[object]], tmp_path: Path) -> None:
    run = tmp_path / os.fsdecode(b"odd \xff 'name?x=1")
    make_shards(run, 2)
    join(run)
    assert rows(run) == single


@pytest.mark.parametrize("text", ["no JSON", "[1]", '"a"', "{}"])
@pytest.mark.parametrize("memo", [START, CASES_AT_ONCE, SHARD, REPAIRED])
def test_a_forged_memo_is_one_line(memo: Memo[object], text: str, tmp_path: Path) -> None:
    make_shards(tmp_path, 2)
    database = sqlite3.connect(tmp_path / "shards" / "2" / "outcomes.sqlite")
    with database:
        put_memo(database, checksum_key(IDENTITY), memo.key, text)
    database.close()
    with pytest.raises(InputError):
        join(tmp_path)
    assert not rows(tmp_path)["chunks"]


def test_a_damaged_chunk_counts_as_missing_until_it_ran_again(
    single: dict[str, list[object]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_shards(tmp_path, 3)
    database = sqlite3.connect(tmp_path / "shards" / "2" / "outcomes.sqlite")
    database.execute("UPDATE outcomes SET linf = 0.5 WHERE row = 4 AND cell = ?", (CELLS[0],))
    database.commit()
    database.close()
    with pytest.raises(InputError, match=r"^shard 2 of 3 is not finished"):
        join(tmp_path)
    assert "shards/2: the run file is damaged: PGD at 1/255, cases 5 to 8" in caplog.text
    store = edit(tmp_path, 2)
    assert ((CELLS[0], 1) in store.done(), (CELLS[1], 1) in store.done()) == (False, True)
    add(store, 1, cells=CELLS[:1])  # as the same command does
    store.close()
    join(tmp_path)
    assert rows(tmp_path) == single
    whole = RunStore.open_to_read(tmp_path)
    assert whole.get(REPAIRED) == 1
    whole.close()


def test_a_join_that_fails_leaves_the_run_as_it_was(
    single: dict[str, list[object]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_shards(tmp_path, 2)
    from robust.engine.database import joining

    copy, calls = joining._copy_new, [0]

    def fails(database: sqlite3.Connection) -> None:
        calls[0] += 1
        if calls[0] == 2:
            raise sqlite3.OperationalError("database or disk is full")
        copy(database)

    monkeypatch.setattr(joining, "_copy_new", fails)
    whole = RunStore(tmp_path)
    with pytest.raises(InputError):
        join_shards(whole, tmp_path, WANTED, incomplete=False)
    assert whole.done() == set()
    join_shards(whole, tmp_path, WANTED, incomplete=False)  # the same open store goes on
    assert len(whole.done()) == len(WANTED.chunks)
    whole.close()
    assert rows(tmp_path) == single
    assert not list(tmp_path.glob(".*partial"))
