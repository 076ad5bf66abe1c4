"""`Guard`: a classifier in use, with a fitted detector that screens every image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from detectors import Extractor, FeatureReader
from detectors.features import dropout_layers
from robust.engine.batch import places_by_shape
from robust.errors import InputError, first_line
from robust.guard.artifact import ClassifierFingerprint, GuardArtifact, probe_image
from robust.models import Classifier, choose_device, full_precision, prepare, weights_hash
from robust.models.acceleration.memory import memory_ran_out
from robust.models.class_order import match_classes
from robust.models.preparation import image_template

BATCH = 64
"""Images in one forward pass, however many are given at once."""


@dataclass(frozen=True)
class Screened:
    """Predictions and scores of n images, in their order, on the CPU."""

    prediction: Tensor
    """`(n,)` int64: an index into the guard's `classes`."""
    score: Tensor
    """`(n,)` float64, higher is more suspicious."""
    flagged: Tensor
    """`(n,)` bool: the score is above the threshold, or is NaN."""


class Guard:
    """Predicts and screens images in one pass: call it with images, get `Screened`.

    Images are displayed pixels in [0, 1], `(n, c, h, w)` or a list of `(c, h, w)` of any shapes,
    read in the same way as those of the fit. `detector` is a folder that `fit_detector` wrote, or
    what it returned; a folder whose detector is no part of robust is opened with `allow_code`
    alone. The classifier is copied, never changed. Raises InputError for a classifier that the
    detector was not fitted to: other weights, preprocessing, threshold, or code.
    """

    def __init__(
        self,
        classifier: Classifier,
        detector: str | Path | GuardArtifact,
        device: str = "auto",
        *,
        allow_code: bool = False,
    ) -> None:
        if not isinstance(detector, GuardArtifact):
            detector = GuardArtifact.load(detector, allow_code=allow_code)
        self.record = detector.record
        known = self.record.classifier
        where = choose_device(device)
        ready = prepare(classifier, where, head=str(known.description["head"]))
        match_classes(ready, known.classes)
        check_fingerprint(known, ready)
        self._template = image_template(ready)
        self._detector = detector.fitted.to(where)
        with full_precision():
            self._reader = self._make_reader(ready)
            self._check_code(known)

    @property
    def classes(self) -> tuple[str, ...]:
        """Their names, in the order of `Screened.prediction`."""
        return self.record.classifier.classes

    def __call__(self, images: Tensor | Sequence[Tensor]) -> Screened:
        """Screen images; InputError for pixels outside [0, 1] or a shape that does not fit."""
        count = len(images)
        prediction = torch.zeros(count, dtype=torch.int64)
        score = torch.zeros(count, dtype=torch.float64)
        with torch.no_grad(), full_precision():
            for rows, x in _batches(images):
                logits, found = self._score(x.to(self._template))
                prediction[rows] = logits.argmax(1).cpu()
                score[rows] = found.double().cpu()
        # Not `score > threshold`: an image with the score NaN is not clean.
        return Screened(prediction, score, ~(score <= self.record.threshold))

    def _make_reader(self, ready: Classifier) -> FeatureReader:
        record = self.record
        try:
            extract = Extractor(ready, record.layers)
            if self._detector.detector.needs_dropout:
                dropout_layers(ready)
        except ValueError as error:
            raise InputError(f"{_FOREIGN}: {error}") from None
        passes, seed = record.dropout_passes, record.seed
        return FeatureReader(extract, [self._detector], dropout_passes=passes, seed=seed)

    def _score(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits `(n, k)` and scores `(n,)`."""
        try:
            features = self._reader(x)
            return features.logits, self._detector.score(features)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            if memory_ran_out(error):
                raise InputError(f"memory ran out on {len(x)} images; give fewer at once") from None
            if isinstance(error, InputError):
                raise
            raise InputError(
                f"the detector {self.record.label} fails on images of shape {tuple(x.shape[1:])}: "
                f"{first_line(error)}"
            ) from None

    @torch.no_grad()
    def _check_code(self, known: ClassifierFingerprint) -> None:
        """InputError where the same weights give other logits than when the detector was fitted."""
        logits, _ = self._score(probe_image(known.image_shape).to(self._template))
        wanted = torch.tensor([known.probe_logits], dtype=torch.float64)
        if logits.shape != wanted.shape or not torch.allclose(
            logits.double().cpu(), wanted, rtol=1e-3, atol=1e-3
        ):
            raise InputError(
                f"{_FOREIGN}: the weights are the same, but the outputs differ; the code of the "
                f"network has changed"
            )


_FOREIGN = "this detector belongs to another classifier"
_UNSTATED = {"crop_pct": 1.0, "output_key": None, "half_pixel": "even", "class_order": None}
"""Of classifiers that were described before there was another value."""


def check_fingerprint(known: ClassifierFingerprint, ready: Classifier) -> None:
    """InputError where weights, preprocessing or head differ from those of the fit."""
    found = weights_hash(ready)
    if found != known.weights_sha256:
        raise InputError(
            f"{_FOREIGN}: the hash of its weights is {known.weights_sha256[:12]}, here it is "
            f"{found[:12]}; fit one to this classifier with robust fit-detector"
        )
    stated = {**_UNSTATED, **known.description}
    for name, value in ready.describe().items():
        if value != stated.get(name):
            raise InputError(
                f"{_FOREIGN}: its {name} is {stated.get(name)}, here it is {value}; "
                f"set it as it was, or fit a detector to this classifier"
            )


def _batches(images: Tensor | Sequence[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
    """Which rows, and their images `(n, c, h, w)`, one shape at a time."""
    if isinstance(images, Tensor) and images.ndim != 4:
        raise InputError(f"images must be (n, c, h, w), not {tuple(images.shape)}")
    for row, image in enumerate(images):
        _check_image(row, image)
    for rows in places_by_shape(images):
        for start in range(0, len(rows), BATCH):
            part = rows[start : start + BATCH]
            yield torch.tensor(part), torch.stack([images[row] for row in part])


def _check_image(row: int, image: Tensor) -> None:
    if not isinstance(image, Tensor) or image.ndim != 3 or len(image) not in (1, 3):
        shown = tuple(image.shape) if isinstance(image, Tensor) else type(image).__name__
        raise InputError(
            f"image {row} must be a tensor (c, h, w) with 1 or 3 channels, not {shown}"
        )
    if not image.is_floating_point():
        raise InputError(f"image {row} holds {image.dtype}; divide it by 255 to reach [0, 1]")
    # So written, NaN fails as well.
    if not (image.numel() and float(image.min()) >= 0 and float(image.max()) <= 1):
        raise InputError(f"image {row} has pixels outside [0, 1]; give it as displayed")
