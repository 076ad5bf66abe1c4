"""Workers on one machine and on a Ray cluster: the report of a single run, whatever ends meanwhile."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from robust.auditing import audit_plan
from robust.engine.run_memory import WORKERS
from robust.engine.run_store import RunStore
from robust.errors import InputError
from robust.plan.load import make_plan
from robust.plan.machines import WorkerChoice
from robust.progress import no_progress
from robust.records import Report
from tests.auditing.workers.small import outcome, plan, write_plans

pytestmark = pytest.mark.slow  # a process imports for several seconds before it works


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_plans(tmp_path_factory.mktemp("processes"))


@pytest.fixture(autouse=True)
def inside(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), *sys.path]))


@pytest.fixture(scope="module")
def single(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Any]:
    """The outcome of a plan that one process audits."""
    known: dict[str, Any] = {}

    def make(name: str) -> Any:
        if name not in known:
            out = tmp_path_factory.mktemp("single") / name
            audit_plan(plan(folder, name), out=out, device="cpu")
            known[name] = outcome(out)
        return known[name]

    return make


def workers_in(run: Path) -> Any:
    return json.loads((run / "report.json").read_text("utf-8"))["timings"]["workers"]


@pytest.mark.parametrize(("engine", "name"), [("processes", "long"), ("ray", "short")])
def test_the_report_is_that_of_a_single_run(
    engine: str, name: str, folder: Path, single: Callable[[str], Any], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    audit_plan(plan(folder, name), out=out, device="cpu", workers=WorkerChoice(2, engine))
    assert outcome(out) == single(name)
    found = workers_in(out)
    assert (found["count"], found["engine"], found["chunks"]) == (2, engine, 6)
    again = found["again"]
    assert again["chunks"] == 1 and again["cells"]
    assert not any(cell["differing"] for cell in again["cells"])


class Killer:
    """Progress that kills one worker after the first chunk is there."""

    def __init__(self) -> None:
        self.killed: int | None = None

    def __call__(self, done: float, total: float, label: str) -> None:
        if self.killed is None and label.startswith("attacks on") and done:
            self.killed = next(iter(_workers()), None)
            if self.killed is not None:
                os.kill(self.killed, signal.SIGKILL)


def _workers() -> list[int]:
    """Process numbers of workers: descendants of this process that are one by their command."""
    listed = subprocess.run(
        ["ps", "-ww", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True
    )
    rows = [line.split(None, 2) for line in listed.stdout.splitlines()]
    parents = {int(pid): int(parent) for pid, parent, _ in rows}

    def ours(pid: int) -> bool:
        while pid > 1:
            pid = parents.get(pid, 0)
            if pid == os.getpid():
                return True
        return False

    marks = ("spawn_main", "ray::Serving")
    return [int(p) for p, _, args in rows if any(m in args for m in marks) and ours(int(p))]


@pytest.mark.parametrize("engine", ["processes", "ray"])
def test_a_worker_that_is_killed_is_replaced(
    engine: str,
    folder: Path,
    single: Callable[[str], Any],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    killer, before = Killer(), signal.getsignal(signal.SIGTERM)
    audit_plan(
        plan(folder, "short"),
        out=tmp_path / "run",
        device="cpu",
        progress=killer,
        workers=WorkerChoice(2, engine),
    )
    assert killer.killed is not None and outcome(tmp_path / "run") == single("short")
    assert workers_in(tmp_path / "run")["replaced"] == 1
    (line,) = [m for m in caplog.messages if "worker ended" in m]
    assert line.endswith("another one takes its place")
    shown = capfd.readouterr()
    assert shown.out == shown.err == "" and signal.getsignal(signal.SIGTERM) == before
    assert not _workers()


def test_a_run_that_was_interrupted_goes_on_with_the_threads_it_began_with(
    folder: Path, single: Callable[[str], Any], tmp_path: Path
) -> None:
    """Also on another number of workers."""
    out, answers = tmp_path / "run", []

    def stop(done: float, total: float, label: str) -> None:
        if label.startswith("attacks on"):
            answers.append(done)
            if len(answers) == 4:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        audit_plan(
            plan(folder, "short"),
            out=out,
            device="cpu",
            progress=stop,
            workers=WorkerChoice(2),
        )
    assert not _workers()
    store = RunStore.open_to_read(out)
    some = store.done()
    assert store.get(WORKERS) is not None
    store.close()
    assert 0 < len({number for _, number in some}) < 6
    report = audit_plan(plan(folder, "short"), out=out, device="cpu", workers=WorkerChoice(3))
    assert isinstance(report, Report) and outcome(out) == single("short")
    assert workers_in(out)["count"] == 3 and workers_in(out)["threads"] == 1


def test_a_broken_image_ends_the_run_in_one_line(folder: Path, tmp_path: Path) -> None:
    image = folder / "images" / "test40.png"
    whole = image.read_bytes()
    image.write_bytes(whole[:50])
    try:
        with pytest.raises(InputError, match=r"test40\.png.*--skip-broken") as refused:
            audit_plan(
                plan(folder, "short"),
                out=tmp_path / "run",
                device="cpu",
                workers=WorkerChoice(2),
            )
        assert "\n" not in str(refused.value)
        report = audit_plan(
            plan(folder, "short"),
            out=tmp_path / "run",
            device="cpu",
            skip_broken=True,
            workers=WorkerChoice(2),
        )
        assert report.data.skipped_broken == 1
    finally:
        image.write_bytes(whole)


def test_no_cluster_at_an_address_is_one_line(folder: Path, tmp_path: Path) -> None:
    choice = WorkerChoice(2, "ray", "127.0.0.1:1")
    with pytest.raises(InputError, match=r"there is no Ray cluster at '127\.0\.0\.1:1'") as refused:
        audit_plan(
            plan(folder, "short"), out=tmp_path / "run", progress=no_progress, workers=choice
        )
    assert "\n" not in str(refused.value) and not (tmp_path / "run").exists()
    with pytest.raises(InputError, match="50 workers need 50 cores, and the Ray cluster has"):
        audit_plan(
            plan(folder, "short"),
            out=tmp_path / "run",
            device="cpu",
            workers=replace(choice, count=50, address=None),
        )


def test_a_factory_that_builds_another_network_each_time_is_one_line(tmp_path: Path) -> None:
    random = make_plan(
        {
            "model": {"factory": "tests.engine.nets:small", "channels": 1, "head": "softmax"},
            "data": {"path": "phantom:chest_xray", "count": 16, "pixels": 28},
            "attacks": [{"name": "FGSM"}],
            "audit": {"eps": ["2/255"], "chunk": 8},
        }
    )
    with pytest.raises(InputError, match="a worker opens another model than the command"):
        audit_plan(random, out=tmp_path / "run", device="cpu", workers=WorkerChoice(2))
