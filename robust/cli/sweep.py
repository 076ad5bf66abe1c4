"""`robust sweep`: train and audit every model of a grid, and compare them."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from robust.cli.audit import slurm_jobs, worker_choice
from robust.cli.output import FAILED, make_console, print_errors
from robust.cli.plan_options.options import (
    MACHINES,
    OUTPUT,
    RUNNING,
    AllowCode,
    ClusterAddress,
    Device,
    NoWait,
    ShardCount,
    SkipBroken,
    SlurmOptions,
    WorkerCount,
)
from robust.cli.process.manners import emit
from robust.errors import InputError
from robust.plan.machines import WorkerChoice
from robust.progress import clock_text, progress_bar

if TYPE_CHECKING:
    from robust.sweeps.spec import SweepSpec

EXAMPLE = "Example: robust sweep sweep.toml --dry-run, then robust sweep sweep.toml"


def sweep(
    spec: Annotated[
        Path, typer.Argument(metavar="SWEEP", help="Sweep in TOML.", show_default=False)
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Folder of the sweep. The same command continues one that was interrupted.",
            rich_help_panel=OUTPUT,
            show_default="sweeps/ and the file's name",
        ),
    ] = None,
    device: Device = "auto",
    skip_broken: SkipBroken = False,
    allow_code: AllowCode = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Name the members, measure for a few seconds each kind of network, and say what "
            "the sweep will cost in time and disk. Nothing is written.",
            rich_help_panel=RUNNING,
        ),
    ] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="AXIS=LEVEL",
            help="Members with this level alone: seed=0. May be repeated; levels of one axis add "
            "up.",
            rich_help_panel=RUNNING,
        ),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(
            help="ray: attack on workers of a Ray cluster. slurm: submit jobs that share the "
            "members, and wait.",
            rich_help_panel=MACHINES,
        ),
    ] = None,
    workers: WorkerCount = None,
    address: ClusterAddress = None,
    shards: ShardCount = None,
    slurm: SlurmOptions = None,
    no_wait: NoWait = False,
) -> None:
    """Train and audit every model of a grid, and compare them.

    The grid is over any field of a recipe and of a plan. The folder receives sweep.json, sweep.csv,
    sweep.parquet, sweep.html and sweep.md, and below models/ and runs/ every model and its audit.
    The same command continues a sweep that was interrupted; several machines may run it in one
    folder. Exit codes: 0 success, 1 a member could not be trained or audited, 2 bad input.
    """
    jobs = slurm_jobs(engine, shards, slurm, no_wait)
    team = worker_choice(engine, workers, address)
    if dry_run and (engine is not None or out is not None):
        raise InputError("--dry-run trains and writes nothing: leave --engine and --out out")
    from robust.sweeps.spec import load_sweep

    loaded = load_sweep(spec)
    wanted = parse_only(only or [])
    folder = out or Path("sweeps") / spec.stem
    from robust.plan.paths import require_writable

    if dry_run:
        return _dry_run(loaded, device, skip_broken=skip_broken, workers=team, code=allow_code)
    require_writable(folder)
    with progress_bar() as progress:
        progress(0, 0, "reading the sweep")
        from robust.sweeps.run import SweepSettings, run_sweep

        settings = SweepSettings(
            *(device, skip_broken, progress, progress.announce, team, allow_code, wanted)
        )
        if jobs is None:
            report = run_sweep(loaded, folder, settings)
        else:
            from robust.sweeps.slurm import sweep_on_slurm

            found = sweep_on_slurm(loaded, folder, jobs, settings)
            if found is None:
                emit(lambda: {"folder": str(folder), "sweep": None})
                return
            report = found
        from robust.report.sweeps import render_sweep
        from robust.report.sweeps.write import print_sweep, write_sweep

        progress(0, 0, "writing the page")
        write_sweep(report, folder)
    emit(lambda: {"folder": str(folder), "sweep": json.loads(render_sweep(report, "json"))})
    console = make_console()
    print_sweep(report, console)
    console.print(f"\nPage: {folder / 'sweep.html'}", soft_wrap=True)
    failed = [
        f"{member.name}: {member.why_not}"
        for member in report.members
        if member.why_not and all(member.levels[a] in texts for a, texts in wanted.items())
    ]
    print_errors(failed)
    if failed:
        raise typer.Exit(FAILED)


def _dry_run(
    spec: SweepSpec, device: str, *, skip_broken: bool, workers: WorkerChoice | None, code: bool
) -> None:
    """Print what a sweep will cost."""
    with progress_bar() as progress:
        progress(0, 0, "measuring")
        from robust.auditing.request import RunSettings
        from robust.sweeps.cost import sweep_cost

        settings = RunSettings(None, device, skip_broken, workers=workers)
        found = sweep_cost(
            spec, settings, allow_code=code, progress=progress, announce=progress.announce
        )
    emit(lambda: {**asdict(found), **found.totals})
    from robust.auditing.cost_table import between_text
    from robust.report.text.format import counted

    console = make_console()
    table = Table(box=None, pad_edge=False)
    table.add_column("member")
    table.add_column("training", justify="right", no_wrap=True)
    table.add_column("audit", justify="right", no_wrap=True)
    for name, training, audit in found.by_member:
        shown = clock_text(training) if training else "shared" if found.trainings else "-"
        table.add_row(Text(name), shown, clock_text(audit))
    table.add_row("all", clock_text(found.training_seconds), clock_text(found.audit_seconds))
    console.print(table)
    console.print(
        f"{counted(found.members, 'member')}, {counted(found.trainings, 'training')}: "
        f"{between_text(found.least_seconds, found.seconds)} on this machine, "
        f"{found.bytes / 2**20:.0f} MiB. "
        f"Nothing was trained, attacked or written.",
        soft_wrap=True,
    )


def parse_only(texts: list[str]) -> dict[str, list[str]]:
    """Levels by axis from `AXIS=LEVEL`; InputError."""
    found: dict[str, list[str]] = {}
    for text in texts:
        axis, equals, level = text.partition("=")
        if not (axis.strip() and equals and level.strip()):
            raise InputError(f"--only {text!r}: write AXIS=LEVEL, for example seed=0")
        found.setdefault(axis.strip(), []).append(level.strip())
    return found
