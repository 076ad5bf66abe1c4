"""Rebuilds a trained segmenter from the model.json and model.safetensors of its folder."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from robust.errors import InputError
from robust.models.preparation import evaluate
from robust.models.segmentation.networks import build_dense_network
from robust.models.segmentation.segmenter import Segmenter
from robust.models.trained import VERSION, SegmenterFile, read_model_file, restore
from robust.models.weights import weights_hash


def load_trained_segmenter(folder: str | Path, threshold: float = 0.5) -> Segmenter:
    """The segmenter of a folder that `robust train` wrote; InputError where it was changed."""
    folder = Path(folder)
    model_file, _ = read_model_file(folder)
    if not isinstance(model_file, SegmenterFile):
        raise InputError(f"{folder} holds a classifier, and the data have masks; name other data")
    return restore(
        folder,
        model_file,
        partial(_network, model_file),
        partial(make_segmenter, model_file, threshold),
    )


def make_segmenter(model_file: SegmenterFile, threshold: float = 0.5) -> Segmenter:
    """The segmenter that model.json describes, with random weights, in evaluation mode."""
    network = _network(model_file)
    evaluate(network)
    return Segmenter(
        network,
        **model_file.preprocessing.model_dump(),
        head=model_file.head,
        threshold=threshold,
        spatial_dims=model_file.spatial_dims,
    )


def describe_segmenter(
    segmenter: Segmenter,
    architecture: str,
    settings: Mapping[str, Any],
    spatial_dims: int,
    classes: tuple[str, ...],
) -> dict[str, Any]:
    """The part of model.json that rebuilds a segmenter."""
    return {
        "version": VERSION,
        "task": "segmentation",
        "architecture": architecture,
        "settings": dict(settings),
        "spatial_dims": spatial_dims,
        "head": segmenter.head,
        "classes": list(classes),
        "preprocessing": segmenter.preprocessing(),
        "weights_sha256": weights_hash(segmenter),
    }


def _network(model_file: SegmenterFile) -> nn.Module:
    return build_dense_network(
        model_file.architecture,
        outputs=len(model_file.classes),
        channels=model_file.preprocessing.channels,
        spatial_dims=model_file.spatial_dims,
        settings=model_file.settings,
    )
