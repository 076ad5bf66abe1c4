"""Reads and attacks the images that a detector is fitted on; copies are left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from detectors import Extractor, FeatureReader, Features, FittedDetector, Reference
from robust.cases.case import Case, Cases, pixel_hash
from robust.cases.consistency import check_outputs
from robust.detection.factory import fit_detectors, make_extractor
from robust.engine.batch import Batch, read_batches
from robust.engine.cells import Cell
from robust.engine.verified_attack import AttackTask, attack_batch
from robust.errors import InputError
from robust.guard.artifact import as_stored
from robust.guard.fit_inputs import FitInputs
from robust.metrics.arrays import Places
from robust.metrics.groups import group_codes
from robust.models import Classifier
from robust.models.preparation import image_template
from robust.progress import Progress


@dataclass(frozen=True)
class ReferenceFit:
    """A detector fitted on the reference, and the extractor that read it."""

    fitted: FittedDetector
    """The detector without a head; its tensors are on the CPU."""
    extract: Extractor
    image_shape: tuple[int, int, int]
    """(c, h, w) of the first image."""
    hashes: frozenset[str]
    """`pixel_hash` of every image."""


@dataclass(frozen=True)
class CalibrationFeatures:
    """Features of calibration images, clean and successfully attacked, all on the CPU."""

    clean: Features
    places: Places
    """`(n,)`: the case of each clean row."""
    correct: npt.NDArray[np.bool_]
    """`(n,)`: whether the classifier is correct on the clean image."""
    adversarial: Features | None
    """None where no attack succeeded."""
    attacked_places: Places
    """The case of each adversarial row."""
    attempts: int
    """Number of images that were attacked."""
    failure: str | None
    """Error of the first attack that failed; None where none failed."""
    copies: int
    """Images left out because they are copies of another one."""


def fit_reference(inputs: FitInputs, ready: Classifier, progress: Progress) -> ReferenceFit:
    """Fit the detector's statistics on the reference.

    Raises InputError for layers that do not exist, and where nothing can be learned.
    """
    plan, cases = inputs.plan, inputs.reference
    extract, shape = None, (0, 0, 0)
    hashes: set[str] = set()
    parts, order = [], []
    for rows, images, x in _batches(inputs, cases, ready, progress, "reference images"):
        if extract is None:
            extract = make_extractor(ready, [inputs.detector], x, plan.detection.layers)
            shape = x.shape[1], x.shape[2], x.shape[3]
        hashes.update(pixel_hash(case.image) for case in images)
        with torch.no_grad():
            parts.append(_on_cpu(extract(x)))
        order += rows
    assert extract is not None  # a set of cases is never empty
    features = Features.cat(parts)
    check_outputs(features.logits, cases.classes)
    entries = [cases.entries[row] for row in order]
    labels = torch.tensor([entry.label for entry in entries])
    groups = group_codes([entry.group for entry in entries])
    reference = Reference(features, labels, torch.from_numpy(groups))
    (fitted,) = fit_detectors({inputs.label: inputs.detector}, reference).values()
    fitted = replace(fitted, learned=as_stored(fitted.learned))
    return ReferenceFit(fitted, extract, shape, frozenset(hashes))


def read_calibration(
    inputs: FitInputs,
    ready: Classifier,
    reader: FeatureReader,
    known: frozenset[str],
    progress: Progress,
) -> CalibrationFeatures:
    """Read calibration images, attack those that are correct, read the successes.

    Copies of an image whose hash is in `known`, or of an earlier one, are left out.
    """
    cases, found = inputs.calibration, _CalibrationReader(inputs, ready, reader, set(known))
    for rows, images, x in _batches(inputs, cases, ready, progress, "calibration images"):
        found.read(rows, images, x)
    if not found.places:
        raise InputError(f"every image of {cases.split} is a copy of a reference image")
    clean = Features.cat(found.clean)
    check_outputs(clean.logits, cases.classes)
    return CalibrationFeatures(
        clean=clean,
        places=np.array(found.places),
        correct=np.array(found.correct),
        adversarial=Features.cat(found.adversarial) if found.adversarial else None,
        attacked_places=np.array(found.attacked_places, np.int64),
        attempts=found.attempts,
        failure=found.failure,
        copies=found.copies,
    )


@dataclass
class _CalibrationReader:
    """Collects the features of calibration images; results as in `CalibrationFeatures`."""

    inputs: FitInputs
    ready: Classifier
    reader: FeatureReader
    known: set[str]
    """Hashes of all images so far."""
    clean: list[Features] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    correct: list[bool] = field(default_factory=list)
    adversarial: list[Features] = field(default_factory=list)
    attacked_places: list[int] = field(default_factory=list)
    attempts: int = 0
    failure: str | None = None
    copies: int = 0

    def read(self, rows: Sequence[int], cases: Sequence[Case], x: Tensor) -> None:
        """Read images `(n, c, h, w)` that are no copies, and attack those that are correct."""
        new = [i for i, case in enumerate(cases) if self._is_new(case)]
        if not new:
            return
        batch = self._read_clean([rows[i] for i in new], [cases[i] for i in new], x[new])
        eligible = self.inputs.goal.eligible(batch.y) & (batch.logits.argmax(1) == batch.y)
        if self.inputs.cell is not None and eligible.any():
            self._attack(self.inputs.cell, batch.take(eligible.nonzero()[:, 0].tolist()))

    def _is_new(self, case: Case) -> bool:
        """Whether no earlier image is the same."""
        digest = pixel_hash(case.image)
        new = digest not in self.known
        self.known.add(digest)
        self.copies += not new
        return new

    def _read_clean(self, rows: Sequence[int], cases: Sequence[Case], x: Tensor) -> Batch:
        with torch.no_grad():
            features = self.reader(x)
        self.clean.append(_on_cpu(features))
        y = torch.tensor([case.label for case in cases], device=x.device)
        self.places += rows
        self.correct += (features.logits.argmax(1) == y).tolist()
        return Batch(tuple(rows), tuple(cases), x, y, features.logits)

    def _attack(self, cell: Cell, batch: Batch) -> None:
        goal, seed = self.inputs.goal, self.inputs.plan.audit.seed
        task = AttackTask(cell.attack, cell.attack.stream_key, cell.threat, goal, seed)
        x_adv, outcomes = attack_batch(self.ready, task, batch)
        self.attempts += len(outcomes)
        self.failure = self.failure or next((o.failure for o in outcomes if o.failure), None)
        if fooled := [i for i, outcome in enumerate(outcomes) if outcome.success]:
            with torch.no_grad():
                self.adversarial.append(_on_cpu(self.reader(x_adv[fooled])))
            self.attacked_places += [batch.rows[i] for i in fooled]


def _batches(
    inputs: FitInputs, cases: Cases, ready: Classifier, progress: Progress, label: str
) -> Iterator[tuple[list[int], list[Case], Tensor]]:
    size, like = inputs.plan.audit.chunk, image_template(ready)
    for start in range(0, len(cases), size):
        progress(start, len(cases), label)
        rows = range(start, min(start + size, len(cases)))
        yield from read_batches(cases, rows, like, size=size)


def _on_cpu(features: Features) -> Features:
    return Features(
        features.logits.detach().cpu(),
        {name: value.detach().cpu() for name, value in features.layers.items()},
        {name: value.detach().cpu() for name, value in features.extras.items()},
    )
