"""`robust audit`: attack a classifier and write a report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from robust.cli.fields import (
    CASE_OPTIONS,
    FieldOption,
    as_name_or_number,
    as_names,
    as_numbers,
    as_tables,
    with_fields,
)
from robust.cli.options import (
    ATTACKS,
    DATA,
    DETECTORS,
    MODEL,
    OUTPUT,
    AllowCode,
    Device,
    Gate,
    NoGallery,
    PlanSettings,
    RunFolder,
    SkipBroken,
)
from robust.plan.spec import Plan
from robust.progress import progress_bar

EXAMPLE = (
    "Example (after robust demo): robust audit demo-report/plan.toml --attack PGD "
    "--eps 1/255 --out runs/pgd"
)


def as_detectors(flag: str, names: list[str]) -> list[dict[str, str]]:
    """Tables for detectors; `all` is every one but BayesianUncertainty.

    Few networks have the dropout that it needs. Named beside `all`, it is added.
    """
    if "all" in names:
        from detectors import DETECTORS, BayesianUncertainty

        every = [name for name in DETECTORS if name != BayesianUncertainty.__name__]
        names = list(dict.fromkeys([*every, *(name for name in names if name != "all")]))
    return as_tables(flag, names)


_MODEL = (
    FieldOption("--architecture", "model.architecture", "Name of a timm or torchvision network."),
    FieldOption("--weights", "model.weights", "File of weights: .pth or .safetensors."),
    FieldOption("--pretrained", "model.pretrained", "Use the library's pretrained weights.", bool),
    FieldOption(
        "--file",
        "model.file",
        "TorchScript or .pt2 file that holds the whole network. It can run code: take it from "
        "people you trust.",
    ),
    FieldOption(
        "--factory", "model.factory", "Function that builds the network: package.module:function."
    ),
    FieldOption("--folder", "model.folder", "Folder written by robust train."),
    FieldOption(
        "--head",
        "model.head",
        "How the outputs are read: auto, softmax, sigmoid, multilabel or probabilities.",
    ),
    FieldOption(
        "--finding",
        "model.finding",
        "Output to audit (multilabel models), by name or number.",
        read=as_name_or_number,
    ),
    FieldOption(
        "--mean",
        "model.mean",
        "Mean that the network's input is normalised with: one number, or three as in "
        "0.485,0.456,0.406.",
        read=as_numbers,
    ),
    FieldOption(
        "--std",
        "model.std",
        "Standard deviation, in the same form as the mean.",
        read=as_numbers,
    ),
    FieldOption("--size", "model.size", "Input size of the network in pixels.", int),
    FieldOption("--channels", "model.channels", "Input channels of the network: 1 or 3.", int),
)
_DATA = (
    FieldOption("--data", "data.path", "Image folder, DICOMDIR, MedMNIST .npz or phantom:NAME."),
    FieldOption("--split", "data.split", "Split to audit.", default="test"),
    *CASE_OPTIONS,
    FieldOption("--limit", "data.limit", "Maximum number of cases.", int),
    FieldOption("--grey", "data.grey", "Read colour files as grey.", bool),
    FieldOption(
        "--window", "data.window", "Which window of DICOM files to use, counted from 1.", int
    ),
)
_ATTACKS = (
    FieldOption(
        "--attack", "attacks", "Attack to run. May be repeated.", list[str], read=as_tables
    ),
    FieldOption(
        "--eps", "audit.eps", "Attack sizes (eps), for example 1/255,2/255.", read=as_names
    ),
    FieldOption("--norm", "audit.norm", "Norm of the attack size: Linf or L2."),
    FieldOption("--goal", "audit.goal", "Goal of the attacks: error, miss or 'false alarm'."),
    FieldOption("--target", "audit.target", "Class that the attacks aim at."),
    FieldOption(
        "--threshold",
        "audit.threshold",
        "Operating threshold: the probability above which the model reports the finding.",
        float,
    ),
    FieldOption(
        "--precision", "audit.precision", "Precision of the search: auto, float32 or bfloat16."
    ),
    FieldOption("--seed", "audit.seed", "Seed of all random numbers.", int),
)
_DETECTORS = (
    FieldOption(
        "--detector",
        "detectors",
        "Detector to evaluate. May be repeated. all: every one but BayesianUncertainty.",
        list[str],
        read=as_detectors,
        default="none",
    ),
)
_REPORT = (
    FieldOption("--title", "title", "Title of the report."),
    FieldOption(
        "--images",
        "report.images",
        "What the report calls the images, for example 'chest X-rays'.",
    ),
)
PANELS = (
    (MODEL, _MODEL),
    (DATA, _DATA),
    (ATTACKS, _ATTACKS),
    (DETECTORS, _DETECTORS),
    (OUTPUT, _REPORT),
)
"""Every option of `robust audit` that sets a field of the plan."""


@with_fields(Plan, PANELS)
def audit(
    plan: Annotated[
        Path | None,
        typer.Argument(
            help="Plan in TOML, or a folder with a plan.toml. Options override it.",
            show_default=False,
        ),
    ] = None,
    out: RunFolder = None,
    no_gallery: NoGallery = False,
    device: Device = "auto",
    skip_broken: SkipBroken = False,
    gate: Gate = False,
    allow_code: AllowCode = False,
    settings: PlanSettings = None,
    *,
    changes: Mapping[str, Any],
) -> None:
    """Attack a classifier and write a report.

    The run directory receives report.html, report.md, report.json, outcomes.csv and
    outcomes.parquet. The same command continues a run that was interrupted. Exit codes: 0 success,
    1 a gate did not pass (with --gate), 2 bad input, 70 a fault in robust.
    """
    from robust.cli.overrides import parse_settings, plan_from

    no_images = {"report.gallery": 0} if no_gallery else {}
    every = {**changes, **no_images, **parse_settings(settings or (), Plan)}
    resolved = plan_from(plan, every, allow_code=allow_code, folders=[out])
    if gate:
        from robust.engine.gate_precheck import check_gates

        check_gates(resolved, required=True)
    run_audit(
        resolved, out or _default_out(plan, resolved), device, skip_broken=skip_broken, gate=gate
    )


def run_audit(plan: Plan, out: Path, device: str, *, skip_broken: bool, gate: bool) -> None:
    """Run a plan, write and print its report, and apply its gates where `gate` says so."""
    with progress_bar() as progress:
        from robust.auditing import audit_plan
        from robust.cli.output import apply_gates, make_console
        from robust.report import write_report
        from robust.report.formats.terminal import print_report

        result = audit_plan(
            plan,
            out=out,
            device=device,
            skip_broken=skip_broken,
            progress=progress,
            announce=progress.announce,
        )
        progress.announce("Writing the report")
        progress(0, 0, "writing the report")
        write_report(result, out, "md", "csv", "html")
    console = make_console()
    print_report(result, console)
    console.print(f"\nReport: {out / 'report.html'}", soft_wrap=True)
    if gate:
        apply_gates(result, out)


def _default_out(path: Path | None, plan: Plan) -> Path:
    """The same folder for the same plan, so that the same command resumes."""
    return Path("runs") / f"{path.stem if path else 'audit'}-{plan.short_name()}"
