"""A damaged run file: what verifies is kept, all else is named and goes again, never used."""

from __future__ import annotations

import contextlib
import random
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest

from robust.auditing import audit, unfinished_report
from robust.engine.database.connection import DAMAGED, DATABASE
from robust.engine.run_memory import HEAD, REPAIRED
from robust.engine.run_store import Outcome, RunStore
from robust.errors import InputError
from robust.records import Report
from robust.report.formats.html import render_html
from robust.report.formats.markdown import render_markdown
from tests.auditing.test_resume import found
from tests.engine.database.stores import (
    CELLS,
    CHUNK,
    CHUNKS,
    IDENTITY,
    content,
    fill,
    statement,
    without_shared_memory,
)
from tests.engine.nets import classifier, phantoms

PAGE = 4096


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


Mutation = Callable[[bytearray, random.Random], None]
MUTATIONS: tuple[Mutation, ...] = (*(flip, overwrite, cut, lengthen, zero, swap, no_header),)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "run"
    fill(folder)
    return folder


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "copy"))


def told(store: RunStore, expected: Iterable[tuple[str, int]]) -> None:
    """Every finished chunk that is gone, and every memo, is part of what is said."""
    damage, lost = store.damage, set(expected) - store.done()
    if damage is None:
        assert not lost and store.get(HEAD) == "softmax"
        return
    assert damage.lines(CHUNK, CHUNK * CHUNKS)
    for chunk in lost:
        assert chunk in damage.chunks or chunk[0] in damage.strays or damage.structure, chunk
    assert store.get(HEAD) == "softmax" or "head" in damage.memos or damage.structure


def check_mutant(whole: Path, folder: Path, mutate: Mutation, seed: int) -> int:
    """Damage a copy: what is used of it is what was stored, all else is told; how much was lost."""
    store = RunStore.open_to_read(whole)
    expected = content(store)
    store.close()
    shutil.copytree(whole, folder)
    damaged = bytearray((folder / DATABASE).read_bytes())
    mutate(damaged, random.Random(seed))
    (folder / DATABASE).write_bytes(damaged)
    try:
        reader = RunStore.open_to_read(folder)
    except InputError as error:
        assert "has not begun" in str(error) and not damaged, "only an empty file is no run"
    else:
        seen = content(reader)
        assert all(seen[key] == expected[key] for key in seen), seed
        told(reader, expected)
        reader.close()
    writer = RunStore(folder)
    writer.identify(IDENTITY)
    kept = content(writer)
    assert all(kept[key] == expected[key] for key in kept), seed
    if damaged:
        told(writer, expected)
        assert writer.damage is None or (folder / DAMAGED).stat().st_size
    if writer.get(HEAD) is None:
        writer.put(HEAD, "softmax")
    writer.close()
    again = RunStore(folder)
    again.identify(IDENTITY)
    assert again.damage is None, f"{seed}: repaired once, and for all"
    assert content(again) == kept and again.get(HEAD) == "softmax"
    again.close()
    return len(expected) - len(kept)


@pytest.mark.parametrize("mutate", MUTATIONS, ids=lambda one: one.__name__)
def test_what_is_used_of_a_damaged_store_is_what_was_stored(
    whole: Path, tmp_path: Path, mutate: Mutation
) -> None:
    lost = [check_mutant(whole, tmp_path / str(seed), mutate, seed) for seed in range(5)]
    assert any(lost) or mutate in (flip, overwrite, no_header, lengthen), "it never hit anything"


@pytest.mark.slow
@pytest.mark.parametrize("mutate", MUTATIONS, ids=lambda one: one.__name__)
@pytest.mark.parametrize("log", [True, False], ids=["log", "rollback journal"])
def test_two_hundred_damaged_stores(
    log: bool, tmp_path: Path, mutate: Mutation, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not log:
        without_shared_memory(monkeypatch)
    fill(tmp_path / "whole")
    for seed in range(100, 115):
        check_mutant(tmp_path / "whole", tmp_path / str(seed), mutate, seed)


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
        "INSERT INTO outcomes SELECT cell, 99, part, linf, l2, l2_slice, l1, l0, success, saturated,"
        " passes, failure, kept FROM outcomes WHERE row = 6",
        "UPDATE chunks SET seconds = 9 WHERE chunk = 1",
        "UPDATE chunks SET rows = 3 WHERE chunk = 1",
        "UPDATE features SET vector = zeroblob(160) WHERE row = 6",
        "UPDATE survival SET jpeg = 1 WHERE row = 6",
        "UPDATE cases SET owner = 'h' WHERE row = 6",
        "UPDATE contents SET digest = '1' WHERE row = 6",
        "UPDATE clean SET kept = NULL WHERE row = 6",
    ],
)
def test_a_chunk_with_other_rows_or_times_goes_again(copy: Path, damage: str) -> None:
    statement(copy, damage)
    store = RunStore(copy)
    store.identify(IDENTITY)
    assert store.damage is not None
    assert {number for _, number in store.damage.chunks} == {1}
    store.close()


@pytest.mark.parametrize("place", [0, 16, 18, 20, 21, 45, 56])
def test_a_flipped_bit_in_the_header_costs_nothing(copy: Path, place: int) -> None:
    """That of a newer SQLite (18) would let it read for ever, and never write."""
    store = RunStore.open_to_read(copy)
    expected = store.done()
    store.close()
    for bit in (0, 6):
        damaged = bytearray((copy / DATABASE).read_bytes())
        damaged[place] ^= 1 << bit
        (copy / DATABASE).write_bytes(damaged)
        store = RunStore(copy)
        store.identify(IDENTITY)
        assert store.damage is not None or place in (45, 56), "SQLite never reads those"
        assert {*store.done()} >= expected and store.get(HEAD) == "softmax"
        add = Outcome(0, np.zeros(3), 0.1, 0.1, 0.1, 0.3, 1, True, False, 1.0)
        store.add_outcomes(f"{place} {bit}", 0, [add], 0.1)
        store.close()


def test_a_chunk_without_its_line_is_told(copy: Path) -> None:
    statement(copy, "DELETE FROM chunks WHERE cell = ? AND chunk = 2", CELLS[0])
    store = RunStore(copy)
    store.identify(IDENTITY)
    told(store, {*store.done(), (CELLS[0], 2)})
    assert store.damage is not None
    assert store.damage.lines(CHUNK, CHUNK * CHUNKS) == [
        "the run file is damaged: rows of PGD at 1/255 that belong to no finished part were left "
        "out; what is missing will run again"
    ]
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


HOSTILE = {
    "endless view": [
        "DROP TABLE clean",
        "CREATE VIEW clean AS WITH RECURSIVE n(row, part, pixels, broken, kept) AS (SELECT 1, 1,"
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
        " kept AS (zeroblob(900000000)))",
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
    folder = Path(shutil.copytree(finished, tmp_path / "one bit"))
    statement(folder, "UPDATE outcomes SET success = 1 - success WHERE row = 2 AND cell LIKE 'F%'")
    run(folder)
    store = RunStore.open_to_read(folder)
    assert store.get(REPAIRED) == 1
    store.close()
    text = "the run file was damaged; 1 of its parts was left out and computed again"
    report = Report.load(folder / "report.json")
    assert report.timings.repaired == 1
    for page in (render_markdown(report), render_html(report)):
        assert text in page
    assert "FGSM at 8/255, cases 1 to 4, will run again" in caplog.text
