"""`robust demo`: train a small network on synthetic images and audit it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from robust.cli.output import make_console
from robust.cli.plan_options.options import DATA, OUTPUT, Device, NoGallery
from robust.progress import progress_bar

EXAMPLE = "Example: robust demo --modality fundus --out demo-fundus"


def demo(
    modality: Annotated[
        str,
        typer.Option(help="Kind of image: chest_xray, fundus or dermoscopy.", rich_help_panel=DATA),
    ] = "chest_xray",
    count: Annotated[
        int, typer.Option(help="Number of images to audit.", min=2, rich_help_panel=DATA)
    ] = 200,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder to write to.", rich_help_panel=OUTPUT)
    ] = Path("demo-report"),
    no_gallery: NoGallery = False,
    device: Device = "auto",
) -> None:
    """Audit a small network on synthetic images.

    The command trains the network, audits it and writes a report. It downloads nothing.
    """
    from robust.cli.audit import run_audit
    from robust.cli.plan_options.overrides import plan_from
    from robust.plan.paths import require_modality, require_plan_folder, require_writable

    require_modality(modality)
    require_plan_folder(out)
    require_writable(out)
    console = make_console()
    console.print(f"Training a small network on synthetic images ({modality}) ...")
    with progress_bar() as progress:
        from robust.demo import FEWEST_FOR_DETECTORS, write_demo

        path = write_demo(out, modality, count, progress)
    if count < FEWEST_FOR_DETECTORS:
        console.print(f"Detectors are left out: they need {FEWEST_FOR_DETECTORS} images or more.")
    console.print("Auditing it ...")
    plan = plan_from(path, {"report.gallery": 0} if no_gallery else {})
    run_audit(plan, out / "run", device, skip_broken=False, gate=False)
