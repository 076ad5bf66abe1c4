"""Shards: what is settled before them is what a single run settles, and each runs its own chunks."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import shutil
import threading
from pathlib import Path

import pytest

from robust.auditing import audit_plan, audit_shard, merge_shards
from robust.auditing.attack_stage import prepare_attacks
from robust.auditing.request import RunSettings, open_request
from robust.auditing.shards import attacked_shards, settle
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
from robust.records import Report
from tests.faults.small_audit import outcome, write_inputs


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The inputs of the small audit; its network and images are named by their paths."""
    return write_inputs(tmp_path_factory.mktemp("shards"))


@pytest.fixture(scope="module")
def plan(folder: Path) -> Plan:
    """The small audit without detectors and later stages."""
    text = (folder / "plan.toml").read_text("utf-8").split("[[detectors]]")[0]
    text = text.replace('head = "softmax"\n', "")  # so that it is recognised
    text += "\n[doubts]\nprobe = false\n[report]\ngallery = 0\n"
    (folder / "short.toml").write_text(text, "utf-8")
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


@pytest.fixture(scope="module")
def detecting(folder: Path) -> Plan:
    """The small audit with detectors, without adaptive attacks and scenarios."""
    text = (folder / "plan.toml").read_text("utf-8").replace("adaptive = 8", "adaptive = 0")
    before, scenarios = text.replace('"2/255", ', "").split("[scenarios]")
    text = f"{before}[report]{scenarios.split('[report]')[1]}\n[doubts]\nprobe = false\n"
    (folder / "detecting.toml").write_text(text, "utf-8")
    return load_plan(folder / "detecting.toml", allow_code=True)


def bare(run: Path) -> tuple[str, bytes]:
    """report.json without the timings, and outcomes.csv."""
    report = json.loads((run / "report.json").read_text("utf-8"))
    del report["timings"]
    return json.dumps(report), (run / "outcomes.csv").read_bytes()


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


def test_chunks_are_handed_to_a_settled_stage_one_by_one(
    plan: Plan, single: Path, tmp_path: Path
) -> None:
    """As to a worker that does not know yet which it will attack."""
    request = open_request(plan, RunSettings(out=tmp_path, device="cpu"))
    driver = RunStore(tmp_path / "driver")
    settle(request, driver)
    driver.snapshot(tmp_path / SETTLED)
    driver.close()
    worker = RunStore(tmp_path / "worker", begin_with=tmp_path / SETTLED)
    stage = prepare_attacks(request, worker, chunks=())
    whole = RunStore.open_to_read(single)
    for number in (4, 2):
        stage.run([number])
        assert {n for _, n in worker.done()} == {0, 4, number}
        for cell in {cell for cell, _ in whole.done()} - {"clean"}:
            part = [str(o) for o in worker.outcomes(cell, number * 8, number * 8 + 8)]
            assert part == [str(o) for o in whole.outcomes(cell, number * 8, number * 8 + 8)]
    whole.close()
    worker.close()


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


@pytest.mark.parametrize("count", [pytest.param(2, marks=pytest.mark.slow), 7])
def test_the_merged_report_is_that_of_a_single_run(
    plan: Plan, single: Path, count: int, tmp_path: Path
) -> None:
    """Of seven shards one has nothing to do: there are six chunks."""
    settings = RunSettings(out=tmp_path / "run", device="cpu")
    numbers = list(range(1, count + 1))
    random.Random(count).shuffle(numbers)
    for number in numbers:
        audit_shard(plan, Shard(number, count), settings)
    assert attacked_shards(tmp_path / "run", count) == set(numbers)
    report = merge_shards(tmp_path / "run", plan, settings)
    assert bare(tmp_path / "run") == bare(single)
    assert report == Report.load(tmp_path / "run" / "report.json")
    again = audit_plan(plan, out=tmp_path / "run", device="cpu")
    assert again.rows == report.rows, "it resumes as any run"


def test_detectors_and_example_images_are_those_of_a_single_run(
    detecting: Plan, tmp_path: Path
) -> None:
    audit_plan(detecting, out=tmp_path / "single", device="cpu")
    settings = RunSettings(out=tmp_path / "run", device="cpu")
    for number in (2, 1):
        audit_shard(detecting, Shard(number, 2), settings)
    merge_shards(tmp_path / "run", detecting, settings)
    assert bare(tmp_path / "run") == bare(tmp_path / "single")
    assert outcome(tmp_path / "run").gallery == outcome(tmp_path / "single").gallery


@pytest.mark.parametrize("copied", [pytest.param(True, marks=pytest.mark.slow), False])
def test_machines_without_a_common_disk(
    plan: Plan, single: Path, copied: bool, tmp_path: Path
) -> None:
    """They begin with a copy of one file, or settle on the same each for itself."""
    for number in (1, 2):
        own = tmp_path / f"machine {number}"
        if number > 1 and copied:
            own.mkdir()
            shutil.copyfile(tmp_path / "machine 1" / SETTLED, own / SETTLED)
        audit_shard(plan, Shard(number, 2), RunSettings(out=own, device="cpu"))
    shutil.copytree(
        tmp_path / "machine 2" / "shards" / "2", tmp_path / "machine 1" / "shards" / "2"
    )
    merge_shards(tmp_path / "machine 1", plan, RunSettings(device="cpu"))
    assert bare(tmp_path / "machine 1") == bare(single)


def test_a_missing_shard_is_named_or_attacked_here(
    plan: Plan, single: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    settings = RunSettings(out=run, device="cpu")
    for number in (1, 3):
        audit_shard(plan, Shard(number, 3), settings)
    assert attacked_shards(run, 3) == {1, 3}
    with pytest.raises(InputError, match="shard 2 of 3 is not finished"):
        merge_shards(run, plan, settings)
    assert sorted(p.name for p in run.iterdir() if p.name != "run.lock") == [SETTLED, "shards"]
    with pytest.raises(InputError, match="holds shards of a run; join them: robust merge"):
        audit_plan(plan, out=run, device="cpu")
    merge_shards(run, plan, settings, incomplete=True)
    assert bare(run) == bare(single)


def test_a_shard_that_has_begun_needs_the_settled_values_no_more(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = RunSettings(out=tmp_path / "run", device="cpu")
    folder = audit_shard(plan, Shard(1, 2), settings)
    before = chunks(folder)
    (tmp_path / "run" / SETTLED).unlink()
    monkeypatch.setattr("robust.auditing.shards.settle", lambda *_: pytest.fail("settled again"))
    audit_shard(plan, Shard(1, 2), settings)
    assert chunks(folder) == before


def test_shards_of_another_plan_are_not_merged(plan: Plan, tmp_path: Path) -> None:
    settings = RunSettings(out=tmp_path / "run", device="cpu")
    audit_shard(plan, Shard(1, 1), settings)
    other = plan.model_copy(update={"audit": plan.audit.model_copy(update={"seed": 1})})
    with pytest.raises(InputError, match=r"shards/1 is of another run: its plan differs"):
        merge_shards(tmp_path / "run", other, settings)
    assert not (tmp_path / "run" / "outcomes.sqlite").exists()


def test_a_folder_with_other_files_takes_no_shards(plan: Plan, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine", "utf-8")
    with pytest.raises(InputError, match="holds other files"):
        audit_shard(plan, Shard(1, 2), RunSettings(out=tmp_path, device="cpu"))
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]
