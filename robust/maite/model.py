"""A classifier as a MAITE model: a list of images to a list of logits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from robust.cases import Cases
from robust.engine.batch import first_images, places_by_shape
from robust.errors import InputError
from robust.models import Classifier, choose_device, full_precision, prepare
from robust.models.class_order import matched
from robust.models.preparation import image_template, require_classifier

if TYPE_CHECKING:
    from maite.protocols import ModelMetadata
    from maite.protocols import image_classification as ic

HEAD_IMAGES = 64
"""Images that a head `auto` is recognised on, at most."""


class MaiteModel:
    """A `maite.protocols.image_classification.Model` of a `robust.Classifier`.

    Images are `(c, h, w)` in [0, 1], as displayed: the classifier resizes and normalises. Of each
    it returns the logits `(k,)` at the operating threshold, so that their largest is the decision
    that an audit counts; their softmax are probabilities.
    """

    metadata: ModelMetadata

    def __init__(
        self,
        classifier: Classifier,
        cases: Cases | None = None,
        *,
        id: str = "classifier",
        device: str = "auto",
    ) -> None:
        """Copy and freeze the classifier; yours is never changed.

        `cases` name the classes and their order, and show which head the network has; without them
        the head must be known (`head=...`). `id` is what MAITE's records call the model.
        Raises InputError.
        """
        require_classifier(classifier)
        images = None
        if cases is not None:
            classifier = matched(classifier, cases.classes, cases.outlines)
            if classifier.head == "auto":
                images = first_images(cases, range(min(len(cases), HEAD_IMAGES)), HEAD_IMAGES)
        with full_precision():
            self.classifier = prepare(classifier, choose_device(device), images=images)
        if self.classifier.head == "auto":
            raise InputError(
                "the model's head is auto, and no images show what it is: give the cases, "
                "MaiteModel(classifier, cases), or head = 'softmax' or another"
            )
        self.classes: tuple[str, ...] = () if cases is None else cases.classes
        """Names of the classes, in the order of the logits; empty where they are not known."""
        self.metadata = {"id": id}
        if self.classes:
            self.metadata = {"id": id, "index2label": dict(enumerate(self.classes))}

    def __call__(self, batch: Sequence[npt.ArrayLike], /) -> list[npt.NDArray[np.float32]]:
        """The logits of each image; images may have different shapes."""
        images = self.images(batch)
        found: list[npt.NDArray[np.float32]] = [np.empty(0, np.float32)] * len(images)
        for places in places_by_shape(images):
            with full_precision(), torch.no_grad():
                logits = self.classifier(torch.stack([images[place] for place in places]))
            if self.classes and logits.shape[1] != len(self.classes):
                raise InputError(
                    f"the model has {logits.shape[1]} outputs, and the data have "
                    f"{len(self.classes)} classes"
                )
            for place, row in zip(places, logits.float().cpu().numpy(), strict=True):
                found[place] = row
        return found

    def images(self, batch: Sequence[npt.ArrayLike]) -> list[Tensor]:
        """Images of a batch as the classifier takes them; InputError for what is none."""
        template = image_template(self.classifier)
        return [as_image(one).to(template) for one in batch]


def as_image(given: npt.ArrayLike) -> Tensor:
    """`(c, h, w)`, float, in [0, 1]; InputError for anything else."""
    image = torch.as_tensor(np.asarray(given))
    if image.ndim != 3 or image.shape[0] not in (1, 3):
        raise InputError(
            f"an image is (channels, height, width) with 1 or 3 channels, not {tuple(image.shape)}"
        )
    if not image.is_floating_point():
        raise InputError(
            f"pixels are {str(image.dtype).removeprefix('torch.')}; give displayed pixels in "
            f"[0, 1], of 8 bits image / 255"
        )
    if not bool(((image >= 0) & (image <= 1)).all()):
        raise InputError(
            f"pixels reach from {float(image.min()):g} to {float(image.max()):g}; give displayed "
            f"pixels in [0, 1], not normalised ones"
        )
    return image


if TYPE_CHECKING:

    def _is_model(model: MaiteModel) -> ic.Model:
        return model
