"""`robust merge`: join the shards of a run, and write its report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from robust.cli.audit import PANELS, resolve_plan, show_run
from robust.cli.plan_options.fields import with_fields
from robust.cli.plan_options.options import (
    RUNNING,
    AllowCode,
    Device,
    Gate,
    NoGallery,
    PlanSettings,
    SkipBroken,
)
from robust.plan.spec import Plan
from robust.progress import Shown
from robust.records import Report

EXAMPLE = (
    "Example (after robust audit demo-report/plan.toml --shard 1/1 --out runs/parts): "
    "robust merge runs/parts demo-report/plan.toml"
)


@with_fields(Plan, PANELS)
def merge(
    run: Annotated[Path, typer.Argument(help="Run directory with the folder shards.")],
    plan: Annotated[
        Path | None,
        typer.Argument(
            help="The plan of the shards, with the options that they were given.",
            show_default=False,
        ),
    ] = None,
    incomplete: Annotated[
        bool,
        typer.Option(
            "--incomplete",
            help="Attack here what no shard has finished.",
            rich_help_panel=RUNNING,
        ),
    ] = False,
    no_gallery: NoGallery = False,
    device: Device = "auto",
    skip_broken: SkipBroken = False,
    gate: Gate = False,
    allow_code: AllowCode = False,
    settings: PlanSettings = None,
    *,
    changes: Mapping[str, Any],
) -> None:
    """Join the shards of a run, run the remaining stages, and write the report.

    The plan, the model and the images are named again, since a run directory holds no path and may
    not say what code to run. The report is that of a run without shards. Exit codes: as robust
    audit.
    """
    resolved = resolve_plan(
        plan, changes, settings, run, no_gallery=no_gallery, allow_code=allow_code, gate=gate
    )

    def join(progress: Shown) -> Report:
        from robust.auditing import merge_shards
        from robust.auditing.request import RunSettings

        given = RunSettings(run, device, skip_broken, progress, progress.announce)
        return merge_shards(run, resolved, given, incomplete=incomplete)

    show_run(join, run, gate=gate)
