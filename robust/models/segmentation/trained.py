"""Rebuilds a trained segmenter from the model.json and model.safetensors of its folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from robust.errors import InputError
from robust.models.formats.named_segmenters import build_named_segmenter
from robust.models.gradients.straight_through import checked_names
from robust.models.model_json import (
    MODEL,
    VERSION,
    WEIGHTS,
    read_checked,
    require_same_weights,
)
from robust.models.preparation import evaluate
from robust.models.segmentation.segmenter import OVERLAP, Segmenter
from robust.models.weights import load_strictly, read_state_dict, weights_hash


class SegmenterInput(BaseModel):
    """`preprocessing` in model.json of a segmenter, exact to the last bit."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mean: tuple[float, ...]
    std: tuple[float, ...]
    channels: int | None
    spatial_dims: Literal[2, 3] | None
    size: tuple[int, ...] | None
    multiple_of: int | None
    window: tuple[int, ...] | None
    overlap: float
    blend: str


class SegmenterFile(BaseModel):
    """The part of model.json that rebuilds a segmenter; the rest of the file is for people."""

    model_config = ConfigDict(frozen=True)

    version: int
    task: Literal["segmentation"]
    architecture: str
    settings: dict[str, JsonValue]
    head: str
    classes: tuple[str, ...] = Field(min_length=1)
    overlapping: bool
    preprocessing: SegmenterInput
    weights_sha256: str


def load_trained_segmenter(
    folder: str | Path, threshold: float = 0.5, straight_through: Sequence[str] = ()
) -> Segmenter:
    """The segmenter of a folder that `robust train` wrote; InputError where it was changed."""
    folder = Path(folder)
    model_file, _ = read_checked(folder, SegmenterFile)
    state = read_state_dict(folder / WEIGHTS)
    _require_size(model_file, sum(value.numel() for value in state.values()), folder)
    segmenter = make_segmenter(model_file, threshold)
    load_strictly(segmenter.network, state, folder / WEIGHTS)
    require_same_weights(segmenter, model_file.weights_sha256, folder)
    segmenter.straight_through = checked_names(segmenter.network, straight_through)
    return segmenter


def make_segmenter(model_file: SegmenterFile, threshold: float = 0.5) -> Segmenter:
    """The segmenter that model.json describes, with random weights, in evaluation mode."""
    network = build_named_segmenter(model_file.architecture, model_file.settings)
    evaluate(network)
    return Segmenter(
        network,
        head=model_file.head,
        overlapping=model_file.overlapping,
        output_names=model_file.classes,
        threshold=threshold,
        **model_file.preprocessing.model_dump(),
    )


def describe_segmenter(
    architecture: str, settings: Mapping[str, Any], segmenter: Segmenter
) -> dict[str, Any]:
    """The part of model.json that rebuilds a segmenter of a network by name."""
    return {
        "version": VERSION,
        "task": "segmentation",
        "architecture": architecture,
        "settings": dict(settings),
        "head": segmenter.head,
        "classes": list(segmenter.output_names or ()),
        "overlapping": segmenter.overlapping,
        "preprocessing": {
            "overlap": OVERLAP,
            "blend": "gaussian",
            **segmenter.preprocessing(),
            "spatial_dims": segmenter.spatial_dims,
        },
        "weights_sha256": weights_hash(segmenter),
    }


def _require_size(model_file: SegmenterFile, stored: int, folder: Path) -> None:
    """InputError where the network that model.json names is much larger than its weights.

    It is built without memory first: settings could ask for many gigabytes.
    """
    with torch.device("meta"):
        network = build_named_segmenter(model_file.architecture, model_file.settings)
    needed = sum(value.numel() for value in network.state_dict().values())
    if needed > 2 * stored + 10**6:
        raise InputError(
            f"{folder / MODEL} names {model_file.architecture} with {needed} weights, {WEIGHTS} "
            f"holds {stored}; copy both files again from one training"
        )
