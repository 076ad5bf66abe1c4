"""`robust audit --shard`, `robust merge` and `--engine slurm`: what they say and refuse."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from robust.auditing import audit_plan
from robust.cli.plan_options.overrides import plan_from
from tests.cli.commands import RUN, Robust, refused, write_plan

SHARD = (*RUN, "--shard")


def write_small_plan() -> None:
    write_plan(audit={"chunk": 2})


def test_shards_and_their_merge(robust: Robust) -> None:
    write_small_plan()
    for number in (1, 2):
        done = robust(*SHARD, f"{number}/2")
        assert done.code == 0, done.err
        assert done.out == (
            f"Finished shard {number} of 2: run/shards/{number}\n"
            "When all are: robust merge run PLAN\n"
        )
    again = robust(*SHARD, "2/2")
    assert again.code == 0, "what is finished is not attacked again"
    before = robust("report", "run")
    assert before.code == 2 and "join them: robust merge run PLAN" in before.err
    part = robust("report", "run/shards/1", "--format", "text")
    assert part.code == 0 and "This run is not finished" in part.out
    merged = robust("merge", "run", "plan.toml", "--no-gallery")
    assert merged.code == 0, merged.err
    assert "Report: run/report.html" in merged.out
    audit_plan(plan_from(Path("plan.toml"), {"report.gallery": 0}), out="single")
    assert Path("run/outcomes.csv").read_bytes() == Path("single/outcomes.csv").read_bytes()
    both = [json.loads(Path(run, "report.json").read_text()) for run in ("run", "single")]
    for one in both:
        del one["timings"]
    assert both[0] == both[1]


@pytest.mark.parametrize("text", ["0/2", "3/2", "half", "1/2/3", "1/-2", "1:2"])
def test_what_is_no_shard_is_one_line(text: str, robust: Robust) -> None:
    write_small_plan()
    refused(robust(*SHARD, text), "is no shard", "1/16 to 16/16")


def test_options_that_do_not_go_together(robust: Robust) -> None:
    write_small_plan()
    refused(robust(*SHARD, "1/2", "--gate"), "--shard attacks one part alone")
    refused(
        robust(*SHARD, "1/2", "--engine", "slurm", "--shards", "2"), "leave --engine and --workers"
    )
    refused(robust(*RUN, "--shards", "2"), "need --engine slurm")
    refused(robust(*RUN, "--no-wait"), "need --engine slurm")
    refused(robust(*RUN, "--engine", "slurm"), "--shards 16")
    refused(robust(*RUN, "--engine", "slrum", "--shards", "2"), "unknown engine", "slurm")
    options = ("--engine", "slurm", "--shards", "2", "--slurm")
    refused(robust(*RUN, *options, "partition"), "write NAME=VALUE")


def test_a_merge_without_shards_or_without_a_plan(robust: Robust) -> None:
    write_small_plan()
    refused(robust("merge", "run", "plan.toml"), "run/shards holds no shard", "--shard 1/16")
    Path("run/shards/1").mkdir(parents=True)
    answer = robust("merge", "run")
    assert answer.code == 2 and "an audit needs a model and data" in answer.err


def test_a_run_directory_says_no_code_to_run(robust: Robust) -> None:
    """The factory of the shards is named by the plan that is given, not by what lies there."""
    write_small_plan()
    assert robust(*SHARD, "1/1").code == 0
    folder = Path("foreign")
    folder.mkdir()
    Path("plan.toml").rename(folder / "plan.toml")
    answer = robust("merge", "run", "foreign")
    assert answer.code == 2 and "--allow-code" in answer.err
    assert robust("merge", "run", "foreign", "--allow-code", "--no-gallery").code == 0


def test_another_model_is_named(robust: Robust) -> None:
    write_small_plan()
    assert robust(*SHARD, "1/1").code == 0
    write_plan({"factory": "toy_factory:build", "mean": 0.5}, audit={"chunk": 2})
    answer = robust("merge", "run", "plan.toml")
    assert answer.code == 2
    assert "run/shards/1 is of another run: its model differs" in answer.err
    assert not Path("run/outcomes.sqlite").exists()
