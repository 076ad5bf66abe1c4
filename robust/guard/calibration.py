"""The images that a detector is fitted on: read, looked at, attacked, and no copy counted twice."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from detectors import Detector, FeatureReader, Features, Reference
from robust.cases.case import Case, Cases
from robust.detection.factory import fit_statistics, make_feature_reader
from robust.engine.batch import Batch, read_batches
from robust.engine.cells import Cell
from robust.engine.goal import Goal
from robust.engine.runner import Progress
from robust.engine.verified_attack import AttackTask, attack_batch
from robust.errors import InputError
from robust.guard.artifact import settle
from robust.metrics.groups import Places
from robust.models import Classifier
from robust.models.classifier import settle_head
from robust.models.prepare import like
from robust.plan.spec import Plan


@dataclass(frozen=True)
class Seen:
    """Calibration images: clean ones, and successful attacks on them. All on the CPU."""

    clean: Features
    places: Places
    """`(n,)`: which case each clean row shows."""
    right: npt.NDArray[np.bool_]
    """`(n,)`: whether the classifier reads the clean image as its label says."""
    adversarial: Features | None
    """None where no attack succeeded."""
    attacked: Places
    """Which case each adversarial row shows."""
    tried: int
    """Images that were attacked."""
    failure: str | None
    """Why the first attack that came to no verdict did not."""


@dataclass
class Reader:
    """Reads images with a prepared classifier for one detector."""

    plan: Plan
    ready: Classifier
    progress: Progress
    shape: tuple[int, int, int] = (0, 0, 0)
    """(c, h, w) of the first image read."""
    copies: int = 0
    """Images left out since they show what another one shows."""
    _known: set[bytes] = field(default_factory=set)

    def learn(self, label: str, detector: Detector, reference: Cases) -> FeatureReader:
        """Let the detector learn from the reference, and give what reads images for it then.

        Raises InputError for layers that do not exist, and for what nothing can be learned from.
        """
        look: FeatureReader | None = None
        parts, order = [], []
        for rows, cases, x in self._batches(reference, "reference images"):
            if look is None:
                _, c, h, w = x.shape
                self.shape = c, h, w
                settle_head(self.ready, x)
                seed = self.plan.audit.seed
                look = make_feature_reader(
                    self.ready, {label: detector}, self.plan.detection, x, seed
                )
            self._known.update(map(_print, cases))
            with torch.no_grad():  # one pass: what takes more is never learned from
                parts.append(_on_cpu(look.extract(x)))
            order += rows
        assert look is not None  # a set of cases is never empty
        features = Features.cat(parts)
        check_logits(features.logits, reference)
        entries = [reference.entries[row] for row in order]
        codes = np.unique([entry.group for entry in entries], return_inverse=True)[1]
        labels = torch.tensor([entry.label for entry in entries])
        fit_statistics({label: detector}, Reference(features, labels, torch.from_numpy(codes)))
        detector.learned = settle(detector.known())
        if look.steps:
            look.nearest.learned = detector.learned
        return look

    def see(self, look: FeatureReader, cases: Cases, cell: Cell | None, goal: Goal) -> Seen:
        """Look at every calibration image, attack those that are right, look at the successes.

        Copies of a reference image or of an earlier one are left out.
        """
        clean: list[Features] = []
        adversarial: list[Features] = []
        places: list[int] = []
        attacked: list[int] = []
        right: list[bool] = []
        tried, failure = 0, None
        for every, read, images in self._batches(cases, "calibration images"):
            new = [i for i, case in enumerate(read) if self._is_new(case)]
            if not new:
                continue
            rows, found, x = [every[i] for i in new], [read[i] for i in new], images[new]
            with torch.no_grad():
                features = look(x)
            clean.append(_on_cpu(features))
            y = torch.tensor([case.label for case in found], device=x.device)
            good = features.logits.argmax(1) == y
            places += rows
            right += good.tolist()
            aims = (good & goal.eligible(y)).nonzero()[:, 0].tolist()
            if cell is None or not aims:
                continue
            batch = Batch(tuple(rows), tuple(found), x, y, features.logits).take(aims)
            x_adv, outcomes = attack_batch(
                self.ready,
                AttackTask(
                    cell.attack,
                    cell.attack.stream_key,
                    cell.threat,
                    goal,
                    self.plan.audit.seed,
                ),
                batch,
            )
            tried += len(outcomes)
            failure = failure or next((o.failure for o in outcomes if o.failure), None)
            if fooled := [i for i, outcome in enumerate(outcomes) if outcome.success]:
                with torch.no_grad():
                    adversarial.append(_on_cpu(look(x_adv[fooled])))
                attacked += [batch.rows[i] for i in fooled]
        if not places:
            raise InputError(f"every image of {cases.split} is a copy of a reference image")
        both = Features.cat(clean)
        check_logits(both.logits, cases)
        return Seen(
            clean=both,
            places=np.array(places),
            right=np.array(right),
            adversarial=Features.cat(adversarial) if adversarial else None,
            attacked=np.array(attacked, np.int64),
            tried=tried,
            failure=failure,
        )

    def _batches(self, cases: Cases, label: str) -> Iterator[tuple[list[int], list[Case], Tensor]]:
        size = self.plan.audit.chunk
        for start in range(0, len(cases), size):
            self.progress(start, len(cases), label)
            rows = range(start, min(start + size, len(cases)))
            yield from read_batches(cases, rows, like(self.ready), size=size)

    def _is_new(self, case: Case) -> bool:
        seen = _print(case)
        new = seen not in self._known
        self._known.add(seen)
        self.copies += not new
        return new


def check_logits(logits: Tensor, cases: Cases) -> None:
    """InputError where they are not numbers, or not one for each class."""
    if logits.shape[1] != len(cases.classes):
        raise InputError(
            f"the head gives {logits.shape[1]} classes, {cases.split} has {len(cases.classes)} "
            f"({', '.join(cases.classes)}); choose label, classes or head so that both agree"
        )
    bad = int((~torch.isfinite(logits).all(1)).sum())
    if bad:
        raise InputError(
            f"the classifier gives NaN or infinite logits on {bad} of {len(logits)} images of "
            f"{cases.split}; check its weights, mean and std"
        )


def _print(case: Case) -> bytes:
    """What tells one image from another."""
    return hashlib.sha256(case.image.numpy().tobytes()).digest()


def _on_cpu(features: Features) -> Features:
    return Features(
        features.logits.detach().cpu(),
        {name: value.detach().cpu() for name, value in features.layers.items()},
        {name: value.detach().cpu() for name, value in features.extras.items()},
    )
