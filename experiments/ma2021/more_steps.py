"""How much of what the paper's attacks leave is left by a longer search, by capacity and network.

Run, after `robust sweep experiments/ma2021/sweeps/SWEEP.toml --out runs/sweeps/SWEEP` for
`capacity` and `architectures`: `python -m experiments.ma2021.more_steps [--quick]` (about 40
minutes of a CPU core for the twelve networks of capacity, seven minutes for each at 128 px). Every
trained network of these sweeps, on the images of its audit, under APGD with 100 steps on two losses
at 0.25/255: nearly all of their audits warned that more steps would still help, so that PGD and CW
with 20 steps may leave too much. Writes `results/more_steps.csv` and prints its table.
"""

from __future__ import annotations

from pathlib import Path

from experiments.ma2021.common import (
    RUNS,
    Options,
    interval,
    numbers,
    percent,
    started,
    write_table,
)
from experiments.ma2021.detection_tables import markdown
from robust.auditing import audit_plan
from robust.plan.spec import AttackSpec
from robust.records import Report, Scores
from robust.report import read_report
from robust.sweeps.grid import Member, members_of
from robust.sweeps.spec import load_sweep

SWEEPS = ("capacity", "architectures")
FILES = Path(__file__).parent / "sweeps"
OUT = Path("runs/sweeps")
EPS = 0.25 / 255
LOSSES = ("cross_entropy", "margin")
LONGER = [{"name": "APGD", "label": f"APGD, {loss}", "steps": 100, "loss": loss} for loss in LOSSES]
COLUMNS = ("sweep", "network", "attacked", *interval("paper", "longer"), "warnings")


def audited_longer(member: Member, sweep: Path, limit: int | None) -> Report:
    """The longer search alone, on the network and the images of the member's audit."""
    plan = member.plan_in(sweep)
    assert plan.data is not None
    changed = {
        "attacks": tuple(map(AttackSpec.model_validate, LONGER)),
        "detectors": (),
        "audit": plan.audit.model_copy(update={"eps": (EPS,)}),
        "data": plan.data.model_copy(update={"limit": limit or plan.data.limit}),
    }
    run = RUNS / f"more-steps-{member.folder}{'-quick' if limit else ''}"
    return audit_plan(plan.model_copy(update=changed), out=run)


def worst(report: Report) -> Scores:
    """Of all attacks of a report, at the one eps."""
    (row,) = [row for row in report.worst_cases if row.eps == EPS]
    return row.scores


def main(asked: Options) -> None:
    rows: list[list[object]] = []
    shown: list[list[str]] = []
    for sweep in SWEEPS:
        for member in members_of(load_sweep(FILES / f"{sweep}.toml")):
            before = member.run_folder(OUT / sweep) / "report.json"
            if not before.is_file() or (asked.quick and member.levels["seed"] != "0"):
                continue
            paper = worst(read_report(before)).robust_accuracy
            report = audited_longer(member, OUT / sweep, 20 if asked.quick else None)
            longer, warned = worst(report).robust_accuracy, "; ".join(f.name for f in report.flags)
            assert longer is not None
            rows.append([sweep, member.name, longer.cases, *numbers(paper, longer), warned])
            shown.append([member.name, percent(paper), percent(longer), warned])
            print(" | ".join(shown[-1]), flush=True)
            write_table(asked, "more_steps", COLUMNS, rows)
    print(markdown(("network", "PGD and CW, 20 steps", "APGD, 100 steps", "warnings"), shown))


if __name__ == "__main__":
    started(main, __doc__)
