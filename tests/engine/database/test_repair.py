"""A damaged run file: what verifies is kept, all else is named and goes again, never used."""

from __future__ import annotations

import contextlib
import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robust.auditing import audit, unfinished_report
from robust.engine.database.connection import DAMAGED, DATABASE
from robust.engine.run_memory import HEAD, REPAIRED
from robust.engine.run_store import (
    CleanPrediction,
    KnownCase,
    Observations,
    Outcome,
    RunStore,
    SurvivalOutcome,
)
from robust.errors import InputError
from tests.auditing.test_resume import found
from tests.engine.nets import classifier, phantoms

IDENTITY = {"plan": "p" * 64, "data": "d" * 64}
CELLS = [f"PGD|Linf|{eps}" for eps in (0.00392156862745098, 0.00784313725490196)]
CHUNK, CHUNKS = 4, 6
PAGE = 4096


def fill(folder: Path, identity: dict[str, str] = IDENTITY) -> None:
    """A small store: clean predictions and two cells of six chunks, a memo."""
    rng = np.random.default_rng(0)
    store = RunStore(folder)
    store.identify(identity)
    store.put(HEAD, "softmax")
    for number in range(CHUNKS):
        rows = range(number * CHUNK, (number + 1) * CHUNK)
        clean = [CleanPrediction(row, rng.normal(size=3), f"{row:064x}") for row in rows]
        cases = [KnownCase(row, f"c{row}", 0, "g", 9, False, {"a": "b"}, "0" * 64) for row in rows]
        store.add_clean(number, clean, 0.5, cases)
        for cell in CELLS:
            outcomes = [
                Outcome(row, rng.normal(size=3), 0.004, float("nan"), row % 2 > 0, False, 10.0)
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


def flip(content: bytearray, rng: random.Random) -> None:
    for _ in range(rng.randint(1, 8)):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)


def overwrite(content: bytearray, rng: random.Random) -> None:
    for _ in range(rng.randint(1, 8)):
        content[rng.randrange(len(content))] = rng.randrange(256)


def cut(content: bytearray, rng: random.Random) -> None:
    del content[rng.randrange(len(content)) :]


def lengthen(content: bytearray, rng: random.Random) -> None:
    content += rng.randbytes(rng.randint(1, 9000))


def zero(content: bytearray, rng: random.Random) -> None:
    page = PAGE * rng.randrange(len(content) // PAGE)
    content[page : page + PAGE] = bytes(PAGE)


def swap(content: bytearray, rng: random.Random) -> None:
    a, b = (PAGE * rng.randrange(len(content) // PAGE) for _ in range(2))
    content[a : a + PAGE], content[b : b + PAGE] = content[b : b + PAGE], content[a : a + PAGE]


def no_header(content: bytearray, rng: random.Random) -> None:
    content[:100] = rng.randbytes(100)


MUTATIONS: tuple[Callable[[bytearray, random.Random], None], ...] = (
    *(flip, overwrite, cut, lengthen, zero, swap, no_header),
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "run"
    fill(folder)
    return folder


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "copy"))


@pytest.mark.parametrize("mutate", MUTATIONS, ids=lambda one: one.__name__)
def test_what_is_used_of_a_damaged_store_is_what_was_stored(
    whole: Path, tmp_path: Path, mutate: Callable[[bytearray, random.Random], None]
) -> None:
    store = RunStore.open_to_read(whole)
    expected = content(store)
    store.close()
    lost = 0
    for seed in range(12):
        folder = Path(shutil.copytree(whole, tmp_path / str(seed)))
        damaged = bytearray((folder / DATABASE).read_bytes())
        mutate(damaged, random.Random(seed))
        (folder / DATABASE).write_bytes(damaged)
        try:
            reader = RunStore.open_to_read(folder)
        except InputError as error:
            assert "has not begun" in str(error), "only an empty file is no run"
        else:
            seen = content(reader)
            assert all(seen[key] == expected[key] for key in seen), seed
            reader.close()
        writer = RunStore(folder)
        writer.identify(IDENTITY)
        kept = content(writer)
        assert all(kept[key] == expected[key] for key in kept), seed
        if len(kept) < len(expected) and damaged:
            lost += 1
            assert writer.damage is not None and writer.damage.lines(CHUNK, CHUNK * CHUNKS), seed
            assert (folder / DAMAGED).read_bytes()[: len(damaged)] != b"", seed
        writer.close()
        again = RunStore(folder)
        again.identify(IDENTITY)
        assert again.damage is None, f"{seed}: repaired once, and for all"
        assert content(again) == kept
        again.close()
    assert lost or mutate in (no_header, lengthen), "this damage never hit anything"


def test_one_flipped_bit_is_named_in_words_and_costs_one_chunk(copy: Path) -> None:
    statement(
        copy, "UPDATE outcomes SET success = 1 - success WHERE cell = ? AND row = 6", CELLS[1]
    )
    store = RunStore(copy)
    store.identify(IDENTITY)
    assert store.damage is not None
    assert store.damage.lines(CHUNK, CHUNK * CHUNKS) == [
        "the run file is damaged: PGD at 2/255, cases 5 to 8, will run again"
    ]
    assert len(store.done()) == 3 * CHUNKS - 1 and (CELLS[1], 1) not in store.done()
    assert [one.row for one in store.outcomes(CELLS[1], 4, 8)] == []
    store.close()


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM outcomes WHERE row = 6",
        "INSERT INTO outcomes SELECT cell, 99, part, linf, l2, success, saturated, passes, failure,"
        " logits FROM outcomes WHERE row = 6",
        "UPDATE chunks SET seconds = 9 WHERE chunk = 1",
        "UPDATE chunks SET rows = 3 WHERE chunk = 1",
        "UPDATE features SET vector = zeroblob(160) WHERE row = 6",
        "UPDATE survival SET jpeg = 1 WHERE row = 6",
        "UPDATE cases SET owner = 'h' WHERE row = 6",
        "UPDATE contents SET digest = '1' WHERE row = 6",
        "UPDATE clean SET logits = NULL WHERE row = 6",
    ],
)
def test_a_chunk_with_other_rows_or_times_goes_again(copy: Path, damage: str) -> None:
    statement(copy, damage)
    store = RunStore(copy)
    store.identify(IDENTITY)
    assert store.damage is not None
    assert {number for _, number in store.damage.chunks} == {1}
    store.close()


def test_rows_of_no_chunk_are_left_out(copy: Path) -> None:
    statement(copy, "INSERT INTO clean VALUES (99, 77, 'x', NULL, NULL)")
    store = RunStore(copy)
    store.identify(IDENTITY)
    assert store.damage is not None and not store.damage.chunks
    assert 99 not in [one.row for one in store.clean()]
    store.close()


def test_a_damaged_memo_is_made_again_and_a_damaged_identity_claimed_again(copy: Path) -> None:
    statement(copy, "UPDATE meta SET value = 'sigmoid' WHERE key = 'head'")
    statement(copy, "UPDATE meta SET value = 'x' WHERE key LIKE 'identity|%'")
    store = RunStore(copy)
    store.identify(IDENTITY)
    assert store.get(HEAD) is None and store.memo(HEAD, lambda: "softmax") == "softmax"
    assert store.identity("plan") == IDENTITY["plan"]
    assert len(store.done()) == 3 * CHUNKS, "the chunks verify with the identity of the command"
    store.close()


def test_a_chunk_of_another_run_never_verifies(copy: Path, tmp_path: Path) -> None:
    fill(tmp_path / "other", {**IDENTITY, "plan": "q" * 64})
    statement(copy, "DELETE FROM meta WHERE key LIKE 'identity|%'")
    store = RunStore(copy)
    store.identify({**IDENTITY, "plan": "q" * 64})
    assert store.done() == set() and (copy / DAMAGED).exists()
    store.close()


def test_a_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    statement(tmp_path, "CREATE TABLE mine (x)")
    before = (tmp_path / DATABASE).read_bytes()
    with pytest.raises(InputError, match="another program"):
        RunStore(tmp_path)
    assert (tmp_path / DATABASE).read_bytes() == before


def statement(folder: Path, text: str, *values: object) -> None:
    database = sqlite3.connect(folder / DATABASE)
    with database:
        database.execute(text, values)
    database.close()


HOSTILE = {
    "endless view": [
        "DROP TABLE clean",
        "CREATE VIEW clean AS WITH RECURSIVE n(row, part, pixels, broken, logits) AS (SELECT 1, 1,"
        " '', '', x'' UNION ALL SELECT row + 1, 1, '', '', x'' FROM n) SELECT * FROM n",
    ],
    "endless meta": [
        "DROP TABLE meta",
        "CREATE VIEW meta AS WITH RECURSIVE n(key, value, checksum) AS (SELECT 'layout', '3', 1"
        " UNION ALL SELECT key, value, checksum + 1 FROM n) SELECT * FROM n WHERE checksum < 0",
    ],
    "computed column": [
        "DROP TABLE clean",
        "CREATE TABLE clean (row INTEGER PRIMARY KEY, part, pixels, broken,"
        " logits AS (zeroblob(900000000)))",
        "INSERT INTO clean (row, part) VALUES (1, 1)",
    ],
    "trigger": ["CREATE TRIGGER t AFTER INSERT ON chunks BEGIN DELETE FROM outcomes; END"],
    "extra table": ["CREATE TABLE more (x)"],
}


@pytest.mark.parametrize("statements", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_schema_runs_nothing(copy: Path, statements: list[str]) -> None:
    for one in statements:
        statement(copy, one)
    for opened in (RunStore.open_to_read, RunStore):
        store = opened(copy)
        store.identify(IDENTITY) if opened is RunStore else None
        assert all(cell in (*CELLS, "clean") for cell, _ in store.done())
        store.close()
    schema = sqlite3.connect(copy / DATABASE).execute("SELECT type, name FROM sqlite_master")
    assert {kind for kind, _ in schema} == {"table"}, "the repaired one has our tables alone"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    out = tmp_path_factory.mktemp("finished") / "run"
    run(out)
    yield out


def run(out: Path) -> None:
    audit(
        classifier(),
        phantoms(12),
        attacks=["Noise", "FGSM"],
        eps=["8/255"],
        chunk=4,
        out=out,
        device="cpu",
        gallery=0,
        doubts={"probe": False},
    )


def test_a_damaged_run_ends_in_the_same_report_and_says_so(
    finished: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for seed in range(8):
        folder = Path(shutil.copytree(finished, tmp_path / str(seed)))
        (folder / "report.json").unlink()
        damaged = bytearray((folder / DATABASE).read_bytes())
        MUTATIONS[seed % len(MUTATIONS)](damaged, random.Random(seed))
        (folder / DATABASE).write_bytes(damaged)
        with contextlib.suppress(InputError):
            unfinished_report(folder)
        run(folder)
        assert found(folder) == found(finished), seed
    statement(folder, "UPDATE outcomes SET success = 1 - success WHERE row = 2")
    run(folder)
    store = RunStore.open_to_read(folder)
    assert store.get(REPAIRED)
    store.close()
    assert "FGSM at 8/255, cases 1 to 4, will run again" in caplog.text
