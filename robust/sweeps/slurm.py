"""A sweep on a Slurm cluster, through submitit: jobs that share its members in one folder."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from robust.auditing.slurm import (
    forget_jobs,
    slurm_executor,
    submit_jobs,
    submitted_again,
    wait_for_jobs,
)
from robust.files import private_files
from robust.plan.code import own_packages_first
from robust.plan.machines import JOBS, SlurmJobs
from robust.progress import no_announcement, no_progress
from robust.records.sweep import SweepReport
from robust.sweeps.grid import choose_members, members_of
from robust.sweeps.run import SweepSettings, claim_folder, run_sweep
from robust.sweeps.spec import SweepSpec


@dataclass(frozen=True)
class SweepJob:
    """What each job does: the sweep, of which it takes the members that no other job is at."""

    spec: SweepSpec
    out: Path
    settings: SweepSettings

    def __call__(self, number: int) -> None:
        """Work until every member is finished."""
        with private_files(), own_packages_first():
            run_sweep(self.spec, self.out, self.settings)

    def checkpoint(self, number: int) -> object:
        """What goes on after a job was preempted or out of time: the same, from where it was."""
        return submitted_again(self, number)


def sweep_on_slurm(
    spec: SweepSpec, out: Path, jobs: SlurmJobs, settings: SweepSettings
) -> SweepReport | None:
    """Submit `jobs.shards` jobs, at most one a member, wait for them, and read the report.

    None where nobody waits; the same call, later, submits jobs for what is left. InputError, with
    the path of its log, for a job that failed.
    """
    members = members_of(spec, allow_code=settings.allow_code)
    count = min(jobs.shards, len(choose_members(members, settings.only)))
    claim_folder(out, members)
    executor = slurm_executor(out / JOBS, jobs.options)
    there = dataclasses.replace(settings, progress=no_progress, announce=no_announcement)
    settings.announce(f"Submitting {count} jobs; logs: {out / JOBS}")
    job, numbers = SweepJob(spec, out.absolute(), there), range(1, count + 1)
    submitted = submit_jobs(lambda: executor.map_array(job, numbers))
    if not jobs.wait:
        settings.announce("Submitted. Give the same command again later, for the report")
        return None
    wait_for_jobs([f"job {number} of {count}" for number in numbers], submitted, settings.progress)
    forget_jobs(out / JOBS)
    return SweepReport.load(out)
