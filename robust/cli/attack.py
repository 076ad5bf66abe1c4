"""`robust attack`: write adversarial images as files."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from robust.cli.output import make_console
from robust.cli.plan_options.options import (
    ATTACKS,
    DATA,
    OUTPUT,
    AllowCode,
    Device,
    PlanSettings,
    SkipBroken,
)
from robust.cli.process.manners import emit
from robust.errors import InputError
from robust.plan.spec import Plan
from robust.progress import progress_bar

EXAMPLE = (
    "Example (after robust demo): robust attack demo-report/plan.toml --attack PGD "
    "--eps 2/255 --bits 16 --out adversarial"
)


def attack(
    plan: Annotated[Path, typer.Argument(help="Plan in TOML. Its model and data are used.")],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help="New folder for the images.", rich_help_panel=OUTPUT),
    ],
    attack: Annotated[
        str, typer.Option(help="Name of the attack.", rich_help_panel=ATTACKS)
    ] = "PGD",
    eps: Annotated[
        str | None,
        typer.Option(
            help="Attack size (eps), for example 2/255.",
            rich_help_panel=ATTACKS,
            show_default="the plan's",
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="Maximum number of cases.", rich_help_panel=DATA)
    ] = None,
    bits: Annotated[
        int | None,
        typer.Option(
            help="Bits per channel of the PNG files: 8 or 16.",
            rich_help_panel=OUTPUT,
            show_default="as in the input file",
        ),
    ] = None,
    save_dicom: Annotated[
        Path | None,
        typer.Option(
            help="New folder for DICOM files, where the cases are DICOM.", rich_help_panel=OUTPUT
        ),
    ] = None,
    device: Device = "auto",
    skip_broken: SkipBroken = False,
    allow_code: AllowCode = False,
    settings: PlanSettings = None,
) -> None:
    """Write adversarial images as files.

    The folder receives lossless PNG files and attacks.csv with the result for each image. With
    --save-dicom a second folder receives DICOM files, which contain no patient data.
    """
    from robust.cli.plan_options.overrides import parse_settings, plan_from
    from robust.plan.paths import require_new

    for folder in (out, *([save_dicom] if save_dicom else [])):
        require_new(folder)
    if bits not in (None, 8, 16):
        raise InputError(f"bits must be 8 or 16, not {bits}")
    changes: dict[str, Any] = {"attacks": [{"name": attack}]}
    if eps is not None:
        changes["audit.eps"] = [part.strip() for part in eps.split(",")]
    if limit is not None:
        changes["data.limit"] = limit
    every = {**changes, **parse_settings(settings or (), Plan)}
    resolved = plan_from(plan, every, allow_code=allow_code)
    with progress_bar() as progress:
        from robust.engine.runner import RunOptions
        from robust.storage.export_dicom import DicomFolder
        from robust.storage.export_png import TABLE, export_images

        dicom = DicomFolder(save_dicom) if save_dicom else None
        options = RunOptions(device, skip_broken, progress)
        exported = export_images(resolved, out, bits=bits, dicom=dicom, options=options)
    success = exported.success
    emit(
        lambda: {
            "folder": str(out),
            "table": str(out / TABLE),
            "attack": exported.attack,
            "norm": exported.norm,
            "eps": exported.eps,
            "images": exported.images,
            "fooled": exported.fooled,
            "success": None if success is None else asdict(success),
            "dicom": dicom.values() if dicom else None,
            "cases": list(exported.cases),
        }
    )
    first = (
        f"{exported.images} images in {out}; {exported.fooled} of them still fool the model after "
        f"saving"
    )
    for line in (first, *(dicom.summary_lines() if dicom else ())):
        make_console().print(line)
