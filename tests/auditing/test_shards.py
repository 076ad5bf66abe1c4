"""Shards: what is settled before them is what a single run settles, and each runs its own chunks."""

from __future__ import annotations

import dataclasses
import os
import threading
from pathlib import Path

import pytest

from robust.auditing import audit_plan
from robust.auditing.request import RunSettings
from robust.auditing.shards import audit_shard
from robust.engine.run_memory import (
    ACCELERATION,
    CASES_AT_ONCE,
    HEAD,
    MERGED_GROUPS,
    RANDOM,
    START,
)
from robust.engine.run_store import RunStore
from robust.engine.sharding.settled import SETTLED
from robust.errors import InputError
from robust.plan.load import load_plan
from robust.plan.machines import Shard
from robust.plan.spec import Plan
from tests.faults.small_audit import write_inputs


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The inputs of the small audit; its network and images are named by their paths."""
    return write_inputs(tmp_path_factory.mktemp("shards"))


@pytest.fixture(scope="module")
def plan(folder: Path) -> Plan:
    """The small audit without detectors and later stages."""
    text = (folder / "plan.toml").read_text("utf-8").split("[[detectors]]")[0]
    (folder / "short.toml").write_text(f"{text}\n[doubts]\nprobe = false\n", "utf-8")
    return load_plan(folder / "short.toml", allow_code=True)


@pytest.fixture(autouse=True)
def inside(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))


@pytest.fixture(scope="module")
def single(folder: Path, plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the plan that was not cut into shards."""
    out = tmp_path_factory.mktemp("single") / "run"
    before = Path.cwd()
    os.chdir(folder)
    try:
        audit_plan(plan, out=out, device="cpu")
    finally:
        os.chdir(before)
    return out


def chunks(folder: Path) -> set[tuple[str, int]]:
    store = RunStore.open_to_read(folder)
    found = store.done()
    store.close()
    return found


def test_a_shard_is_named_by_its_number_and_how_many_there_are() -> None:
    assert Shard.parse("3/16") == Shard(3, 16)
    dealt = [number for k in range(1, 8) for number in Shard(k, 7).chunks(20)]
    assert sorted(dealt) == list(range(20))
    for wrong in ("0/16", "17/16", "3", "3/", "/3", "-1/2", "1/2/3", "a/b", "1/1000000"):
        with pytest.raises(InputError, match="is no shard"):
            Shard.parse(wrong)


def test_what_is_settled_is_what_a_single_run_settles(
    plan: Plan, single: Path, tmp_path: Path
) -> None:
    settings = RunSettings(out=tmp_path / "run", device="cpu")
    shard = audit_shard(plan, Shard(5, 5), settings)
    assert (tmp_path / "run" / SETTLED).exists()
    whole, part = RunStore.open_to_read(single), RunStore.open_to_read(shard)
    for memo in (HEAD, RANDOM, CASES_AT_ONCE, START):
        assert part.get(memo) == whole.get(memo) is not None  # type: ignore[attr-defined]
    fast, own = whole.get(ACCELERATION), part.get(ACCELERATION)
    assert fast and own and dataclasses.replace(own, gain=fast.gain) == fast
    assert part.get(MERGED_GROUPS) is None, "it depends on all cases"
    keys = {cell for cell, _ in whole.done()}
    assert part.done() == {("clean", 0), *((cell, 4) for cell in keys)}
    for cell in keys - {"clean"}:
        own_rows = [str(o) for o in part.outcomes(cell)]
        assert own_rows and own_rows == [str(o) for o in whole.outcomes(cell, 32, 40)]
    whole.close()
    part.close()


def test_shards_that_start_at_the_same_moment_settle_once(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one process, whose threads have the locks of as many processes."""
    from robust.auditing import shards

    made: list[object] = []
    settle = shards.settle
    monkeypatch.setattr(shards, "settle", lambda *args: made.append(args) or settle(*args))
    settings = RunSettings(out=tmp_path / "run", device="cpu")
    workers = [
        threading.Thread(target=audit_shard, args=(plan, Shard(k, 3), settings)) for k in (1, 2, 3)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(made) == 1
    every = [chunks(tmp_path / "run" / "shards" / str(k)) - {("clean", 0)} for k in (1, 2, 3)]
    assert not every[0] & every[1] and not every[1] & every[2] and not every[0] & every[2]
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == [SETTLED, "shards"]


def test_a_shard_of_another_plan_or_of_another_count_is_refused(plan: Plan, tmp_path: Path) -> None:
    settings = RunSettings(out=tmp_path / "run", device="cpu")
    audit_shard(plan, Shard(6, 6), settings)
    other = plan.model_copy(update={"audit": plan.audit.model_copy(update={"seed": 1})})
    with pytest.raises(InputError, match="belongs to another run: its plan differs"):
        audit_shard(other, Shard(1, 6), settings)
    assert not (tmp_path / "run" / "shards" / "1").exists()
    with pytest.raises(InputError, match="holds shard 6 of 6, not shard 6 of 7"):
        audit_shard(plan, Shard(6, 7), settings)
