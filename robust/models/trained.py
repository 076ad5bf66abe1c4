"""Rebuilds a trained classifier from the model.json and model.safetensors of its folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from robust.errors import InputError
from robust.models.classifier import Classifier, in_bags
from robust.models.formats.contract import ModelOrigin
from robust.models.gradients.straight_through import checked_names
from robust.models.heads import Head, make_network
from robust.models.model_json import (
    MODEL,
    VERSION,
    WEIGHTS,
    read_checked,
    require_same_weights,
)
from robust.models.networks.bags import AttentionPooling, BagNetwork
from robust.models.preparation import evaluate
from robust.models.segmentation.mask_channel import MaskedNetwork, with_mask_channel
from robust.models.segmentation.trained import SegmenterFile, make_segmenter
from robust.models.weights import load_strictly, read_state_dict, weights_hash
from robust.plan.spec import BagSpec

MASK_NOTE = (
    "the network is also shown a mask, which a segmenter inside it computes from the same image: "
    "what an attack does to the image it does to the mask, and gradients pass through the segmenter"
)

Side = Annotated[int, Field(ge=1, le=1 << 14)]
"""Of an image, in pixels."""


class HeadFile(BaseModel):
    """`head` in model.json."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    classes: int = Field(ge=2, le=10**5)
    kind: Literal["plain", "ma2021"]
    hidden: int = Field(ge=1, le=1 << 16)
    dropout: float = Field(ge=0, lt=1)


class InputFile(BaseModel):
    """`preprocessing` in model.json, exact to the last bit."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mean: tuple[float, ...]
    std: tuple[float, ...]
    size: tuple[Side, Side] | None
    channels: int
    interpolation: str
    fit: str


class BagFile(BaseModel):
    """`bag` in model.json."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pooling: Literal["mean", "max", "attention"]
    tile: tuple[Side, Side]
    width: int = Field(ge=1, le=1 << 16)
    hidden: int = Field(ge=1, le=1 << 16)


class ModelFile(BaseModel):
    """The part of model.json that rebuilds the classifier; the rest of the file is for people."""

    model_config = ConfigDict(frozen=True)

    version: int
    architecture: str
    head: HeadFile
    classes: tuple[str, ...]
    findings: tuple[str, ...]
    preprocessing: InputFile
    weights_sha256: str
    bag: BagFile | None = None
    """None for a model of images."""
    mask_channel: SegmenterFile | None = None
    """The segmenter inside, whose mask is a further input channel."""


def load_trained(
    folder: str | Path, threshold: float = 0.5, straight_through: Sequence[str] = ()
) -> Classifier:
    """The classifier of a folder that `robust train` wrote; InputError where it was changed."""
    folder = Path(folder)
    model_file, _ = read_checked(folder, ModelFile)
    state = read_state_dict(folder / WEIGHTS)
    _check_size(model_file, state, folder)
    classifier = make_classifier(model_file, threshold)
    load_strictly(classifier.network, state, folder / WEIGHTS)
    require_same_weights(classifier, model_file.weights_sha256, folder)
    classifier.straight_through = checked_names(classifier.network, straight_through)
    return classifier


def _check_size(model_file: ModelFile, state: Mapping[str, Tensor], folder: Path) -> None:
    """InputError where the network that model.json names is much larger than its weights.

    It is built without memory first: a name alone could ask for many gigabytes.
    """
    head = _instance_head(model_file)
    try:
        with torch.device("meta"):
            network, _ = make_network(model_file.architecture, head, seed=0)
    except InputError:
        raise
    except Exception:  # noqa: BLE001  (some architectures cannot be built without memory)
        return
    needed = sum(value.numel() for value in network.state_dict().values())
    stored = sum(value.numel() for value in state.values())
    if needed > 2 * stored + 10**6:
        raise InputError(
            f"{folder / MODEL} names {model_file.architecture} with {needed} weights, {WEIGHTS} "
            f"holds {stored}; copy both files again from one training"
        )


def make_classifier(model_file: ModelFile, threshold: float = 0.5) -> Classifier:
    """The classifier that model.json describes, with random weights, in evaluation mode."""
    if model_file.head.classes != len(model_file.classes):
        raise InputError(
            f"{MODEL} names {len(model_file.classes)} classes for a head of "
            f"{model_file.head.classes}; copy the folder again"
        )
    network, _ = make_network(model_file.architecture, _instance_head(model_file), seed=0)
    evaluate(network)
    preprocessing, bag, masked = (
        model_file.preprocessing,
        model_file.bag,
        model_file.mask_channel,
    )
    classifier = Classifier(
        network,
        mean=preprocessing.mean,
        std=preprocessing.std,
        channels=preprocessing.channels,
        size=preprocessing.size,
        interpolation=preprocessing.interpolation,
        fit=preprocessing.fit,
        head="softmax",
        threshold=threshold if bag is None else 0.5,
        origin=ModelOrigin("module", notes=(MASK_NOTE,)) if masked is not None else None,
    )
    if masked is not None:
        return with_mask_channel(classifier, make_segmenter(masked), masked)
    if bag is not None:
        classifier = bagged(classifier, BagSpec(**bag.model_dump()), model_file.head.classes)
        classifier.threshold = threshold
    evaluate(classifier)
    return classifier


def _instance_head(model_file: ModelFile) -> Head:
    """The head of the network of images, or of instances, whose attention takes embeddings."""
    head, bag = Head(**model_file.head.model_dump()), model_file.bag
    return head if bag is None else head_of_instances(head, BagSpec(**bag.model_dump()))


def head_of_instances(head: Head, bag: BagSpec) -> Head:
    """The head of a network of instances that is trained in bags."""
    return replace(head, classes=bag.width) if bag.pooling == "attention" else head


def bagged(instance: Classifier, bag: BagSpec, classes: int) -> Classifier:
    """A trainable classifier of bags; attention starts at random. InputError."""
    if bag.pooling != "attention":
        return in_bags(instance, bag.pooling, bag.tile)
    return in_bags(instance, AttentionPooling(bag.width, bag.hidden, classes), bag.tile)


def describe(architecture: str, head: Head, classifier: Classifier) -> dict[str, Any]:
    """The part of model.json that rebuilds a classifier; `head` is that of its classes."""
    bag: dict[str, Any] = {}
    weights, network = weights_hash(classifier), classifier.network
    if isinstance(network, BagNetwork) and isinstance(network.instance, Classifier):
        pooling, score = network.pooling, 1
        width = head.classes
        if isinstance(pooling, AttentionPooling):
            width, score = pooling.head.in_features, pooling.hidden
        bag = {"bag": {**network.describe(), "width": width, "hidden": score}}
        classifier = network.instance
    return {
        "version": VERSION,
        "architecture": architecture,
        "head": asdict(head),
        "preprocessing": {
            "mean": [float(v) for v in classifier.mean.flatten()],
            "std": [float(v) for v in classifier.std.flatten()],
            "size": list(classifier.size) if classifier.size else None,
            "channels": classifier.channels,
            "interpolation": classifier.interpolation,
            "fit": classifier.fit,
        },
        "weights_sha256": weights,
        **bag,
        **_described_mask(classifier),
    }


def _described_mask(classifier: Classifier) -> dict[str, Any]:
    """The segmenter of a mask channel, as model.json has it; empty where there is none."""
    network = classifier.network
    if not isinstance(network, MaskedNetwork):
        return {}
    return {"mask_channel": network.described.model_dump(mode="json")}
