"""Shards as jobs of a cluster, through the executors of submitit that need none."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from robust.auditing import audit_plan, slurm
from robust.auditing.request import RunSettings
from robust.auditing.shards import attacked_shards
from robust.auditing.slurm import audit_on_slurm
from robust.errors import InputError
from robust.plan.load import load_plan
from robust.plan.machines import Shard, SlurmJobs
from robust.plan.spec import Plan
from tests.auditing.test_shards import bare
from tests.faults.small_audit import write_inputs

submitit = pytest.importorskip("submitit")
DEBUG = {"cluster": "debug"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_inputs(tmp_path_factory.mktemp("slurm"))


@pytest.fixture
def plan(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    """The small audit without detectors and later stages; the test is in the folder of its inputs."""
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    text = (folder / "plan.toml").read_text("utf-8").split("[[detectors]]")[0]
    path = tmp_path / "short.toml"
    path.write_text(f"{text}\n[doubts]\nprobe = false\n[report]\ngallery = 0\n", "utf-8")
    return load_plan(path, allow_code=True)


def test_what_failed_is_named_with_its_log_and_goes_again_alone(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    settings = RunSettings(tmp_path / "run", "cpu", announce=said.append)
    attack, ran = slurm.audit_shard, []

    def fails(plan: Plan, shard: Shard, settings: RunSettings) -> Path:
        ran.append(shard.number)
        if shard.number == 2 and ran.count(2) == 1:
            raise InputError("the node has no memory")
        return attack(plan, shard, settings)

    monkeypatch.setattr(slurm, "audit_shard", fails)
    jobs = SlurmJobs(3, DEBUG)
    with pytest.raises(
        InputError, match=r"^shard 2 of 3 failed: the node has no memory; its log is"
    ):
        audit_on_slurm(plan, jobs, settings)
    assert ran == [1, 2, 3] and attacked_shards(tmp_path / "run", 3) == {1, 3}
    report = audit_on_slurm(plan, jobs, settings)
    assert ran == [1, 2, 3, 2] and report is not None
    assert said[0].startswith("Submitting 3 of 3 shards") and "1 of 3 shards" in said[1]
    audit_plan(plan, out=tmp_path / "single", device="cpu")
    assert bare(tmp_path / "run") == bare(tmp_path / "single")
    assert not list((tmp_path / "run" / "jobs").glob("*.pkl")), "the plan may name a patient"


def test_a_shard_at_work_is_not_submitted_again(plan: Plan, tmp_path: Path) -> None:
    from robust.engine.run_store import RunStore

    busy = RunStore(Shard(1, 2).folder(tmp_path / "run"))
    with pytest.raises(InputError, match="another process is using"):
        audit_on_slurm(plan, SlurmJobs(2, DEBUG), RunSettings(tmp_path / "run", "cpu"))
    busy.close()


def test_an_option_that_submitit_does_not_know_is_one_line(plan: Plan, tmp_path: Path) -> None:
    settings = RunSettings(tmp_path / "run", "cpu")
    for options, said in (
        ({"cluster": "debug", "partitoin": "gpu"}, "partitoin"),
        ({"cluster": "debug", "timeout_min": "soon"}, "timeout_min"),
        ({"cluster": "kubernetes"}, "kubernetes"),
    ):
        with pytest.raises(InputError, match=f"^--slurm: .*{said}"):
            audit_on_slurm(plan, SlurmJobs(2, options), settings)


def test_jobs_that_the_cluster_refuses_are_one_line(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise submitit.core.utils.FailedJobError("sbatch: error: invalid partition specified: gpu")

    monkeypatch.setattr(submitit.AutoExecutor, "map_array", refuse)
    with pytest.raises(InputError, match="takes no jobs: sbatch: error: invalid partition"):
        audit_on_slurm(plan, SlurmJobs(2, DEBUG), RunSettings(tmp_path / "run", "cpu"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # jobs left alone
def test_jobs_in_processes_of_their_own(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """submitit's local executor: scripts, pickled jobs, logs and results as on a cluster."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # as many threads as in this process
    run = tmp_path / "run"
    settings = RunSettings(run, "cpu")
    waiting = SlurmJobs(
        2, {"cluster": "local", "partition": "gpu", "timeout_min": "20"}, wait=False
    )
    assert audit_on_slurm(plan, waiting, settings) is None
    failing = plan.model_copy(update={"audit": plan.audit.model_copy(update={"seed": 1})})
    end = time.monotonic() + 300
    while len(list((run / "jobs").glob("*_result.pkl"))) < 2:
        assert time.monotonic() < end, [p.read_text() for p in (run / "jobs").glob("*.err")]
        time.sleep(0.1)
    assert attacked_shards(run, 2) == {1, 2}
    shutil.copytree(run, tmp_path / "other")
    with pytest.raises(InputError, match=r"the merge failed: .*its plan differs.*_log.err"):
        audit_on_slurm(failing, waiting, RunSettings(tmp_path / "other", "cpu"))
    assert audit_on_slurm(plan, waiting, settings) is not None
    audit_plan(plan, out=tmp_path / "single", device="cpu")
    assert bare(run) == bare(tmp_path / "single")
