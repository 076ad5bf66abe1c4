"""Tries a network on a few images: what its files do not say of its input and its outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from robust.cases import Cases
from robust.cases.consistency import check_outputs
from robust.errors import InputError
from robust.models import Classifier, full_precision, load_classifier
from robust.models.adapter import settle_head
from robust.models.class_order import match_classes
from robust.models.formats.contract import MissingField

IMAGES = 48
"""Images that are shown to the network, at most."""
SIZES = (224, 299, 256, 384, 512)
"""Sides that are tried where the network does not take the images as they are."""
SMALL = (128, 64, 32, 28)
"""Sides that are tried last."""
NORMALISATIONS: Mapping[str, tuple[Any, Any]] = {
    "none": (0.0, 1.0),
    "that of ImageNet": ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    "to -1 to 1": (0.5, 0.5),
    "grey levels of 255": (0.0, 1 / 255),
    "torchxrayvision's": (0.5, 1 / 2048),
}
"""Mean and standard deviation in use, by name; the first is the default."""
FEWEST = 16
"""Images from which another normalisation is told from chance."""
CLEARLY = 0.15
"""How much higher the mean recall of the classes must be with another normalisation."""


@dataclass(frozen=True)
class Trial:
    """What a network took and gave."""

    outputs: int
    channels: int | None
    """None: as the images have them."""
    size: tuple[int, int] | None
    """None: as the images have it."""


@dataclass(frozen=True)
class Loaded:
    """A network that was loaded to be looked at, and what that shows."""

    classifier: Classifier
    outputs: int | None
    """None: not known before the images are."""
    multilabel: bool
    """Whether its format says that each output is a finding of its own."""


def load(fields: Mapping[str, Any]) -> Loaded:
    """The network that `[model]` names; MissingField for prompts, InputError."""
    try:
        classifier, multilabel = load_classifier(**fields), False
    except MissingField as error:
        if error.field != "finding":
            raise
        classifier, multilabel = load_classifier(**{**fields, "finding": 0}), True
    names = classifier.output_names
    outputs = _count_outputs(classifier) if names is None else len(names)
    return Loaded(classifier, outputs, multilabel)


def _count_outputs(classifier: Classifier) -> int | None:
    """How many outputs it has on noise; None where it takes none, or where each image is asked."""
    if classifier.origin.is_black_box:
        return None
    sides = SIZES if classifier.size is None else (max(classifier.size),)
    for side in (*sides, *SMALL):
        for channels in (3, 1):
            image = torch.rand(1, channels, side, side, generator=torch.Generator().manual_seed(0))
            try:
                return _count(classifier, image)
            except InputError:
                continue
    return None


@torch.no_grad()
def _count(classifier: Classifier, image: Tensor) -> int:
    return classifier.outputs(image).shape[1]


def try_network(classifier: Classifier, cases: Cases) -> Trial:
    """Show a network an image, with the channels and the size that it takes.

    InputError where it takes none.
    """
    image = _images(cases, 1)[0][None]
    first: InputError | None = None
    for size in (None,) if classifier.size is not None else (None, *SIZES, *SMALL):
        for channels in (None,) if classifier.channels is not None else (None, 3, 1):
            try:
                outputs = _count(varied(classifier, channels=channels, size=size), image)
            except InputError as error:
                first = first or error
                continue
            pair = None if size is None else (size, size)
            return Trial(outputs, channels, pair)
    assert first is not None
    raise first


def varied(classifier: Classifier, **changes: Any) -> Classifier:
    """The same network with some of its preprocessing changed, where a change is not None."""
    known = {**classifier.preprocessing(), **{k: v for k, v in changes.items() if v is not None}}
    size = known["size"]
    known["size"] = tuple(size) if isinstance(size, list) else size
    return Classifier(
        classifier.network,
        head=classifier.head,
        output_key=classifier.output_key,
        half_pixel=classifier.half_pixel,
        output_names=classifier.output_names,
        origin=classifier.origin,
        **known,
    )


@dataclass(frozen=True)
class Reading:
    """How a network reads a few images under one normalisation."""

    loss: float
    """Mean cross-entropy."""
    correct: int
    images: int
    recall: float
    """Mean over the classes that occur."""


def find_normalisation(classifier: Classifier, cases: Cases) -> tuple[str, Reading, Reading] | None:
    """The normalisation with which a network reads images clearly better than with none.

    Its name, and the readings with it and with none. None where none is as good, or where too few
    images of too few classes tell nothing.
    """
    rows = range(len(cases))[:: max(1, len(cases) // IMAGES)][:IMAGES]
    if len(rows) < FEWEST or len({cases.entries[row].label for row in rows}) < 2:
        return None
    found: dict[str, Reading] = {}
    with full_precision():
        for name, (mean, std) in NORMALISATIONS.items():
            try:
                found[name] = _read(varied(classifier, mean=mean, std=std), cases, rows)
            except InputError:
                continue
    plain = found.get("none")
    if plain is None:
        return None
    best = min(found, key=lambda name: found[name].loss)
    if found[best].recall < plain.recall + CLEARLY:
        return None
    return best, found[best], plain


@torch.no_grad()
def _read(classifier: Classifier, cases: Cases, rows: Sequence[int]) -> Reading:
    """InputError where an image cannot be read, or the network has other classes."""
    images = [(cases[row].image[None], cases.entries[row].label) for row in rows]
    match_classes(classifier, cases.classes)
    if classifier.head == "auto":
        settle_head(classifier, _same_shape([image for image, _ in images]))
    logits = torch.cat([classifier(image).double() for image, _ in images])
    check_outputs(logits, cases.classes)
    labels = torch.tensor([label for _, label in images])
    right = logits.argmax(1) == labels
    recalls = [right[labels == one].double().mean() for one in sorted({y for _, y in images})]
    return Reading(
        loss=float(F.cross_entropy(logits, labels)),
        correct=int(right.sum()),
        images=len(images),
        recall=float(torch.stack(recalls).mean()),
    )


def _same_shape(images: Sequence[Tensor]) -> Tensor:
    return torch.cat([image for image in images if image.shape == images[0].shape])


def _images(cases: Cases, most: int) -> list[Tensor]:
    """The first images that can be read; InputError where none can."""
    error: InputError | None = None
    found: list[Tensor] = []
    for row in range(len(cases)):
        try:
            found.append(cases[row].image)
        except InputError as wrong:
            error = wrong
        if len(found) == most:
            break
    if not found:
        raise error or InputError("there is no image to show the network")
    return found
