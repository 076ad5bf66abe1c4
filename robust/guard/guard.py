"""`Guard`: a classifier in use, with a fitted detector that looks at every image it is shown."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from detectors import Detector, Extractor, FeatureReader
from robust.errors import InputError, first_line
from robust.guard.artifact import Owner, StoredDetector, pattern
from robust.models import Classifier, choose_device, full_precision, prepare, weights_hash
from robust.models.prepare import like

BATCH = 64
"""Images in one forward pass, however many are given at once."""


@dataclass(frozen=True)
class Screened:
    """What a guard says of n images, in their order, on the CPU."""

    prediction: Tensor
    """`(n,)` int64: an index into the guard's `classes`."""
    score: Tensor
    """`(n,)` float64, higher is more suspicious."""
    flagged: Tensor
    """`(n,)` bool: the score is above the threshold, or is no number."""


class Guard:
    """Predicts and screens in one pass: call it with images, get `Screened`.

    Images are displayed pixels in [0, 1], `(n, c, h, w)` or a list of `(c, h, w)` of any shapes,
    read as those of the fit were. `detector` is a folder that `fit_detector` wrote, or what it
    returned. The classifier is copied, never changed. Raises InputError for a classifier that the
    detector was not fitted to: other weights, preprocessing, threshold, or code.
    """

    def __init__(
        self, classifier: Classifier, detector: str | Path | StoredDetector, device: str = "auto"
    ) -> None:
        if not isinstance(detector, StoredDetector):
            detector = StoredDetector.load(detector)
        self.record = detector.record
        owner = self.record.classifier
        where = choose_device(device)
        ready = prepare(classifier, where)
        if ready.head == "auto":  # recognised once, when the detector was fitted
            ready.head = str(owner.described["head"])
        check_owner(owner, ready)
        self._like = like(ready)
        self._detector = _moved(detector.detector, where)
        with full_precision():
            self._look = self._make_look(ready)
            self._check_code(owner)

    @property
    def classes(self) -> tuple[str, ...]:
        return self.record.classifier.classes

    def __call__(self, images: Tensor | Sequence[Tensor]) -> Screened:
        """Raises InputError for what is no image, or of a shape that the network cannot take."""
        count = len(images)
        prediction = torch.zeros(count, dtype=torch.int64)
        score = torch.zeros(count, dtype=torch.float64)
        with torch.no_grad(), full_precision():
            for rows, x in _batches(images):
                logits, found = self._judge(x.to(self._like))
                prediction[rows] = logits.argmax(1).cpu()
                score[rows] = found.double().cpu()
        # Not `score > threshold`: what has no score is not thereby clean.
        return Screened(prediction, score, ~(score <= self.record.threshold))

    def _make_look(self, ready: Classifier) -> FeatureReader:
        record = self.record
        try:
            extract = Extractor(ready, record.layers)
            look = FeatureReader(extract, [self._detector], passes=record.passes, seed=record.seed)
        except ValueError as error:
            raise InputError(f"{_FOREIGN}: {error}") from None
        if look.steps:
            look.nearest.learned = self._detector.learned
        return look

    def _judge(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits `(n, k)` and scores `(n,)` from one look."""
        try:
            features = self._look(x)
            return features.logits, self._detector.score(features)
        except InputError:
            raise
        except torch.OutOfMemoryError:
            raise InputError(f"memory ran out on {len(x)} images; give fewer at once") from None
        except (ValueError, RuntimeError, KeyError, IndexError) as error:
            raise InputError(
                f"the detector {self.record.label} fails on images of shape {tuple(x.shape[1:])}: "
                f"{first_line(error)}"
            ) from None

    @torch.no_grad()
    def _check_code(self, owner: Owner) -> None:
        """The weights are those that are known; here it is seen that the same is done with them."""
        logits, _ = self._judge(pattern(owner.image).to(self._like))
        wanted = torch.tensor([owner.probe], dtype=torch.float64)
        if logits.shape != wanted.shape or not torch.allclose(
            logits.double().cpu(), wanted, rtol=1e-3, atol=1e-3
        ):
            raise InputError(
                f"{_FOREIGN}: the weights are the same, but the network makes something else of "
                f"them; its code has changed"
            )


_FOREIGN = "this detector belongs to another classifier"


def check_owner(owner: Owner, ready: Classifier) -> None:
    """InputError where weights, preprocessing or head are not those that the detector knows."""
    found = weights_hash(ready)
    if found != owner.weights_sha256:
        raise InputError(
            f"{_FOREIGN}: the hash of its weights is {owner.weights_sha256[:12]}, here it is "
            f"{found[:12]}; fit one to this classifier with robust fit-detector"
        )
    for name, value in ready.describe().items():
        if value != owner.described.get(name):
            raise InputError(
                f"{_FOREIGN}: its {name} is {owner.described.get(name)}, here it is {value}; "
                f"set it as it was, or fit a detector to this classifier"
            )


def _moved(detector: Detector, device: torch.device) -> Detector:
    """A copy with its tensors where the images will be."""
    own = copy.copy(detector)
    own.learned = {k: v.to(device) for k, v in (detector.learned or {}).items()}
    if detector.head is not None:
        own.head = {k: v.to(device) for k, v in detector.head.items()}
    return own


def _batches(images: Tensor | Sequence[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
    """Which rows, and their images `(n, c, h, w)`, one shape at a time."""
    if isinstance(images, Tensor) and images.ndim != 4:
        raise InputError(f"images must be (n, c, h, w), not {tuple(images.shape)}")
    shapes: dict[tuple[int, ...], list[int]] = {}
    for row, image in enumerate(images):
        _check_image(row, image)
        shapes.setdefault(tuple(image.shape), []).append(row)
    for rows in shapes.values():
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
