"""Order of a model's classes against that of the data: matched by name, where both have names."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence
from typing import TypeVar

from robust.errors import InputError, excerpt
from robust.models.adapter import Adapter
from robust.models.classifier import Classifier
from robust.models.segmentation.segmenter import Segmenter
from robust.plan.findings import plain_name

Kind = TypeVar("Kind", bound=Adapter)

EXCLUSIVE = ("auto", "softmax", "probabilities")
"""Heads with an output for each class."""


def matched(model: Kind, classes: Sequence[str], outlines: str | None = None) -> Kind:
    """A model of the same network that `match_classes` was done to."""
    found = copy.copy(model)
    match_classes(found, classes, outlines)
    return found


def match_classes(model: Adapter, classes: Sequence[str], outlines: str | None = None) -> None:
    """Let a model give the classes of the data in the data's own order.

    `outlines` says of masks whether they are `exclusive` or `overlapping`; None: labels are
    classes. InputError where the model answers the other kind.

    Its outputs are taken by name where the names are the same; case, spaces and underscores do
    not count. Where all names differ the order decides, and the origin's notes say so. InputError
    where some names are the same and stand elsewhere: any order would be a guess.
    """
    _match_task(model, outlines)
    names = model.output_names
    one_of_many = isinstance(model, Classifier) and model.finding is not None
    one_of_two = isinstance(model, Classifier) and model.head not in EXCLUSIVE
    if names is None or one_of_many or one_of_two or len(names) != len(classes):
        return
    ours, theirs = [plain_name(name) for name in names], [plain_name(name) for name in classes]
    if ours == theirs:
        return
    listed = f"{_listed(names)}; the classes of the data: {_listed(classes)}"
    if sorted(ours) == sorted(theirs) and len(set(ours)) == len(ours):
        model.class_order = tuple(ours.index(name) for name in theirs)
        note = f"the model's outputs are taken by name, not in their order: {listed}"
    elif any(name in ours and ours.index(name) != i for i, name in enumerate(theirs)):
        raise InputError(
            f"some names of the model's outputs are classes of the data at another place. The "
            f"outputs: {listed}. Name the outputs in [model] as the data names its classes: "
            f"outputs = [...]"
        )
    else:
        note = f"the model's outputs are named otherwise and are taken in order: {listed}"
    origin = model.origin
    if note not in origin.notes:  # of a model that was matched before
        model.origin = dataclasses.replace(origin, notes=(*origin.notes, note))


def _match_task(model: Adapter, outlines: str | None) -> None:
    if not isinstance(model, Segmenter):
        if outlines is not None:
            raise InputError(
                "the data have masks, and the model answers a class for each image: set task = "
                "'segmentation' in [model] (in Python: load_segmenter), or name the label column"
            )
        return
    if outlines is None:
        raise InputError(
            "the model outlines structures, and the data have a class for each image; name the "
            "mask column: mask = ... in [data]"
        )
    if outlines == "overlapping":
        if model.head in ("softmax", "sigmoid"):
            raise InputError(
                f"the masks of the data may overlap, and head = {model.head!r} has one class for "
                f"each pixel; set head to multilabel, or overlap = false in [data]"
            )
        model.overlapping = True
    elif model.overlapping:
        raise InputError(
            "the model gives structures that may overlap, and the masks of the data do not; name "
            "a mask column for each structure in [data], or another head in [model]"
        )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(excerpt(name) for name in names)
