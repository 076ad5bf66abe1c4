"""`robust audit --workers`, `--engine ray`: the options that do not go together."""

from __future__ import annotations

import pytest

from robust.cli.audit import worker_choice
from robust.errors import InputError
from robust.plan.machines import WorkerChoice
from tests.cli.commands import RUN, Robust, refused, write_plan


def test_what_the_options_say_together() -> None:
    assert worker_choice(None, None, None) is None
    assert worker_choice(None, 3, None) == WorkerChoice(3)
    assert worker_choice("ray", None, None) == WorkerChoice(None, "ray")
    assert worker_choice("ray", 2, "host:1") == WorkerChoice(2, "ray", "host:1")
    assert worker_choice("slurm", None, None) is None
    with pytest.raises(InputError, match="--shards in place of --workers"):
        worker_choice("slurm", 2, None)


def test_options_that_do_not_go_together(robust: Robust) -> None:
    write_plan()
    refused(robust(*RUN, "--address", "host:1"), "--address needs --engine ray")
    refused(robust(*RUN, "--workers", "2", "--shard", "1/2"), "leave --engine and --workers out")
    refused(robust(*RUN, "--engine", "slurm", "--shards", "2", "--workers", "2"), "--shards")
    refused(robust(*RUN, "--engine", "ray", "--shards", "2"), "need --engine slurm")
