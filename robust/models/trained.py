"""Rebuilds a trained classifier from the model.json and model.safetensors of its folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import pydantic
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from robust.errors import InputError
from robust.files import MOST_TEXT, read_bytes
from robust.models.adapter import Adapter
from robust.models.bags import AttentionPooling, BagNetwork
from robust.models.classifier import Classifier, in_bags
from robust.models.gradients.straight_through import checked_names
from robust.models.heads import Head, make_network
from robust.models.preparation import evaluate
from robust.models.weights import load_strictly, read_state_dict, weights_hash
from robust.plan.paths import TRAINED, require_trained
from robust.plan.spec import BagSpec

MODEL, WEIGHTS = TRAINED, "model.safetensors"
VERSION = 1
"""Goes up whenever an older reader would misread a newer model.json."""
File = TypeVar("File", bound=BaseModel)
Read = TypeVar("Read")


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


class AnyModelFile(BaseModel):
    """What model.json of either task says alike."""

    model_config = ConfigDict(frozen=True)

    architecture: str
    classes: tuple[str, ...]


def read_either(folder: Path) -> tuple[AnyModelFile, dict[str, Any]]:
    """What model.json says alike of a classifier and a segmenter, and its whole content."""
    content = _read_content(folder)
    return _validated(folder, AnyModelFile, content), content


def read_checked(folder: Path, kind: type[File]) -> tuple[File, dict[str, Any]]:
    """model.json of a folder: the part that is checked as `kind`, and its whole content.

    Raises InputError, also where it is that of a model for another task.
    """
    content = _read_content(folder)
    found, expected = (
        "segmentation" if made else "classification"
        for made in (content.get("task") == "segmentation", "task" in kind.model_fields)
    )
    if found != expected:
        raise InputError(
            f"{folder / MODEL} is that of a model for {found}, and {expected} is asked for: set "
            f"task = '{found}' in [model], with data of that task"
        )
    return _validated(folder, kind, content), content


def _read_content(folder: Path) -> dict[str, Any]:
    """The content of model.json, not checked but for its version; InputError."""
    path = folder / MODEL
    require_trained(folder)
    text = read_bytes(path, MOST_TEXT)
    # Version first: what a newer one holds may not be checked by this one's rules.
    content = _checked(path, lambda: pydantic.TypeAdapter(dict[str, Any]).validate_json(text))
    if content.get("version") != VERSION:
        raise InputError(
            f"{path} has version {content.get('version')!r}, this version of robust reads "
            f"{VERSION}; use the version that wrote it"
        )
    return content


def _validated(folder: Path, kind: type[File], content: dict[str, Any]) -> File:
    return _checked(folder / MODEL, lambda: kind.model_validate(content))


def _checked(path: Path, read: Callable[[], Read]) -> Read:
    """What `read` returns; InputError where it finds another content than that of a training."""
    try:
        return read()
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise InputError(
            f"{path} differs from what `robust train` writes: {f'{where}: ' if where else ''}"
            f"{first['msg']}; train again or copy the folder again"
        ) from None


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


def require_same_weights(model: Adapter, expected: str, folder: Path) -> None:
    """InputError where the weights of a folder are not those that its model.json names."""
    if weights_hash(model) != expected:
        raise InputError(
            f"{folder / WEIGHTS} is not the file that {MODEL} was written for: its weights have "
            f"another hash; copy both files again from one training"
        )


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
    preprocessing, bag = model_file.preprocessing, model_file.bag
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
    )
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
    }
