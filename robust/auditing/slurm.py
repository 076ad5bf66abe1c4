"""An audit on a Slurm cluster, through submitit: an array of jobs, one a shard, and their merge."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robust.auditing.api import merge_shards
from robust.auditing.request import RunSettings
from robust.auditing.shards import attacked_shards, audit_shard
from robust.engine.run_directory import require_place_for_shards
from robust.errors import InputError, excerpt, first_line
from robust.files import make_private_folder, private_files
from robust.plan.code import own_packages_first
from robust.plan.machines import JOBS, Shard, SlurmJobs
from robust.plan.spec import Plan
from robust.progress import Progress
from robust.records import Report
from robust.tracking import require_tracking

if TYPE_CHECKING:
    import submitit

DEFAULT_MINUTES = 24 * 60
"""Time limit of a job where none is named: that of submitit would end it after five minutes."""

_SHARED = ("timeout_min", "mem_gb", "cpus_per_task", "gpus_per_node")
"""Options that every executor of submitit takes; all others are of Slurm alone."""
_RULE = "-" * 22
"""Before and after the traceback in an error of submitit."""

_log = logging.getLogger(__name__)


def submitted_again(
    job: Callable[[int], object], number: int
) -> submitit.helpers.DelayedSubmission:
    """What submitit submits in place of a job that was preempted or out of time."""
    import submitit

    return submitit.helpers.DelayedSubmission(job, number)


@dataclass(frozen=True)
class ShardJob:
    """What a job of the array does, given the number of its shard."""

    plan: Plan
    shards: int
    settings: RunSettings

    def __call__(self, number: int) -> str:
        """Attack the shard; the name of its folder."""
        with private_files(), own_packages_first():
            return str(audit_shard(self.plan, Shard(number, self.shards), self.settings))

    def checkpoint(self, number: int) -> submitit.helpers.DelayedSubmission:
        """What goes on after a job was preempted or out of time: the same, from where it was."""
        return submitted_again(self, number)


@dataclass(frozen=True)
class MergeJob:
    """What the last job does."""

    plan: Plan
    run: Path
    settings: RunSettings

    def __call__(self) -> None:
        """Join the shards and run the remaining stages."""
        with private_files(), own_packages_first():
            merge_shards(self.run, self.plan, self.settings)


def audit_on_slurm(plan: Plan, jobs: SlurmJobs, settings: RunSettings) -> Report | None:
    """Submit a job for every shard that is not finished, wait, and submit the merge.

    None where nobody waits and jobs were submitted; the same call, later, merges. InputError, with
    the path of its log, for a job that failed.
    """
    if settings.out is None:
        raise InputError("--engine slurm needs a run directory; name it with --out")
    require_tracking(plan.track)
    run = Path(settings.out)
    require_place_for_shards(run)
    executor = slurm_executor(run / JOBS, jobs.options)
    done = attacked_shards(run, jobs.shards)
    todo = [number for number in range(1, jobs.shards + 1) if number not in done]
    # The progress of this process cannot travel.
    there = RunSettings(run, settings.device, settings.skip_broken)
    if todo:
        settings.announce(f"Submitting {len(todo)} of {jobs.shards} shards; logs: {run / JOBS}")
        job = ShardJob(plan, jobs.shards, there)
        submitted = submit_jobs(lambda: executor.map_array(job, todo))
        if not jobs.wait:
            settings.announce("Submitted. Give the same command again later, to merge")
            return None
        names = [Shard(number, jobs.shards).name for number in todo]
        wait_for_jobs(names, submitted, settings.progress)
    settings.announce("Submitting the merge")
    last = MergeJob(plan, run, there)
    wait_for_jobs(["the merge"], submit_jobs(lambda: [executor.submit(last)]), settings.progress)
    forget_jobs(run / JOBS)
    return Report.load(run / "report.json")


def slurm_executor(folder: Path, options: Mapping[str, str]) -> submitit.AutoExecutor:
    """What submits jobs, with their logs in a folder; InputError for options that it refuses."""
    try:
        import submitit
    except ImportError:
        raise InputError("--engine slurm needs submitit; pip install submitit") from None
    cluster = options.get("cluster", "slurm")
    parameters: dict[str, Any] = {"name": "robust", "timeout_min": DEFAULT_MINUTES}
    for name, text in options.items():
        if name != "cluster":
            value = int(text) if text.isascii() and text.isdecimal() else text
            parameters[name if name in _SHARED else f"slurm_{name}"] = value
    make_private_folder(folder)
    try:
        executor = submitit.AutoExecutor(folder=folder, cluster=cluster)
        executor.update_parameters(**parameters)
    except (NameError, AssertionError, ValueError, TypeError, RuntimeError) as error:
        raise InputError(f"--slurm: {first_line(error)}") from None
    return executor


def submit_jobs(submit: Callable[[], list[submitit.Job[Any]]]) -> list[submitit.Job[Any]]:
    """Submitted jobs; InputError where the cluster refuses them."""
    try:
        return submit()
    except (RuntimeError, OSError) as error:
        raise InputError(f"the cluster takes no jobs: {_reason(error)}") from None


def wait_for_jobs(
    names: Sequence[str], jobs: Sequence[submitit.Job[Any]], progress: Progress
) -> None:
    """Wait for every job; InputError where one failed, once all have ended."""
    failed = []
    for place, (name, job) in enumerate(zip(names, jobs, strict=True)):
        progress(place, len(jobs), f"waiting for {name}")
        error = job.exception()
        if error is not None:
            failed.append(f"{name} failed: {_reason(error)}; its log is {job.paths.stderr}")
    for line in failed[1:]:
        _log.warning("robust: %s", line)
    if failed:
        raise InputError(
            f"{failed[0]}; fix the cause and give the same command again, which submits only what "
            f"is missing"
        )


def forget_jobs(folder: Path) -> None:
    """Delete what was pickled for the jobs: the plan in it may name a patient or a place."""
    for pickled in folder.glob("*.pkl"):
        pickled.unlink()


def _reason(error: BaseException) -> str:
    """The last line of the traceback in a job's error; of a job without one, the first line."""
    text = str(error)
    trace = text.split(f"\n{_RULE}\n")[1] if text.count(f"\n{_RULE}\n") >= 2 else ""
    lines = [line for line in trace.splitlines() if line.strip()] or [first_line(error)]
    return excerpt(lines[-1].removeprefix(f"{InputError.__module__}.InputError: "), 300)
