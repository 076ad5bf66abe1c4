"""A damaged run database: the same report, or one line; never other numbers without a word."""

from __future__ import annotations

import random
import shutil
import signal
import sqlite3
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.small_audit import AUDIT, Calm, messages, outcome
from tests.faults.test_kills import stop_in
from tests.warm import Warm

Damage = Callable[[Path, random.Random], None]
DATABASE = "outcomes.sqlite"


def flip_bits(run: Path, rng: random.Random) -> None:
    """One to five bits, at places that hold something."""
    content = bytearray((run / DATABASE).read_bytes())
    places = [place for place, value in enumerate(content) if value]
    for place in rng.choices(places, k=rng.randint(1, 5)):
        content[place] ^= 1 << rng.randrange(8)
    (run / DATABASE).write_bytes(content)


def zero_pages(run: Path, rng: random.Random) -> None:
    content = bytearray((run / DATABASE).read_bytes())
    for _ in range(rng.randint(1, 3)):
        start = 4096 * rng.randrange(len(content) // 4096)
        content[start : start + 4096] = bytes(4096)
    (run / DATABASE).write_bytes(content)


def swap_pages(run: Path, rng: random.Random) -> None:
    content = bytearray((run / DATABASE).read_bytes())
    one, other = (4096 * rng.randrange(1, len(content) // 4096) for _ in range(2))
    content[one : one + 4096], content[other : other + 4096] = (
        content[other : other + 4096],
        content[one : one + 4096],
    )
    (run / DATABASE).write_bytes(content)


def cut_short(run: Path, rng: random.Random) -> None:
    content = (run / DATABASE).read_bytes()
    (run / DATABASE).write_bytes(content[: rng.randrange(len(content))])


def lengthen(run: Path, rng: random.Random) -> None:
    with (run / DATABASE).open("ab") as file:
        file.write(rng.randbytes(rng.randint(1, 9000)))


def other_content(run: Path, rng: random.Random) -> None:
    (run / DATABASE).write_bytes(rng.choice([b"", b"\0" * 8192, rng.randbytes(8192), b"PK\3\4"]))


def statement(run: Path, text: str, *values: object) -> None:
    database = sqlite3.connect(run / DATABASE)
    try:
        with database:
            database.execute(text, values)
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        database.close()


def tables(run: Path) -> dict[str, list[str]]:
    database = sqlite3.connect(run / DATABASE)
    try:
        names = [
            n for (n,) in database.execute("SELECT name FROM sqlite_master WHERE type='table'")
        ]
        return {
            name: [row[1] for row in database.execute(f"PRAGMA table_info({name})")]
            for name in names
        }
    finally:
        database.close()


def condition(run: Path, table: str, rng: random.Random) -> str:
    """A condition that picks one row of a table."""
    database = sqlite3.connect(run / DATABASE)
    columns = tables(run)[table][:2]
    try:
        rows = database.execute(f"SELECT {', '.join(map(quoted, columns))} FROM {table}").fetchall()
    finally:
        database.close()
    chosen = rng.choice(rows)
    parts = [
        f"{quoted(name)} = {literal(value)}"
        for name, value in zip(columns, chosen, strict=True)
        if value is None or isinstance(value, str | int | float)
    ]
    return " AND ".join(parts)


def quoted(name: str) -> str:
    return f'"{name}"'


def literal(value: object) -> str:
    return (
        str(value) if isinstance(value, int | float) else "'" + str(value).replace("'", "''") + "'"
    )


def delete_row(run: Path, rng: random.Random) -> None:
    table = rng.choice([t for t in tables(run) if t != "chunks"])
    statement(run, f"DELETE FROM {table} WHERE {condition(run, table, rng)}")


def delete_rows(run: Path, rng: random.Random) -> None:
    table = rng.choice(sorted(tables(run)))
    statement(run, f"DELETE FROM {table} WHERE abs(random()) % 3 = 0")


def delete_chunk(run: Path, rng: random.Random) -> None:
    statement(run, f"DELETE FROM chunks WHERE {condition(run, 'chunks', rng)}")


def edit_row(run: Path, rng: random.Random) -> None:
    """Another value in one field of one row."""
    known = tables(run)
    table = rng.choice(sorted(known))
    column = rng.choice(known[table])
    where = condition(run, table, rng)
    value = rng.choice([0, 1, 7, -1, 0.25, None, "text", b"\0" * 16, b"", 1e300])
    try:
        statement(run, f"UPDATE {table} SET {quoted(column)} = ? WHERE {where}", value)
    except sqlite3.IntegrityError:
        delete_row(run, rng)


def turn_outcome(run: Path, rng: random.Random) -> None:
    """A success becomes a failure or the reverse."""
    where = condition(run, "outcomes", rng)
    statement(run, f"UPDATE outcomes SET success = 1 - success WHERE {where}")


def swap_outcomes(run: Path, rng: random.Random) -> None:
    """The logits of two cases change places."""
    one, other = (condition(run, "outcomes", rng) for _ in range(2))
    statement(
        run,
        f"UPDATE outcomes SET logits = CASE WHEN {one} THEN (SELECT logits FROM outcomes WHERE"
        f" {other}) ELSE (SELECT logits FROM outcomes WHERE {one}) END WHERE ({one}) OR ({other})",
    )


def add_row(run: Path, rng: random.Random) -> None:
    """One more row, a copy of another under a new number."""
    names = tables(run)["outcomes"]
    rest = ", ".join(quoted(name) for name in names if name != "row")
    where = condition(run, "outcomes", rng)
    statement(
        run,
        f"INSERT OR REPLACE INTO outcomes (row, {rest}) SELECT row + {rng.choice([1, 8, 1000])},"
        f" {rest} FROM outcomes WHERE {where}",
    )


def drop_table(run: Path, rng: random.Random) -> None:
    statement(run, f"DROP TABLE {rng.choice(sorted(tables(run)))}")


def edit_memo(run: Path, rng: random.Random) -> None:
    """Another digit, or broken JSON, in one of the values that a run remembers."""
    where = condition(run, "meta", rng)
    database = sqlite3.connect(run / DATABASE)
    (value,) = database.execute(f"SELECT value FROM meta WHERE {where}").fetchone()
    database.close()
    text = str(value)
    digits = [place for place, letter in enumerate(text) if letter.isdigit()]
    place = rng.choice(digits or [0])
    new = rng.choice(
        [text[:place] + rng.choice("0123456789") + text[place + 1 :], text[:place], "null", "{}"]
    )
    statement(run, f"UPDATE meta SET value = ? WHERE {where}", new)


DAMAGES: tuple[Damage, ...] = (
    *(flip_bits, zero_pages, swap_pages, cut_short, lengthen, other_content),
    *(delete_row, delete_rows, delete_chunk, edit_row, turn_outcome, swap_outcomes),
    *(add_row, drop_table, edit_memo),
)


def check(commands: Warm, calm: Calm, folder: Path, what: str) -> str:
    """Run the command again on a damaged run; how it ended. AssertionError for other numbers."""
    (folder / "run" / "report.json").unlink(missing_ok=True)
    done = commands.run(folder, *AUDIT)
    if done.code == 0:
        found = outcome(folder / "run")
        assert found.table == calm.outcome.table, f"{what}: another table"
        assert found.report == calm.outcome.report, f"{what}: another report"
        return "the same report" if not messages(done) else "the same report, with a word"
    assert done.code == 2, f"{what}: {done}"
    lines = messages(done)
    assert len(lines) == 1 and lines[0].startswith("robust: "), f"{what}: {done.err}"
    return "one line"


def damaged(calm: Calm, folder: Path, damage: Damage, seed: int) -> str:
    """Damage a copy of the finished run."""
    shutil.rmtree(folder / "run", ignore_errors=True)
    shutil.copytree(calm.folder / "run", folder / "run")
    damage(folder / "run", random.Random(seed))
    return f"{damage.__name__} {seed}"


def tried(
    commands: Warm, calm: Calm, folder: Path, damages: tuple[Damage, ...], seeds: range
) -> Counter[str]:
    """Every damage with every seed; what came of it. AssertionError with all that went wrong."""
    ends, wrong = Counter[str](), []
    for damage in damages:
        for seed in seeds:
            what = damaged(calm, folder, damage, seed)
            try:
                ends[check(commands, calm, folder, what)] += 1
            except AssertionError as error:
                wrong.append(str(error)[:400])
    assert not wrong, "\n".join([f"{len(wrong)} of {len(damages) * len(seeds)}, {ends}:", *wrong])
    return ends


@pytest.mark.slow
def test_damaged_databases(commands: Warm, calm: Calm, inputs: Callable[[str], Path]) -> None:
    few = (flip_bits, cut_short, delete_rows, turn_outcome, edit_memo)
    tried(commands, calm, inputs("damaged"), few, range(1))


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda one: one.__name__)
def test_two_hundred_damaged_databases(
    damage: Damage, commands: Warm, calm: Calm, inputs: Callable[[str], Path]
) -> None:
    print(tried(commands, calm, inputs("damaged"), (damage,), range(1, 15)))


def killed(commands: Warm, folder: Path) -> Path:
    """The folder of a run that was killed with its write-ahead log beside it."""
    stop_in(commands.start(folder, *AUDIT), "scenarios", 0, signal.SIGKILL)
    assert (folder / "run" / f"{DATABASE}-wal").stat().st_size
    return folder


@pytest.mark.slow
def test_a_damaged_log(commands: Warm, calm: Calm, inputs: Callable[[str], Path]) -> None:
    """The write-ahead log: gone, of another run, cut short, with flipped bits."""
    folder = killed(commands, inputs("killed"))
    other = killed(commands, _of_other_seed(inputs("other")))
    source, foreign = folder / "run", other / "run" / f"{DATABASE}-wal"
    rng = random.Random(0)
    good = (source / f"{DATABASE}-wal").read_bytes()
    flipped = bytearray(good)
    for place in rng.sample(range(len(good)), 40):
        flipped[place] ^= 4
    logs = {"gone": None, "foreign": foreign.read_bytes(), "flipped": bytes(flipped)}
    logs["cut"] = good[: len(good) // 2 + 77]
    logs["noise"] = rng.randbytes(5000)
    for name, log in logs.items():
        place = folder.with_name(name)
        shutil.copytree(folder, place)
        path = place / "run" / f"{DATABASE}-wal"
        path.unlink()
        if log is not None:
            path.write_bytes(log)
        check(commands, calm, place, f"log {name}")


def _of_other_seed(folder: Path) -> Path:
    plan = folder / "plan.toml"
    text = plan.read_text(encoding="utf-8")
    plan.write_text(text.replace("chunk = 8", "chunk = 8\nseed = 5"), encoding="utf-8")
    return folder
