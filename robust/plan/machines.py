"""Where a plan runs: its shards, and the jobs of a cluster."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from robust.errors import InputError

SHARDS = "shards"
"""Folder of a run directory with a run directory for each shard."""
SETTLED = "settled.sqlite"
"""The file in a run directory that travels with the plan to every shard."""
SETTLING = "settling"
"""Folder of the store in which it is made."""
JOBS = "jobs"
"""Folder with the logs of jobs on a cluster."""
OF_SHARDS = (SHARDS, SETTLED, SETTLING, JOBS)
"""What lies in a run directory before its shards are joined."""
MOST_SHARDS = 100_000
MOST_WORKERS = 10_000


@dataclass(frozen=True)
class Shard:
    """Part `number` of `count`, from 1: some of the chunks that the cases of a run are cut into."""

    number: int
    count: int

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    @property
    def name(self) -> str:
        """`shard 3 of 16`."""
        return f"shard {self.number} of {self.count}"

    def chunks(self, every: int) -> range:
        """Its chunks, of so many: every `count`-th, as cases are often in the order of a class."""
        return range(self.number - 1, every, self.count)

    def folder(self, run: Path) -> Path:
        """Its run directory within that of the run."""
        return run / SHARDS / str(self.number)

    @staticmethod
    def parse(text: str) -> Shard:
        """The shard of a text such as `3/16`; InputError."""
        found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text.strip(), re.ASCII)
        number, count = (int(found[1]), int(found[2])) if found else (0, 0)
        if not 1 <= number <= count <= MOST_SHARDS:
            raise InputError(
                f"{text!r} is no shard; write its number and how many there are: 1/16 to 16/16"
            )
        return Shard(number, count)


@dataclass(frozen=True)
class WorkerChoice:
    """On how many workers an audit attacks, and what starts them."""

    count: int | None = None
    """None: one for each GPU of a cluster, or else one for each machine."""
    engine: str = "processes"
    """`processes` of this machine, or `ray`."""
    address: str | None = None
    """Of a Ray cluster; None: that in RAY_ADDRESS, or a new one on this machine."""


@dataclass(frozen=True)
class SlurmJobs:
    """How the jobs of an audit are submitted to a cluster."""

    shards: int
    """How many jobs attack, each a shard."""
    options: Mapping[str, str]
    """Options of the jobs by their names in submitit, such as `slurm_partition` without `slurm_`.
    `cluster` is another executor of submitit: `local` or `debug`."""
    wait: bool = True
    """Wait for the jobs, and merge."""
