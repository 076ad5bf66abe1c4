"""`robust audit`: attack a classifier and write a report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from robust.cli.findings import audit_each
from robust.cli.output import make_console
from robust.cli.plan_options.fields import (
    CASE_OPTIONS,
    FieldOption,
    as_corruptions,
    as_findings,
    as_name_or_number,
    as_names,
    as_numbers,
    as_tables,
    with_fields,
)
from robust.cli.plan_options.options import (
    ATTACKS,
    BEYOND_ATTACKS,
    DATA,
    DETECTORS,
    MACHINES,
    MODEL,
    OUTPUT,
    RUNNING,
    AllowCode,
    ClusterAddress,
    Device,
    Gate,
    NoGallery,
    NoWait,
    PlanSettings,
    RunFolder,
    ShardCount,
    SkipBroken,
    SlurmOptions,
    WorkerCount,
)
from robust.cli.process.manners import emit
from robust.errors import InputError, did_you_mean
from robust.plan.findings import asks_for_several
from robust.plan.machines import Shard, SlurmJobs, WorkerChoice
from robust.plan.spec import Plan
from robust.progress import Shown, progress_bar
from robust.records import Report

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
    FieldOption(
        "--architecture",
        "model.architecture",
        "Name of a timm or torchvision network, or with the prefix of another library, such as "
        "hf:OWNER/NAME (see robust list formats).",
    ),
    FieldOption(
        "--weights",
        "model.weights",
        "File of weights: .safetensors, .pth, or a checkpoint of a trainer.",
    ),
    FieldOption(
        "--weights-key",
        "model.weights_key",
        "Which of several sets of weights in the file, such as state_dict_ema.",
    ),
    FieldOption("--pretrained", "model.pretrained", "Use the library's pretrained weights.", bool),
    FieldOption(
        "--file",
        "model.file",
        "File that holds the whole network: TorchScript, .pt2, ONNX, Keras or TFLite. The first "
        "two can run code: take them from people you trust.",
    ),
    FieldOption(
        "--factory",
        "model.factory",
        "Function that returns the network or a black box: package.module:function.",
    ),
    FieldOption(
        "--folder",
        "model.folder",
        "Folder of robust train, transformers, timm or open_clip, or a MONAI bundle.",
    ),
    FieldOption(
        "--endpoint",
        "model.endpoint",
        "Address of a model that is asked over HTTP: http://HOST:PORT/v2/models/NAME/infer. All "
        "images are sent there.",
    ),
    FieldOption(
        "--head",
        "model.head",
        "How the outputs are read: auto, softmax, sigmoid, multilabel or probabilities.",
    ),
    FieldOption(
        "--finding",
        "model.finding",
        "Finding to audit (multilabel models): name or number of the output, several as in a,b, or "
        "all.",
        read=as_findings,
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
    FieldOption(
        "--output-key",
        "model.output_key",
        "Name, or number from 0, of the logits if the network returns several tensors.",
        read=as_name_or_number,
    ),
    FieldOption("--size", "model.size", "Input size of the network in pixels.", int),
    FieldOption(
        "--multiple-of",
        "model.multiple_of",
        "Pad what a segmenter is shown with zeros to a multiple of this many pixels.",
        int,
    ),
    FieldOption(
        "--sliding-window",
        "model.window",
        "Show images to a segmenter window by window, of so many pixels.",
        int,
    ),
    FieldOption(
        "--fit",
        "model.fit",
        "How images of another shape are fitted: squash, crop or pad.",
    ),
    FieldOption(
        "--crop-pct",
        "model.crop_pct",
        "Share of each side that the centre crop keeps: 0.875 or 224/256.",
    ),
    FieldOption("--channels", "model.channels", "Input channels of the network: 1 or 3.", int),
)
_TWIN = (
    FieldOption(
        "--twin",
        "twin.file",
        "File of the deployed version (exported, quantised), to compare with the model. "
        "--set twin.precision=float16 takes the same weights at half precision.",
    ),
)
_DATA = (
    FieldOption(
        "--data",
        "data.path",
        "Folder of images, table of labels, DICOMDIR, MedMNIST .npz, or phantom:NAME (synthetic).",
    ),
    FieldOption("--split", "data.split", "Split to audit.", default="test"),
    *CASE_OPTIONS,
    FieldOption(
        "--subgroups",
        "data.subgroups",
        "Columns for whose values the report gives separate numbers: sex,age.",
        read=as_names,
    ),
    FieldOption(
        "--limit",
        "data.limit",
        "Maximum number of cases, drawn at random, stratified by class and group.",
        int,
    ),
    FieldOption("--limit-seed", "data.limit_seed", "Seed of that draw.", int, default="0"),
    FieldOption(
        "--depth",
        "data.depth",
        "Bits of the values in image files, for example 12 where 16-bit files hold 12-bit values.",
        int,
    ),
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
    FieldOption("--norm", "audit.norm", "Norm of the attack size: Linf, L2, L2-slice, L1 or L0."),
    FieldOption("--goal", "audit.goal", "Goal of the attacks: error, miss or 'false alarm'."),
    FieldOption("--target", "audit.target", "Class that the attacks aim at."),
    FieldOption(
        "--threshold",
        "audit.threshold",
        "Operating threshold: the probability above which the second of two classes is predicted.",
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
_BEYOND = (
    FieldOption(
        "--certificate",
        "certificates",
        "Certificate, a proven lower bound, to set beside the attacks. May be repeated.",
        list[str],
        read=as_tables,
        default="none",
    ),
    FieldOption(
        "--corruptions",
        "corruptions",
        "Measure errors on corrupted images of a modality, such as 'chest X-ray'. auto: the one "
        "that the data are of.",
        read=as_corruptions,
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
    FieldOption(
        "--track",
        "track.uri",
        "MLflow server or database (sqlite:///mlflow.db) that the finished audit is logged to.",
    ),
)
PANELS = (
    (MODEL, (*_MODEL, *_TWIN)),
    (DATA, _DATA),
    (ATTACKS, _ATTACKS),
    (DETECTORS, _DETECTORS),
    (BEYOND_ATTACKS, _BEYOND),
    (OUTPUT, _REPORT),
)
"""Every option of `robust audit` that sets a field of the plan."""


@with_fields(Plan, PANELS)
def audit(
    plan: Annotated[
        Path | None,
        typer.Argument(
            help="Plan in TOML, as robust init writes it, or a folder with a plan.toml. Options "
            "override it.",
            show_default=False,
        ),
    ] = None,
    out: RunFolder = None,
    no_gallery: NoGallery = False,
    device: Device = "auto",
    skip_broken: SkipBroken = False,
    gate: Gate = False,
    allow_code: AllowCode = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Measure for a few seconds and say what the audit will cost in time and disk. "
            "Nothing is attacked or written.",
            rich_help_panel=RUNNING,
        ),
    ] = False,
    settings: PlanSettings = None,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="K/N",
            help="Attack part K of N alone, in RUN/shards/K. robust merge joins the parts.",
            rich_help_panel=MACHINES,
        ),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(
            help="ray: attack on workers of a Ray cluster. slurm: submit a job for each shard to "
            "the cluster, wait, and merge.",
            rich_help_panel=MACHINES,
        ),
    ] = None,
    workers: WorkerCount = None,
    address: ClusterAddress = None,
    shards: ShardCount = None,
    slurm: SlurmOptions = None,
    no_wait: NoWait = False,
    *,
    changes: Mapping[str, Any],
) -> None:
    """Attack a classifier and write a report.

    The run directory receives report.html, report.md, report.json, outcomes.csv and
    outcomes.parquet. The same command continues a run that was interrupted. Exit codes: 0 success,
    1 a gate did not pass (with --gate), 2 bad input, 70 a fault in robust.
    """
    part = None if shard is None else Shard.parse(shard)
    options = slurm_jobs(engine, shards, slurm, no_wait)
    team = worker_choice(engine, workers, address)
    if part is not None and (gate or options is not None or team is not None):
        raise InputError(
            "--shard attacks one part alone: give --gate to robust merge, and leave --engine and "
            "--workers out"
        )
    if dry_run and (gate or part is not None or engine is not None):
        raise InputError("--dry-run attacks nothing: leave --gate, --shard and --engine out")
    resolved = resolve_plan(
        plan,
        changes,
        settings,
        None if dry_run else out,
        no_gallery=no_gallery,
        allow_code=allow_code,
        gate=gate,
    )
    if dry_run:
        return _dry_run(resolved, device, skip_broken=skip_broken, workers=team)
    folder = out or _default_out(plan, resolved)
    if resolved.model is not None and asks_for_several(resolved.model):
        if part is not None or options is not None:
            raise InputError("shards take one finding at a time; name one with --finding")
        return audit_each(
            resolved, folder, device, skip_broken=skip_broken, gate=gate, workers=team
        )
    if part is not None:
        return _audit_shard(resolved, part, folder, device, skip_broken=skip_broken)
    if options is not None:
        return _audit_on_slurm(
            resolved, options, folder, device, skip_broken=skip_broken, gate=gate
        )
    run_audit(resolved, folder, device, skip_broken=skip_broken, gate=gate, workers=team)


def _dry_run(plan: Plan, device: str, *, skip_broken: bool, workers: WorkerChoice | None) -> None:
    """Print what a plan will cost."""
    with progress_bar() as progress:
        progress(0, 0, "measuring")
        from robust.auditing.dry_run import dry_run
        from robust.auditing.request import RunSettings

        found = dry_run(plan, RunSettings(None, device, skip_broken, workers=workers))
    from robust.auditing.cost_table import cost_table

    emit(lambda: {**asdict(found), **found.totals})
    console = make_console()
    console.print(cost_table(found))
    console.print("Nothing was attacked or written.")


def resolve_plan(
    path: Path | None,
    changes: Mapping[str, Any],
    settings: list[str] | None,
    out: Path | None,
    *,
    no_gallery: bool,
    allow_code: bool,
    gate: bool,
) -> Plan:
    """The plan in a file with the options laid over it; InputError, also where it lacks gates."""
    from robust.cli.plan_options.overrides import parse_settings, plan_from

    no_images = {"report.gallery": 0} if no_gallery else {}
    every = {**changes, **no_images, **parse_settings(settings or (), Plan)}
    resolved = plan_from(path, every, allow_code=allow_code, folders=[out])
    if gate:
        from robust.engine.gate_precheck import check_gates

        check_gates(resolved, required=True)
    return resolved


def slurm_jobs(
    engine: str | None, shards: int | None, slurm: list[str] | None, no_wait: bool
) -> SlurmJobs | None:
    """What the options of a cluster say together; None where no engine is named. InputError."""
    if engine in (None, "ray"):
        if shards is not None or slurm or no_wait:
            raise InputError("--shards, --slurm and --no-wait need --engine slurm")
        return None
    if engine != "slurm":
        raise InputError(
            f"unknown engine {engine!r}; {did_you_mean(str(engine), ['ray', 'slurm'])}"
        )
    if shards is None:
        raise InputError("--engine slurm needs the number of shards: --shards 16")
    given = {}
    for text in slurm or ():
        name, equals, value = text.partition("=")
        if not (name.strip() and equals and value.strip()):
            raise InputError(f"--slurm {text!r}: write NAME=VALUE, for example partition=gpu")
        given[name.strip()] = value.strip()
    return SlurmJobs(shards, given, wait=not no_wait)


def worker_choice(
    engine: str | None, workers: int | None, address: str | None
) -> WorkerChoice | None:
    """What the options of workers say together; None where this process attacks. InputError."""
    if engine == "slurm" and workers is not None:
        raise InputError("--engine slurm takes --shards in place of --workers")
    if engine == "ray":
        return WorkerChoice(workers, engine, address)
    if address is not None:
        raise InputError("--address needs --engine ray")
    return None if workers is None else WorkerChoice(workers)


def _audit_shard(plan: Plan, shard: Shard, out: Path, device: str, *, skip_broken: bool) -> None:
    """Attack one part of a plan."""
    with progress_bar() as progress:
        from robust.auditing import audit_shard
        from robust.auditing.request import RunSettings

        settings = RunSettings(out, device, skip_broken, progress, progress.announce)
        folder = audit_shard(plan, shard, settings)
    emit(lambda: {"run": str(out), "shard": shard.name, "folder": str(folder)})
    make_console(wrap=False).print(
        f"Finished {shard.name}: {folder}\nWhen all are: robust merge {out} PLAN"
    )


def _audit_on_slurm(
    plan: Plan, options: SlurmJobs, out: Path, device: str, *, skip_broken: bool, gate: bool
) -> None:
    """Submit the shards of a plan, and show the report once they are merged."""

    def run(progress: Shown) -> Report | None:
        from robust.auditing.request import RunSettings
        from robust.auditing.slurm import audit_on_slurm

        settings = RunSettings(out, device, skip_broken, progress, progress.announce)
        return audit_on_slurm(plan, options, settings)

    show_run(run, out, gate=gate)


def run_audit(
    plan: Plan,
    out: Path,
    device: str,
    *,
    skip_broken: bool,
    gate: bool,
    workers: WorkerChoice | None = None,
) -> None:
    """Run a plan, write and print its report, and apply its gates where `gate` says so."""

    def run(progress: Shown) -> Report:
        from robust.auditing import audit_plan

        return audit_plan(
            plan,
            out=out,
            device=device,
            skip_broken=skip_broken,
            progress=progress,
            announce=progress.announce,
            workers=workers,
        )

    show_run(run, out, gate=gate)


def show_run(run: Callable[[Shown], Report | None], out: Path, *, gate: bool) -> None:
    """Run under a progress bar, write and print the report, and apply gates where `gate` says so.

    Nothing more where there is no report yet.
    """
    with progress_bar() as progress:
        result = run(progress)
        if result is None:
            emit(lambda: {"run": str(out), "report": None})
            return
        from robust.cli.output import apply_gates, emit_report
        from robust.report import write_report
        from robust.report.formats.terminal import print_report

        progress.announce("Writing the report")
        progress(0, 0, "writing the report")
        written = write_report(result, out, "md", "csv", "html")
    emit_report(result, out, [*written, out / "report.json"])
    console = make_console()
    print_report(result, console)
    console.print(f"\nReport: {out / 'report.html'}", soft_wrap=True)
    if gate:
        apply_gates(result, out)


def _default_out(path: Path | None, plan: Plan) -> Path:
    """The same folder for the same plan, so that the same command resumes."""
    return Path("runs") / f"{path.stem if path else 'audit'}-{plan.short_name()}"
