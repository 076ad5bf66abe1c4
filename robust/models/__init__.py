"""Classifiers and segmenters: from pixels to logits; loading from weights, preparation to run."""

from __future__ import annotations

from robust.models.adapter import Adapter, settle_head
from robust.models.architectures import list_models
from robust.models.blackbox.network import BlackBox
from robust.models.classifier import Classifier, recognise_head
from robust.models.loading import load_classifier, random_classifier
from robust.models.preparation import choose_device, full_precision, prepare
from robust.models.segmentation.loading import load_segmenter
from robust.models.segmentation.segmenter import Segmenter, recognise_dense_head
from robust.models.weights import weights_hash

__all__ = [
    "Adapter",
    "BlackBox",
    "Classifier",
    "Segmenter",
    "choose_device",
    "full_precision",
    "list_models",
    "load_classifier",
    "load_segmenter",
    "prepare",
    "random_classifier",
    "recognise_dense_head",
    "recognise_head",
    "settle_head",
    "weights_hash",
]
