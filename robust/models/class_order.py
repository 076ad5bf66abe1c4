"""Order of a model's classes against that of the data: matched by name, where both have names."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence

from robust.errors import InputError, excerpt
from robust.models.classifier import Classifier
from robust.plan.findings import plain_name

EXCLUSIVE = ("auto", "softmax", "probabilities")
"""Heads with an output for each class."""


def matched(classifier: Classifier, classes: Sequence[str]) -> Classifier:
    """A classifier of the same network that `match_classes` was done to."""
    found = copy.copy(classifier)
    match_classes(found, classes)
    return found


def match_classes(classifier: Classifier, classes: Sequence[str]) -> None:
    """Let a classifier give the classes of the data in the data's own order.

    Its outputs are taken by name where the names are the same; case, spaces and underscores do
    not count. Where all names differ the order decides, and the origin's notes say so. InputError
    where some names are the same and stand elsewhere: any order would be a guess.
    """
    names = classifier.output_names
    several = classifier.finding is not None or classifier.head not in EXCLUSIVE
    if names is None or several or len(names) != len(classes):
        return
    ours, theirs = [plain_name(name) for name in names], [plain_name(name) for name in classes]
    if ours == theirs:
        return
    listed = f"{_listed(names)}; the classes of the data: {_listed(classes)}"
    if sorted(ours) == sorted(theirs) and len(set(ours)) == len(ours):
        classifier.class_order = tuple(ours.index(name) for name in theirs)
        note = f"the model's outputs are taken by name, not in their order: {listed}"
    elif any(name in ours and ours.index(name) != i for i, name in enumerate(theirs)):
        raise InputError(
            f"some names of the model's outputs are classes of the data at another place. The "
            f"outputs: {listed}. Name the outputs in [model] as the data names its classes: "
            f"outputs = [...]"
        )
    else:
        note = f"the model's outputs are named otherwise and are taken in order: {listed}"
    origin = classifier.origin
    if note not in origin.notes:  # of a classifier that was matched before
        classifier.origin = dataclasses.replace(origin, notes=(*origin.notes, note))


def _listed(names: Sequence[str]) -> str:
    return ", ".join(excerpt(name) for name in names)
