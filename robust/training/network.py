"""The network of a recipe: backbone, new head and preprocessing."""

from __future__ import annotations

import logging
from typing import Any

from robust.models import Classifier
from robust.models.heads import Head, make_network
from robust.models.trained import ModelFile, describe, make_classifier
from robust.models.weights import load_strictly, read_weights
from robust.training.recipe import Recipe

_log = logging.getLogger(__name__)


def head_of(recipe: Recipe, classes: int) -> Head:
    """The head that a recipe asks for."""
    spec = recipe.network
    return Head(classes, spec.head, spec.hidden, spec.dropout)


def make_untrained(recipe: Recipe, classes: int) -> Classifier:
    """The classifier before training; the same recipe makes the same one. Raises InputError."""
    spec = recipe.network
    weights = None if spec.weights is None else read_weights(spec.weights)
    for note in weights.notes if weights is not None else ():
        _log.warning("robust: %s", note)
    network, known = make_network(
        spec.architecture,
        head_of(recipe, classes),
        state=None if weights is None else weights.state,
        source=spec.weights,
        pretrained=spec.pretrained and spec.weights is None,
        seed=recipe.training.seed,
    )
    size = (spec.size, spec.size) if isinstance(spec.size, int) else spec.size
    return Classifier(
        network,
        mean=known.mean if spec.mean is None else spec.mean,
        std=known.std if spec.std is None else spec.std,
        channels=spec.channels,
        size=known.size if size is None else size,
        interpolation=spec.interpolation or known.interpolation,
        fit=spec.fit,
        head="softmax",
    )


def rebuild(
    recipe: Recipe, classifier: Classifier, classes: tuple[str, ...], findings: tuple[str, ...]
) -> tuple[dict[str, Any], Classifier]:
    """The content of model.json for a classifier, and the classifier rebuilt from it.

    The rebuilt one is measured and stored, so that a reader of the folder gets the same.
    """
    content = {
        **describe(recipe.network.architecture, head_of(recipe, len(classes)), classifier),
        "classes": list(classes),
        "findings": list(findings),
    }
    rebuilt = make_classifier(ModelFile.model_validate(content))
    load_strictly(rebuilt.network, classifier.network.state_dict(), "the trained network")
    return content, rebuilt
