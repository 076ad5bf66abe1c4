"""Adversarial images as PNG files: lossless, within eps, each predicted again as stored."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from robust.cases.case import Case, Stored
from robust.cases.images import as_png
from robust.engine.cells import make_attacks
from robust.engine.inputs import open_plan, tell_notes
from robust.engine.run_directory import open_run, writing
from robust.engine.run_store import Outcome
from robust.engine.runner import DEFAULT_OPTIONS, RunOptions
from robust.engine.session import RunInputs, Session, start_session
from robust.errors import InputError
from robust.metrics.by_group import ByGroup
from robust.models import full_precision
from robust.models.gradients.backward import backward_errors
from robust.plan.paths import require_new
from robust.plan.spec import Plan
from robust.printable import as_cell
from robust.records import Estimate
from robust.storage.export_dicom import COLUMNS as DICOM_COLUMNS
from robust.storage.export_dicom import DicomFolder
from robust.storage.new_files import NewFiles
from robust.tasks.contract import Batch
from robust.units import at_eps

TABLE = "attacks.csv"


class Columns(NamedTuple):
    """One line of attacks.csv."""

    case: str
    group: str
    label: str | None
    """None where the case has a mask."""
    file: str
    bits: int
    prediction: str
    """Prediction of the image as the attack left it, as are `success`, `linf` and `l2`: the class,
    or the Dice of the case."""
    success: bool
    linf: float
    l2: float
    stored_prediction: str
    """Prediction of the image as the file holds it, as are the other `stored_` columns."""
    stored_success: bool
    stored_linf: float
    stored_l2: float
    failure: str
    """Why the attack has no result; empty where it has one."""


@dataclass(frozen=True)
class Exported:
    """What was written."""

    attack: str
    """Label of the attack."""
    norm: str
    eps: float | None
    """None where the attack searches the nearest adversarial image."""
    cases: tuple[Mapping[str, Any], ...]
    """The lines of attacks.csv, by column: `Columns`, and where DICOM files were written theirs."""

    @property
    def images(self) -> int:
        """Number of PNG files."""
        return len(self.cases)

    @property
    def fooled(self) -> int:
        """Number of PNG files that reach the goal."""
        return sum(case["stored_success"] for case in self.cases)

    @property
    def success(self) -> Estimate | None:
        """The share of PNG files that reach the goal, by group; None where there is no file."""
        by_group = ByGroup([case["group"] for case in self.cases])
        return by_group.rate([case["stored_success"] for case in self.cases])


def export_images(
    plan: Plan,
    out: Path,
    *,
    bits: int | None = None,
    dicom: DicomFolder | None = None,
    options: RunOptions = DEFAULT_OPTIONS,
) -> Exported:
    """Attack every case with the plan's one attack at its one eps and write the images to `out`.

    PNG at each image's own depth, or at `bits` (16 keeps perturbations that 8 would round away).
    `attacks.csv` has the results of each image as the attack left it and as the file holds it.
    Cases from DICOM are also written to the `dicom` folder, which keeps its own counts. After an
    InputError no file is left.
    """
    for folder in (out, *([dicom.folder] if dicom else [])):
        require_new(folder)
    classifier, cases = open_plan(plan, options.device)
    tell_notes(classifier)
    inputs = RunInputs(classifier, cases, make_attacks(plan.attacks))
    png = _PngFolder(NewFiles(out), bits, cases.classes)
    scratch = open_run(None)
    try:
        with full_precision(), backward_errors():
            session = start_session(plan, inputs, scratch.store, options)
            if len(session.cells) != 1:
                raise InputError("robust attack runs one attack at one eps; name them")
            if dicom:
                dicom.open(cases)
            with writing(out):
                return _write(png, session, dicom)
    except InputError:
        png.files.remove()
        if dicom:
            dicom.remove()
        raise
    finally:
        scratch.close(keep=False)


def _write(png: _PngFolder, session: Session, dicom: DicomFolder | None) -> Exported:
    """Attack chunk by chunk, write each image, and each line of the table."""
    (cell,) = session.cells
    runner, task, seed = session.runner, session.task, session.provenance.plan.audit.seed
    columns = [*Columns._fields, *(DICOM_COLUMNS if dicom else ())]
    written: list[Mapping[str, Any]] = []
    with png.files.new(TABLE).open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(columns)
        for number, rows in enumerate(runner.chunks):
            label = at_eps(cell.label, cell.threat.norm, cell.eps)
            session.progress(number, len(runner.chunks), label)
            for batch in runner.load(rows):
                if batch.x.ndim > 4:
                    raise InputError(
                        "robust attack writes PNG files, and the cases are volumes; to audit them "
                        "slice by slice: volumes = 'slices' in [data]"
                    )
                x_adv, outcomes = runner.run(cell, batch, seed)
                stored = png.quantise(batch, x_adv)
                with torch.no_grad():
                    logits = runner.logits(stored)
                reached = task.success(logits, batch)
                said = task.said(np.stack([one.kept for one in outcomes]))
                again = task.said(task.keep(logits, batch.cases))
                lines = png.write(batch, stored, outcomes, list(zip(said, again)), reached)
                more = dicom.write(session, cell, batch, x_adv) if dicom else [[]] * len(lines)
                whole = [[*line, *beside] for line, beside in zip(lines, more, strict=True)]
                table.writerows(map(as_cell, line) for line in whole)
                written += [dict(zip(columns, line, strict=True)) for line in whole]
    return Exported(cell.label, cell.threat.norm, cell.eps, tuple(written))


@dataclass(frozen=True)
class _PngFolder:
    """Writes adversarial images as PNG."""

    files: NewFiles
    bits: int | None
    """Bit depth of every file; None: that of the file that each case came from."""
    classes: Sequence[str]

    def quantise(self, batch: Batch, x_adv: Tensor) -> Tensor:
        """The images `(n, c, h, w)` as the files will hold them."""
        pairs = zip(x_adv, batch.cases, strict=True)
        return torch.stack([_quantise(image, case, self.bits) for image, case in pairs]).to(batch.x)

    def write(
        self,
        batch: Batch,
        stored: Tensor,
        outcomes: Sequence[Outcome],
        said: Sequence[tuple[str, str]],
        reached: Tensor,
    ) -> list[Columns]:
        """Write quantised images `(n, c, h, w)`; `reached (n,)` is theirs.

        `said` are the answers to the attacked images, and to the quantised ones.
        """
        lines = []
        for i, (case, outcome) in enumerate(zip(batch.cases, outcomes, strict=True)):
            depth = Stored(self.bits or case.stored.depth)
            name = f"{case.id.replace('/', '_')}.png"
            self.files.new(name).write_bytes(as_png(depth.pixels(stored[i])))
            moved = stored[i] - batch.x[i]
            line = Columns(
                case=case.id,
                group=case.group,
                label=self.classes[case.label] if case.mask is None else None,
                file=name,
                bits=depth.bits,
                prediction=said[i][0],
                success=bool(outcome.success),
                linf=float(outcome.linf),
                l2=float(outcome.l2),
                stored_prediction=said[i][1],
                stored_success=bool(reached[i]),
                stored_linf=float(moved.abs().max()),
                stored_l2=float(moved.double().flatten().norm()),
                failure=outcome.failure or "",
            )
            lines.append(line)
        return lines


def _quantise(x_adv: Tensor, case: Case, bits: int | None) -> Tensor:
    """The nearest image that a PNG can hold, each pixel moved no further than before.

    Where rounding to the nearest level would leave the ball, it rounds towards the original
    instead. A perturbation below half a level disappears.
    """
    levels = Stored(bits or case.stored.depth).levels
    x = case.image.double()
    exact = x_adv.detach().cpu().double()
    nearest = (exact * levels).round() / levels
    further = (nearest - x).abs() > (exact - x).abs() + 1e-7
    toward = torch.where(exact > x, (exact * levels).floor(), (exact * levels).ceil()) / levels
    return torch.where(further, toward, nearest)
