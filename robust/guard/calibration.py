"""Reads and attacks the images that a detector is fitted on; copies are left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from detectors import Extractor, FeatureReader, Features, FittedDetector, Reference
from robust.cases.case import Case, Cases
from robust.cases.consistency import check_outputs
from robust.cases.duplicates.fingerprints import Fingerprints, fingerprint_of
from robust.cases.duplicates.search import near_duplicates, partners
from robust.detection.factory import fit_detectors, make_extractor
from robust.engine.batch import read_batches
from robust.engine.cells import Cell
from robust.engine.verified_attack import AttackSetup, attack_batch
from robust.errors import InputError
from robust.guard.artifact import as_stored
from robust.guard.fit_inputs import FitInputs
from robust.metrics.arrays import Places
from robust.metrics.groups import group_codes
from robust.models import Classifier
from robust.models.preparation import image_template
from robust.progress import Progress
from robust.tasks.contract import Batch


@dataclass(frozen=True)
class ReferenceFit:
    """A detector fitted on the reference, and the extractor that read it."""

    fitted: FittedDetector
    """The detector without a head; its tensors are on the CPU."""
    extract: Extractor
    image_shape: tuple[int, int, int]
    """(c, h, w) of the first image."""
    fingerprints: tuple[bytes, ...]
    """`fingerprint_of` every image."""


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
    """Images left out because they are copies or near copies of another one."""


def fit_reference(inputs: FitInputs, ready: Classifier, progress: Progress) -> ReferenceFit:
    """Fit the detector's statistics on the reference.

    Raises InputError for layers that do not exist, and where nothing can be learned.
    """
    plan, cases = inputs.plan, inputs.reference
    extract, shape = None, (0, 0, 0)
    fingerprints: list[bytes] = []
    parts, order = [], []
    for rows, images, x in _batches(inputs, cases, ready, progress, "reference images"):
        if extract is None:
            extract = make_extractor(ready, [inputs.detector], x, plan.detection.layers)
            shape = x.shape[1], x.shape[2], x.shape[3]
        fingerprints += [fingerprint_of(case.image) for case in images]
        with torch.no_grad():
            parts.append(_on_cpu(extract(x)))
        order += rows
    assert extract is not None  # a set of cases is never empty
    features = Features.cat(parts)
    check_outputs(features.logits, cases.classes)
    entries = [cases.entries[row] for row in order]
    labels = torch.tensor([entry.label for entry in entries])
    groups = group_codes([entry.group for entry in entries])

    def again() -> Iterator[Tensor]:
        return (x for _, _, x in _batches(inputs, cases, ready, progress, "reference images"))

    reference = Reference(features, labels, torch.from_numpy(groups), again)
    (fitted,) = fit_detectors({inputs.label: inputs.detector}, reference).values()
    fitted = replace(fitted, learned=as_stored(fitted.learned))
    return ReferenceFit(fitted, extract, shape, tuple(fingerprints))


def read_calibration(
    inputs: FitInputs,
    ready: Classifier,
    reader: FeatureReader,
    known: Sequence[bytes],
    progress: Progress,
) -> CalibrationFeatures:
    """Read calibration images, attack those that are correct, read the successes.

    Copies and near copies of an image of the reference, whose fingerprints are `known`, or of an
    earlier one are left out.
    """
    cases = inputs.calibration
    copies = _copies(inputs, ready, known, progress)
    found = _CalibrationReader(inputs, ready, reader, copies)
    for rows, images, x in _batches(inputs, cases, ready, progress, "calibration images"):
        found.read(rows, images, x)
    if not found.places:
        raise InputError(
            f"every image of {cases.split} is a copy or near copy of a reference image; name "
            f"another split with --split"
        )
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
        copies=len(copies),
    )


def _copies(
    inputs: FitInputs, ready: Classifier, known: Sequence[bytes], progress: Progress
) -> frozenset[int]:
    """Rows of calibration images that show one of the reference or one of an earlier row."""
    order: list[int] = []
    own: list[bytes] = []
    label = "calibration images, for copies"
    for rows, cases, _ in _batches(inputs, inputs.calibration, ready, progress, label):
        order += rows
        own += [fingerprint_of(case.image) for case in cases]
    places = np.argsort(order)
    images = Fingerprints([own[place] for place in places])
    learned = partners(images, Fingerprints(known))
    later = set(near_duplicates(images)[:, 1].tolist())
    return frozenset(order[places[place]] for place in {*learned, *later})


@dataclass
class _CalibrationReader:
    """Collects the features of calibration images; results as in `CalibrationFeatures`."""

    inputs: FitInputs
    ready: Classifier
    reader: FeatureReader
    copies: frozenset[int]
    """Rows that are left out."""
    clean: list[Features] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    correct: list[bool] = field(default_factory=list)
    adversarial: list[Features] = field(default_factory=list)
    attacked_places: list[int] = field(default_factory=list)
    attempts: int = 0
    failure: str | None = None

    def read(self, rows: Sequence[int], cases: Sequence[Case], x: Tensor) -> None:
        """Read images `(n, c, h, w)` that are no copies, and attack those that are correct."""
        new = [i for i, row in enumerate(rows) if row not in self.copies]
        if not new:
            return
        batch = self._read_clean([rows[i] for i in new], [cases[i] for i in new], x[new])
        eligible = self.inputs.task.applies(batch.y) & (batch.kept.argmax(1) == batch.y)
        if self.inputs.cell is not None and eligible.any():
            self._attack(self.inputs.cell, batch.take(eligible.nonzero()[:, 0].tolist()))

    def _read_clean(self, rows: Sequence[int], cases: Sequence[Case], x: Tensor) -> Batch:
        with torch.no_grad():
            features = self.reader(x)
        self.clean.append(_on_cpu(features))
        y = torch.tensor([case.label for case in cases], device=x.device)
        self.places += rows
        self.correct += (features.logits.argmax(1) == y).tolist()
        return Batch(tuple(rows), tuple(cases), x, y, features.logits)

    def _attack(self, cell: Cell, batch: Batch) -> None:
        task, seed = self.inputs.task, self.inputs.plan.audit.seed
        setup = AttackSetup(cell.attack, cell.attack.stream_key, cell.threat, task, seed)
        x_adv, outcomes = attack_batch(self.ready, setup, batch)
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
