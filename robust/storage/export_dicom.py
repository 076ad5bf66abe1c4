"""Adversarial images as DICOM files, each read and predicted again as stored."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from attacks import ThreatModel
from robust.cases.case import Cases
from robust.engine.cells import Cell
from robust.engine.provenance import Provenance
from robust.engine.run_directory import writing
from robust.engine.session import Session
from robust.errors import InputError
from robust.storage.new_files import NewFiles
from robust.tasks.contract import Batch
from robust.units import eps_text, format_threat

if TYPE_CHECKING:
    from robust.cases.dicom.frame import Frame
    from robust.cases.dicom.write import WrittenDicom

COLUMNS = ("dicom", "dicom_prediction", "dicom_success", "dicom_linf", "dicom_levels")
"""Columns added to `attacks.csv`: file name, prediction of the file, whether it reaches the goal,
L-inf distance, and the largest change of a stored value in grey levels. None for a case that did
not come from DICOM."""


@dataclass
class DicomFolder:
    """A new folder for adversarial DICOM files, and counts of what was written there."""

    folder: Path
    written: int = 0
    fooled: int = 0
    """Number of files that reach the goal when they are read again."""
    not_dicom: int = 0
    """Number of cases that did not come from DICOM."""
    recoloured: int = 0
    """Number of files whose colours were written as RGB instead of their own colour space."""
    eps: str = ""
    grey_levels: set[tuple[float, int]] = field(default_factory=set)
    """Pairs of eps in grey levels and the number of grey levels, one for each kind of file."""
    max_level_change: int = 0
    """Largest change of a stored value, in grey levels."""
    _frames: dict[str, Frame] = field(default_factory=dict)
    _salt: bytes = b""

    def __post_init__(self) -> None:
        self._files = NewFiles(self.folder)

    def open(self, cases: Cases) -> None:
        """Find the DICOM file of each case; InputError where no case is from DICOM."""
        from robust.cases.dicom.frame import Frame

        self._frames = {e.id: e.location for e in cases.entries if isinstance(e.location, Frame)}
        if not self._frames:
            raise InputError(
                f"{cases.source} holds no DICOM file to write back; remove --save-dicom"
            )
        first = next((f.path for f in self._frames.values() if f.path.is_file()), None)
        content = b"" if first is None else first.read_bytes()
        self._salt = hashlib.sha256(b"uids" + content).digest()
        with writing(self.folder):
            self._files.make_folder()

    def write(self, session: Session, cell: Cell, batch: Batch, x_adv: Tensor) -> list[list[Any]]:
        """Write the images `(n, c, h, w)` of a batch; for each case the values of `COLUMNS`."""
        self.eps = format_threat(cell.threat.norm, cell.eps)
        files = self._write_files(session.provenance, cell, batch, x_adv)
        rows: list[list[Any]] = [[None] * len(COLUMNS) for _ in batch.cases]
        if not files:
            return rows
        places = list(files)
        stored = [one.after.stored.image(one.after.pixels) for one in files.values()]
        with torch.no_grad():
            logits = session.runner.logits(torch.stack(stored).to(batch.x))
        part = batch.take(places)
        said = session.task.said(session.task.keep(logits, part.cases))
        reached = session.task.success(logits, part)
        self.fooled += int(reached.sum())
        for k, (i, one) in enumerate(files.items()):
            linf = float((stored[k].double() - batch.cases[i].image.double()).abs().max())
            rows[i] = [one.path.name, said[k], bool(reached[k]), linf, one.levels]
        return rows

    def _write_files(
        self, provenance: Provenance, cell: Cell, batch: Batch, x_adv: Tensor
    ) -> dict[int, WrittenDicom]:
        """Write the cases that came from DICOM; the files by place in the batch."""
        from robust.cases.dicom.write import Origin, write_dicom

        threat, weights = cell.threat, provenance.model["weights_sha256"]
        size = eps_text(cell.eps, threat.norm)
        description = f"Adversarial image: {cell.label}, {threat.norm}, eps {size}"
        description = f"{description[:900]}, target model {weights}".encode(
            "ascii", "replace"
        ).decode()
        data = provenance.plan.data
        may_be_name = data is None or data.keep_names
        found: dict[int, WrittenDicom] = {}
        for i, (case, image) in enumerate(zip(batch.cases, x_adv.detach().cpu(), strict=True)):
            frame = self._frames.get(case.id)
            if frame is None:
                self.not_dicom += 1
                continue
            origin = Origin(self._patient(case.group, may_be_name), description, self._salt)
            eps = _max_changes(threat, image, case.image)
            found[i] = write_dicom(frame, image, eps, self.folder, origin)
            self._files.add(found[i].path)
            self._count(found[i], threat)
        return found

    def remove(self) -> None:
        """Delete what was written before something went wrong."""
        self._files.remove()

    def summary_lines(self) -> Sequence[str]:
        """A summary of what was written, for the terminal."""
        lines = [
            f"{self.written} DICOM files in {self.folder}, of which {self.fooled} as stored "
            f"reach the goal"
        ]
        if self.grey_levels:
            least, most = min(self.grey_levels), max(self.grey_levels)
            span = f"{least[0]:.3g}" if least[0] == most[0] else f"{least[0]:.3g} to {most[0]:.3g}"
            depths = sorted({depth for _, depth in self.grey_levels})
            of = " or ".join(str(depth) for depth in depths)
            lines.append(
                f"eps {self.eps} = {span} of {of} grey levels; no stored value moved by more than "
                f"{self.max_level_change}"
            )
        if self.recoloured:
            lines.append(
                f"{self.recoloured} of them were written as RGB, which their files are not"
            )
        if self.not_dicom:
            lines.append(f"{self.not_dicom} images did not come from DICOM and are PNG alone")
        return lines

    def values(self) -> dict[str, Any]:
        """The same as plain values, for another program."""
        return {
            "folder": str(self.folder),
            "written": self.written,
            "fooled": self.fooled,
            "not_dicom": self.not_dicom,
            "recoloured": self.recoloured,
            "grey_levels": [
                {"eps": eps, "levels": levels} for eps, levels in sorted(self.grey_levels)
            ],
            "max_level_change": self.max_level_change,
        }

    def _patient(self, group: str, may_be_name: bool) -> str:
        """The group, which is a pseudonym; a hash of it where groups may be names."""
        return (
            hashlib.sha256(self._salt + group.encode()).hexdigest()[:12] if may_be_name else group
        )

    def _count(self, one: WrittenDicom, threat: ThreatModel) -> None:
        stored = one.before.stored
        self.written += 1
        self.recoloured += not stored.native
        self.max_level_change = max(self.max_level_change, one.levels)
        if threat.norm == "Linf" and stored.step > 0:
            # Rounded, so that files of one kind count as one: steps differ in their last digits.
            self.grey_levels.add((float(f"{threat.eps / stored.step:.3g}"), stored.levels + 1))


def _max_changes(threat: ThreatModel, image: Tensor, clean: Tensor) -> Any:
    """How far each pixel may move when it is rounded: eps in L-inf, else no further than it moved.

    In other norms the rounding of all pixels would otherwise add up.
    """
    if threat.norm == "Linf":
        return threat.eps
    return (image.double() - clean.double()).abs().numpy()
