"""Target run directory: the database of a run, damaged, then reported on and resumed."""

from __future__ import annotations

import contextlib
import io
import json
import random
import sqlite3
import tempfile
from pathlib import Path
from typing import Any

from safetensors.torch import save

from robust.auditing import audit_plan, unfinished_report
from robust.engine.run_store import DATABASE
from robust.errors import InputError
from robust.plan.load import make_plan
from robust.plan.spec import Plan
from robust.records import Report
from tests.fuzz.machine import Files, Subject, memory_folder, promise
from tests.fuzz.mutations import mutate_bytes
from tests.fuzz.networks import FACTORY, PIXELS, network

WHICH = "which.txt"
"""Beside a run: the seed that it was made of."""
CELLS: tuple[Any, ...] = (
    None,
    0,
    1,
    -1,
    7,
    0.25,
    1e300,
    "",
    "x",
    "{}",
    "[]",
    b"",
    b"\0" * 16,
    2**62,
)


def prepare_run(home: Path) -> Subject:
    """A run that has finished but for its report, and one that was interrupted by its attacks."""
    plan = small_plan(home)
    whole = _numbers(audit_plan(plan, out=home / "finished", device="cpu"))
    (home / "finished" / "report.json").unlink()
    _interrupt(plan, home / "interrupted")
    seeds, known = [], {}
    for which in ("finished", "interrupted"):
        known[which] = _numbers(unfinished_report(home / which))
        files = {
            f"run/{path.relative_to(home / which).as_posix()}": path.read_bytes()
            for path in sorted((home / which).rglob("*"))
            if path.is_file() and path.name != "run.lock"
        }
        seeds.append(files | {WHICH: which.encode()})

    def use(folder: Path) -> None:
        """Report on what there is, then resume: each tells the truth, or says what is wrong."""
        refused: InputError | None = None
        said = io.StringIO()
        with contextlib.redirect_stderr(said):
            try:
                found = _numbers(unfinished_report(folder / "run"))
                same = found == known[(folder / WHICH).read_text(encoding="utf-8")]
                promise(same or "damaged" in said.getvalue(), "another report without a word")
            except InputError as error:
                refused = error
            resumed = _numbers(audit_plan(plan, out=folder / "run", device="cpu"))
        promise(resumed == whole, "the resumed run has another report")
        if refused is not None:
            raise refused

    return Subject(seeds, _damage, use)


def small_plan(home: Path) -> Plan:
    """A plan that is audited in a second."""
    (home / "w.safetensors").write_bytes(save(network().state_dict()))
    model = {"factory": FACTORY, "weights": str(home / "w.safetensors"), "channels": 1}
    return make_plan(
        {
            "model": {**model, "head": "softmax"},
            "data": {"path": "phantom:chest_xray", "count": 48, "pixels": PIXELS},
            "attacks": [{"name": "FGSM"}, {"name": "PGD", "steps": 2}],
            "audit": {"eps": ["2/255", "16/255"], "chunk": 8, "precision": "float32"},
            "detectors": [{"name": "MaxSoftmax"}],
            "detection": {"adaptive": 0},
            "doubts": {"probe": False},
            "report": {"gallery": 0},
        }
    )


def _interrupt(plan: Plan, out: Path) -> None:
    count = 0

    def progress(done: int, total: int, label: str) -> None:
        nonlocal count
        count += "PGD" in label
        if count > 3:
            raise KeyboardInterrupt

    try:
        audit_plan(plan, out=out, device="cpu", progress=progress)
    except KeyboardInterrupt:
        return
    raise AssertionError("the run was not interrupted: no progress names PGD")


def _numbers(report: Report) -> dict[str, Any]:
    """A report without what a clock says."""
    found: dict[str, Any] = json.loads(report.to_json())
    del found["timings"]
    return found


def _damage(files: Files, rng: random.Random) -> Files:
    name = f"run/{DATABASE}"
    kind = rng.randrange(10)
    if kind <= 3:
        return files | {name: mutate_bytes(files[name], rng, head=100)}
    if kind <= 6:
        at = rng.randrange(0, len(files[name]), 512)  # evenly over the pages
        data = files[name]
        return files | {name: data[:at] + mutate_bytes(data[at : at + 512], rng) + data[at + 512 :]}
    if kind == 7:
        other = rng.choice([inner for inner in files if inner != WHICH])
        return {inner: data for inner, data in files.items() if inner != other}
    return files | {name: _edited(files[name], rng)}


def _edited(data: bytes, rng: random.Random) -> bytes:
    """Other values or rows, by SQL: a database that is whole."""
    with tempfile.TemporaryDirectory(dir=memory_folder()) as folder:
        path = Path(folder) / DATABASE
        path.write_bytes(data)
        db = sqlite3.connect(path)
        tables = sorted(name for (name,) in db.execute(_TABLES))
        table = rng.choice(tables)
        columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
        keys = [row[5] for row in db.execute(f"PRAGMA table_info({table})")]
        rows = db.execute(f"SELECT * FROM {table}").fetchall()
        if not rows or rng.random() < 0.05:
            db.execute(f"DROP TABLE {table}")
        else:
            row, at = rng.choice(rows), rng.randrange(len(columns))
            chosen = [i for i, key in enumerate(keys) if key] or list(range(len(columns)))
            where = " AND ".join(f"{columns[i]} IS ?" for i in chosen)
            values = [row[i] for i in chosen]
            if rng.random() < 0.3:
                db.execute(f"DELETE FROM {table} WHERE {where}", values)
            else:
                change = f"UPDATE OR REPLACE {table} SET {columns[at]} = ? WHERE {where}"
                try:
                    db.execute(change, [_other(row[at], rng), *values])
                except sqlite3.IntegrityError:
                    db.execute(f"DELETE FROM {table} WHERE {where}", values)
        db.commit()
        db.close()
        return path.read_bytes()


_TABLES = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"


def _other(value: Any, rng: random.Random) -> Any:
    if rng.random() < 0.4:
        return rng.choice(CELLS)
    if isinstance(value, bytes) and value:
        return mutate_bytes(value, rng, most=2)
    if isinstance(value, str) and value:
        return mutate_bytes(value.encode(), rng, head=len(value)).decode("utf-8", "replace")
    return value + rng.choice((-1, 1)) if isinstance(value, int | float) else rng.choice(CELLS)
