"""Classifiers: the adapter from pixels to logits, loading from weights, preparation to run."""

from __future__ import annotations

from robust.models.architectures import list_models
from robust.models.blackbox.network import BlackBox
from robust.models.classifier import Classifier, recognise_head, settle_head
from robust.models.loading import load_classifier, random_classifier
from robust.models.preparation import choose_device, full_precision, prepare
from robust.models.weights import weights_hash

__all__ = [
    "BlackBox",
    "Classifier",
    "choose_device",
    "full_precision",
    "list_models",
    "load_classifier",
    "prepare",
    "random_classifier",
    "recognise_head",
    "settle_head",
    "weights_hash",
]
