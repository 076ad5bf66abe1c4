"""Adversarial images as files: lossless, within eps on the stored grid, and predicted again."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import torch
from torch import Tensor

from attacks import ThreatModel
from robust.cases.case import Case, Stored
from robust.cases.images import as_png
from robust.engine.cells import make_attacks
from robust.engine.inputs import open_plan
from robust.engine.run_directory import open_store, remove
from robust.engine.runner import Progress
from robust.engine.session import start_session
from robust.errors import InputError
from robust.models import full_precision
from robust.plan.spec import Plan
from robust.storage.export_dicom import COLUMNS as DICOM_COLUMNS
from robust.storage.export_dicom import DicomFolder

COLUMNS = (
    *("case", "group", "label", "file", "bits", "prediction", "success", "linf", "l2"),
    *("stored_prediction", "stored_success", "stored_linf", "stored_l2", "failure"),
)


def export_images(
    plan: Plan,
    out: Path,
    *,
    bits: int | None = None,
    dicom: DicomFolder | None = None,
    device: str = "auto",
    skip_broken: bool = False,
    progress: Progress = lambda done, total, label: None,
) -> tuple[int, int]:
    """Attack every case with the plan's one attack at its one eps and write the images to `out`.

    PNG at each image's own depth, or at `bits` (16 keeps perturbations that 8 would round away).
    `attacks.csv` tells what was found and what is left of it in the file, predicted anew. Cases
    from DICOM are written to the `dicom` folder too, which counts for itself. Returns the number of
    images and how many of the files fool the classifier. Raises InputError.
    """
    for folder in (out, *([dicom.folder] if dicom else [])):
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise InputError(f"{folder} exists and is not empty; name a new folder")
    classifier, cases = open_plan(plan, device)
    store, _, scratch = open_store(None)
    written = fooled = 0
    try:
        with full_precision():
            job = start_session(
                plan,
                make_attacks(plan.attacks),
                classifier,
                cases,
                store,
                device=device,
                skip_broken=skip_broken,
                progress=progress,
            )
            if len(job.cells) != 1:
                raise InputError("robust attack runs one attack at one eps; name them")
            (cell,) = job.cells
            if dicom:
                dicom.open(cases)
            out.mkdir(parents=True, exist_ok=True)
            with (out / "attacks.csv").open("w", newline="", encoding="utf-8") as file:
                table = csv.writer(file, lineterminator="\n")
                table.writerow([*COLUMNS, *(DICOM_COLUMNS if dicom else ())])
                for number, rows in enumerate(job.runner.chunks):
                    progress(number, len(job.runner.chunks), f"{cell.label} at {cell.threat.eps:g}")
                    for batch in job.runner.load(rows, job.goal):
                        x_adv, outcomes = job.runner.run(cell, batch, job.goal, plan.audit.seed)
                        kept = torch.stack(
                            [
                                _on_grid(image, case, cell.threat, bits)
                                for image, case in zip(x_adv, batch.cases, strict=True)
                            ]
                        ).to(batch.x)
                        with torch.no_grad():
                            said = job.runner.logits(kept).argmax(1)
                        reached = job.goal.reached(said, batch.y)
                        more = dicom.write(job, cell, batch, x_adv) if dicom else None
                        for i, (case, o) in enumerate(zip(batch.cases, outcomes, strict=True)):
                            stored = Stored(bits or case.stored.depth)
                            name = f"{case.id.replace('/', '_')}.png"
                            (out / name).write_bytes(as_png(stored.pixels(kept[i])))
                            moved = kept[i : i + 1] - batch.x[i : i + 1]
                            l2 = float(moved.double().flatten().norm())
                            table.writerow(
                                [
                                    *(case.id, case.group, cases.classes[case.label], name),
                                    stored.bits,
                                    cases.classes[int(o.logits.argmax())],
                                    *(int(o.success), f"{o.linf:.9g}", f"{o.l2:.9g}"),
                                    cases.classes[int(said[i])],
                                    int(reached[i]),
                                    *(f"{float(moved.abs().max()):.9g}", f"{l2:.9g}"),
                                    o.failure or "",
                                    *(more[i] if more else ()),
                                ]
                            )
                            written += 1
                            fooled += bool(reached[i])
    except InputError:
        shutil.rmtree(out, ignore_errors=True)
        if dicom:
            dicom.remove()
        raise
    finally:
        store.close()
        remove(scratch)
    return written, fooled


def _on_grid(x_adv: Tensor, case: Case, threat: ThreatModel, bits: int | None) -> Tensor:
    """The nearest image that the file can hold, each pixel moved no further than before.

    Rounding to the nearest level could leave the ball: where it would, it goes back towards the
    original. What is left of a perturbation below half a level is nothing.
    """
    levels = Stored(bits or case.stored.depth).levels
    x = case.image.double()
    wanted = x_adv.detach().cpu().double()
    nearest = (wanted * levels).round() / levels
    further = (nearest - x).abs() > (wanted - x).abs() + 1e-7
    toward = torch.where(wanted > x, (wanted * levels).floor(), (wanted * levels).ceil()) / levels
    return torch.where(further, toward, nearest)
