"""`robust report`: write or print the report of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from robust.cli.plan_options.options import OUTPUT, Gate, NoGallery
from robust.cli.process.manners import manners
from robust.errors import InputError, did_you_mean
from robust.files import cannot, path_exists
from robust.plan.spec import TrackSpec
from robust.progress import progress_bar
from robust.records import Report
from robust.report import FORMATS, TEMPLATES
from robust.report.crosswalk.texts import CROSSWALKS

EXAMPLE = (
    "Example (after robust demo): robust report demo-report/run --format html --template regulatory"
)


def report(
    run: Annotated[Path, typer.Argument(help="Run directory, or a report.json.")],
    format: Annotated[
        list[str] | None,
        typer.Option(
            help="html, md, json, csv, latex, svg, png, pdf, notebook, cyclonedx, model-card or "
            "text. May be repeated.",
            rich_help_panel=OUTPUT,
            show_default="text and html; with --json none",
            autocompletion=lambda: [*FORMATS, "text"],
        ),
    ] = None,
    template: Annotated[
        str,
        typer.Option(
            help="standard, regulatory (the order of a technical file), or the points of a text "
            f"first: {', '.join(CROSSWALKS)}. Of html, md and pdf.",
            rich_help_panel=OUTPUT,
            autocompletion=lambda: list(TEMPLATES),
        ),
    ] = "standard",
    no_gallery: NoGallery = False,
    gate: Gate = False,
    track: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Log the finished audit, each finding of several as a run of its own, to this "
            "MLflow server or database (sqlite:///mlflow.db). No case by case results and no "
            "images are logged.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    experiment: Annotated[
        str,
        typer.Option(help="With --track: name of MLflow's experiment.", rich_help_panel=OUTPUT),
    ] = "robust",
) -> None:
    """Write or print the report of a run, finished or not.

    cyclonedx writes report.cdx.json, an ML-BOM with a model card; model-card writes model-card.md
    for Hugging Face.
    """
    from robust.plan.paths import require_run

    if not path_exists(run):
        require_run(run)
    from robust.cli.output import (
        apply_gates,
        emit_report,
        make_console,
        print_errors,
        require_gates,
    )
    from robust.report import is_unfinished, read_report, write_report
    from robust.report.findings import is_findings
    from robust.report.formats.terminal import print_report

    for name in format or ():
        if name not in (*FORMATS, "text"):
            raise InputError(f"unknown format {name!r}; {did_you_mean(name, [*FORMATS, 'text'])}")
    if template not in TEMPLATES:
        raise InputError(f"unknown template {template!r}; {did_you_mean(template, TEMPLATES)}")
    if run.is_dir() and is_findings(run):
        if template != "standard":
            raise InputError(
                f"--template {template}: {run} holds an audit of several findings; name the folder "
                f"of one finding"
            )
        from robust.cli.findings import report_each

        return report_each(run, format, gate=gate, track=_track_spec(track, experiment))
    if is_unfinished(run):
        from robust.auditing import unfinished_report

        result = unfinished_report(run)
    else:
        result = read_report(run)
    if gate:
        require_gates(result, run)
    plain_json = manners().as_json and template == "standard"
    folder = run if run.is_dir() else run.parent  # read_report has found it
    formats = format or ([] if track or plain_json else ["text", "html"])
    files = [name for name in formats if name != "text"]
    if "text" in formats:
        print_report(result, make_console())
    written: list[Path] = []
    try:
        if files:  # without a name, three formats would be written
            with progress_bar() as progress:
                progress(0, 0, "writing the report")
                written = write_report(
                    result, folder, *files, template=template, gallery=not no_gallery
                )
    except OSError as error:
        why = cannot(folder, "be written to", error)
        if format is not None:
            raise InputError(f"{why}; --format text writes no file") from None
        print_errors([f"no HTML report: {why}"])
    for path in written:
        make_console(wrap=False).print(f"wrote {path}")
    spec = _track_spec(track, experiment)
    tracked = None if spec is None else [_track(result, folder, spec)]
    emit_report(result, run, written, tracked)
    if gate:
        apply_gates(result, folder)


def _track_spec(address: str | None, experiment: str) -> TrackSpec | None:
    """Where to log to; None where nothing is to be logged. InputError."""
    if address is None:
        return None
    from robust.plan.load import make_plan

    return make_plan({"track": {"uri": address, "experiment": experiment}}, "--track").track


def _track(report: Report, folder: Path, spec: TrackSpec) -> str:
    """Log a finished audit to MLflow and say where."""
    from robust.cli.output import make_console
    from robust.tracking import track_report

    with progress_bar() as progress:
        progress(0, 0, "logging to MLflow")
        said = track_report(report, folder, spec)
    make_console(wrap=False).print(said)
    return said
