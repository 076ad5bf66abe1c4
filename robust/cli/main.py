"""The command line: parse, call, print. What is heavy is imported inside the command that runs."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from robust.cli import bench as cli_bench
from robust.cli import compare as cli_gate
from robust.cli import guard as cli_guard
from robust.cli import train as cli_train
from robust.errors import InputError, did_you_mean
from robust.progress import progress_bar

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
BAD_INPUT, BUG, INTERRUPTED = 2, 70, 130

Out = Annotated[Path | None, typer.Option("--out", "-o", help="Run directory; resumes from it.")]
Device = Annotated[str, typer.Option(help="cpu, cuda, or auto.")]
NoGallery = Annotated[bool, typer.Option("--no-gallery", help="No pictures of cases.")]
SkipBroken = Annotated[bool, typer.Option("--skip-broken", help="Go on without broken images.")]


def _version(wanted: bool) -> None:
    if wanted:
        import importlib.metadata

        print(f"robust {importlib.metadata.version('robust-audit')}")
        raise typer.Exit


@app.callback()
def _robust(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Audit a trained medical image classifier: attack it, and doubt the numbers."""


def main() -> None:
    """The entry point: bad input is one line and exit code 2, never a traceback."""
    try:
        with warnings.catch_warnings():
            if not sys.warnoptions:  # what libraries murmur would stand beside the one line
                warnings.simplefilter("ignore")
            app()
    except InputError as error:
        _complain(" ".join(str(error).split()), BAD_INPUT)
    except (KeyboardInterrupt, SystemExit) as ended:
        # Typer makes an exit of an interrupt, without a word.
        if isinstance(ended, SystemExit) and ended.code != INTERRUPTED:
            raise
        _complain("interrupted; the same command goes on where this one stopped", INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:
        if os.environ.get("ROBUST_TRACEBACK"):
            raise
        line = " ".join(f"{type(error).__name__}: {error}".split())
        _complain(f"this is a fault in robust: {line}; ROBUST_TRACEBACK=1 shows where", BUG)


def _complain(message: str, code: int) -> None:
    Console(stderr=True, soft_wrap=True, highlight=False).print(f"robust: {message}", markup=False)
    sys.exit(code)


@app.command(epilog="Example: robust demo --modality fundus --out demo-fundus")
def demo(
    modality: Annotated[str, typer.Option(help="chest_xray, fundus or dermoscopy.")] = "chest_xray",
    count: Annotated[int, typer.Option(help="Images to audit.", min=2)] = 200,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write.")] = Path(
        "demo-report"
    ),
    no_gallery: NoGallery = False,
    device: Device = "auto",
) -> None:
    """Audit a small network on phantom images.

    Trains the network on the spot and leaves a report; needs no download.
    """
    from robust.cases.phantoms.draw import MODALITIES
    from robust.cli.overrides import plan_from
    from robust.demo import write_demo

    if modality not in MODALITIES:
        raise InputError(f"no phantom {modality!r}; {did_you_mean(modality, MODALITIES)}")
    if out.is_file():
        raise InputError(f"{out} is a file; name a folder")
    console = Console()
    console.print(f"Training a small network on phantom images ({modality}) ...")
    plan = plan_from(write_demo(out, modality, count), gallery=0 if no_gallery else None)
    _audit(plan, out / "run", device, skip_broken=False)


@app.command(
    epilog="Example (after robust demo): robust audit demo-report/plan.toml --attack PGD "
    "--eps 1/255 --out runs/pgd"
)
def audit(
    plan: Annotated[
        Path | None,
        typer.Argument(help="A TOML plan, or a folder with a plan.toml; flags override it."),
    ] = None,
    architecture: Annotated[str | None, typer.Option(help="timm or torchvision name.")] = None,
    weights: Annotated[str | None, typer.Option(help=".pth or .safetensors file.")] = None,
    pretrained: Annotated[
        bool, typer.Option("--pretrained", help="The library's weights.")
    ] = False,
    file: Annotated[str | None, typer.Option(help="TorchScript or .pt2 file.")] = None,
    factory: Annotated[str | None, typer.Option(help="package.module:function.")] = None,
    folder: Annotated[str | None, typer.Option(help="What robust train left.")] = None,
    head: Annotated[
        str | None, typer.Option(help="softmax, sigmoid, multilabel, probabilities.")
    ] = None,
    finding: Annotated[str | None, typer.Option(help="Output a multilabel head is asked.")] = None,
    mean: Annotated[
        str | None, typer.Option(help="One number or three: 0.485,0.456,0.406.")
    ] = None,
    std: Annotated[str | None, typer.Option(help="One number or three.")] = None,
    size: Annotated[int | None, typer.Option(help="Input size of the network.")] = None,
    channels: Annotated[int | None, typer.Option(help="1 or 3.")] = None,
    data: Annotated[
        str | None, typer.Option(help="Folder, DICOMDIR, MedMNIST .npz, phantom:NAME.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="test unless said otherwise.")] = None,
    label: Annotated[str | None, typer.Option(help="Label column.")] = None,
    where: Annotated[str | None, typer.Option(help="Row filter: 'source == \"odir\"'.")] = None,
    classes: Annotated[str | None, typer.Option(help="Class names in order: a,b,c.")] = None,
    findings: Annotated[str | None, typer.Option(help="Classes that are findings: b,c.")] = None,
    group: Annotated[str | None, typer.Option(help="Patient column, or none.")] = None,
    group_pattern: Annotated[str | None, typer.Option(help="Patient in a file name.")] = None,
    subgroups: Annotated[str | None, typer.Option(help="Metadata columns: sex,age.")] = None,
    limit: Annotated[int | None, typer.Option(help="At most so many cases.")] = None,
    grey: Annotated[bool, typer.Option("--grey", help="Read colour files as grey.")] = False,
    window: Annotated[int | None, typer.Option(help="Window of DICOM files, from 1.")] = None,
    attack: Annotated[list[str] | None, typer.Option(help="Attack; may be repeated.")] = None,
    detector: Annotated[
        list[str] | None,
        typer.Option(help="Detector; may be repeated. all: every one but BayesianUncertainty."),
    ] = None,
    eps: Annotated[str | None, typer.Option(help="Radii: 1/255,2/255.")] = None,
    norm: Annotated[str | None, typer.Option(help="Linf or L2.")] = None,
    cells: Annotated[str | None, typer.Option(help="exact or curve.")] = None,
    goal: Annotated[str | None, typer.Option(help="error, miss or 'false alarm'.")] = None,
    target: Annotated[str | None, typer.Option(help="Class that attacks aim at.")] = None,
    threshold: Annotated[float | None, typer.Option(help="Operating threshold.")] = None,
    precision: Annotated[str | None, typer.Option(help="auto, float32 or bfloat16.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything random.")] = None,
    chunk: Annotated[int | None, typer.Option(help="Cases in a batch.")] = None,
    title: Annotated[str | None, typer.Option(help="Title of the report.")] = None,
    images: Annotated[
        str | None, typer.Option(help="What the images are, for the report: 'chest X-rays'.")
    ] = None,
    no_gallery: NoGallery = False,
    out: Out = None,
    device: Device = "auto",
    skip_broken: SkipBroken = False,
    gate: cli_gate.Gate = False,
) -> None:
    """Attack a classifier and write a report.

    Leaves report.html, report.md, report.json, outcomes.csv and outcomes.parquet in the run
    directory. The same command again goes on where it was cut short. Exit codes: 0; 1 where a gate
    did not pass (with --gate); 2 for bad input; 70 for a fault in robust.
    """
    gallery = 0 if no_gallery else None
    own = ("plan", "out", "device", "skip_broken", "no_gallery", "gate")
    flags = {k: v for k, v in locals().items() if k not in (*own, "own")}
    from robust.cli.overrides import plan_from

    made = plan_from(plan, **flags)
    if gate:
        from robust.engine.gate_check import check_gates

        check_gates(made, needed=True)
    _audit(made, out or _default_out(plan, made), device, skip_broken, gate)


@app.command(
    epilog="Example (after robust demo): robust attack demo-report/plan.toml --attack PGD "
    "--eps 2/255 --bits 16 --out adversarial"
)
def attack(
    plan: Annotated[Path, typer.Argument(help="A TOML plan: its model and data are used.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="New folder for the images.")],
    attack: Annotated[str, typer.Option(help="Name of the attack.")] = "PGD",
    eps: Annotated[str | None, typer.Option(help="Radius, such as 2/255.")] = None,
    limit: Annotated[int | None, typer.Option(help="At most so many cases.")] = None,
    bits: Annotated[int | None, typer.Option(help="8 or 16 a channel; as read otherwise.")] = None,
    save_dicom: Annotated[
        Path | None, typer.Option(help="New folder for DICOM files, where cases are DICOM.")
    ] = None,
    device: Device = "auto",
    skip_broken: SkipBroken = False,
) -> None:
    """Write adversarial images as files.

    PNG, which loses nothing, beside attacks.csv, which tells what each is worth; with --save-dicom
    DICOM files too, which name nobody.
    """
    from robust.cli.overrides import plan_from
    from robust.engine.session import RunOptions
    from robust.storage.export_dicom import DicomFolder
    from robust.storage.export_png import export_images

    if bits not in (None, 8, 16):
        raise InputError(f"bits must be 8 or 16, not {bits}")
    made = plan_from(plan, attack=[attack], eps=eps, limit=limit)
    dicom = DicomFolder(save_dicom) if save_dicom else None
    with progress_bar() as progress:
        options = RunOptions(device, skip_broken, progress)
        done = export_images(made, out, bits=bits, dicom=dicom, options=options)
    said = f"{done.images} images in {out}, of which {done.fooled} as stored reach the goal"
    for line in (said, *(dicom.said() if dicom else ())):
        Console().print(line, markup=False)


app.command("train", epilog=cli_train.EXAMPLE)(cli_train.train)
app.command("fit-detector", epilog=cli_guard.FIT_EXAMPLE)(cli_guard.fit_detector)
app.command("screen", epilog=cli_guard.SCREEN_EXAMPLE)(cli_guard.screen)
app.command("compare", epilog=cli_gate.COMPARE_EXAMPLE)(cli_gate.compare)
app.command("bench", epilog=cli_bench.EXAMPLE)(cli_bench.bench)


@app.command(
    epilog="Example (after robust demo): robust report demo-report/run --format html "
    "--template regulatory"
)
def report(
    run: Annotated[Path, typer.Argument(help="Run directory or report.json.")],
    format: Annotated[
        list[str] | None,
        typer.Option(help="html, md, json, latex, svg, png or text; may be repeated."),
    ] = None,
    template: Annotated[
        str, typer.Option(help="standard, or regulatory: the order of a technical file.")
    ] = "standard",
    no_gallery: NoGallery = False,
    gate: cli_gate.Gate = False,
) -> None:
    """Write or print the report of a run, finished or not."""
    from robust.report import FORMATS, is_unfinished, read_report, write_report
    from robust.report.formats.terminal import print_report

    for name in format or ():
        if name not in (*FORMATS, "text"):
            raise InputError(f"unknown format {name!r}; {did_you_mean(name, [*FORMATS, 'text'])}")
    if is_unfinished(run):
        from robust.auditing import unfinished_report

        found = unfinished_report(run)
    else:
        found = read_report(run)
    if gate:
        cli_gate.require(found, run)
    wanted = format or ["text", "html"]
    folder = run if run.is_dir() else run.parent
    files = [name for name in wanted if name != "text"]
    written = (
        write_report(found, folder, *files, template=template, gallery=not no_gallery)
        if files
        else []
    )
    if "text" in wanted:
        print_report(found, Console())
    for path in written:
        Console().print(f"wrote {path}", soft_wrap=True, markup=False)
    if gate:
        cli_gate.settle(found, folder)


@app.command("list", epilog="Example: robust list models --filter 'resnet*'")
def list_(
    what: Annotated[str, typer.Argument(help="attacks, detectors, models or data.")],
    filter: Annotated[str, typer.Option(help="Shell pattern, for models.")] = "*",
) -> None:
    """Show what there is to choose from."""
    from robust.cli import listing

    if what not in listing.LISTS:
        raise InputError(f"cannot list {what!r}; {did_you_mean(what, listing.LISTS)}")
    Console().print(listing.LISTS[what](filter))


def _default_out(path: Path | None, plan: Any) -> Path:
    """The same for the same plan, so that the same command resumes."""
    return Path("runs") / f"{path.stem if path else 'audit'}-{plan.digest()[:8]}"


def _audit(plan: Any, out: Path, device: str, skip_broken: bool, gate: bool = False) -> None:
    from robust.auditing import audit_plan
    from robust.report import write_report
    from robust.report.formats.terminal import print_report

    with progress_bar() as progress:
        found = audit_plan(plan, out=out, device=device, skip_broken=skip_broken, progress=progress)
    write_report(found, out, "md", "html")
    console = Console()
    print_report(found, console)
    console.print(f"\nReport: {out / 'report.html'}", soft_wrap=True, markup=False)
    if gate:
        cli_gate.settle(found, out)


if __name__ == "__main__":
    main()
