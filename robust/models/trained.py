"""Rebuilds a trained network from the model.json and model.safetensors of its folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import pydantic
import torch
from pydantic import BaseModel, ConfigDict, Field, JsonValue
from torch import Tensor, nn

from robust.errors import InputError
from robust.files import MOST_TEXT, read_bytes
from robust.models.adapter import Adapter
from robust.models.classifier import Classifier
from robust.models.heads import Head, make_network
from robust.models.preparation import evaluate
from robust.models.weights import load_strictly, read_state_dict, weights_hash
from robust.plan.paths import TRAINED, require_trained

MODEL, WEIGHTS = TRAINED, "model.safetensors"
VERSION = 1
"""Goes up whenever an older reader would misread a newer model.json."""


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


class ModelFile(BaseModel):
    """The part of model.json that rebuilds a classifier; the rest of the file is for people."""

    model_config = ConfigDict(frozen=True)

    version: int
    task: Literal["classification"] = "classification"
    architecture: str
    head: HeadFile
    classes: tuple[str, ...]
    findings: tuple[str, ...]
    preprocessing: InputFile
    weights_sha256: str


class WindowsFile(BaseModel):
    """`preprocessing` in the model.json of a segmenter, exact to the last bit."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mean: tuple[float, ...]
    std: tuple[float, ...]
    channels: int
    size: tuple[Side, ...] | None
    multiple_of: Side | None
    window: tuple[Side, ...] | None
    overlap: float = 0.0
    blend: str = "gaussian"


class SegmenterFile(BaseModel):
    """The part of model.json that rebuilds a segmenter."""

    model_config = ConfigDict(frozen=True)

    version: int
    task: Literal["segmentation"]
    architecture: str
    settings: dict[str, JsonValue]
    spatial_dims: Literal[2, 3]
    head: Literal["softmax", "multilabel"]
    classes: tuple[str, ...] = Field(min_length=1, max_length=10**4)
    """The background first, unless the head is multilabel."""
    preprocessing: WindowsFile
    weights_sha256: str


def read_model_file(folder: Path) -> tuple[ModelFile | SegmenterFile, dict[str, Any]]:
    """model.json of a folder: the checked part, and its whole content; InputError."""
    path = folder / MODEL
    require_trained(folder)
    text = read_bytes(path, MOST_TEXT)
    try:
        # Version first: what a newer one holds may not be checked by this one's rules.
        content = pydantic.TypeAdapter(dict[str, Any]).validate_json(text)
        if content.get("version") != VERSION:
            raise InputError(
                f"{path} has version {content.get('version')!r}, this version of robust reads "
                f"{VERSION}; use the version that wrote it"
            )
        kind = SegmenterFile if content.get("task") == "segmentation" else ModelFile
        return kind.model_validate(content), content
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise InputError(
            f"{path} differs from what `robust train` writes: {f'{where}: ' if where else ''}"
            f"{first['msg']}; train again or copy the folder again"
        ) from None


def load_trained(folder: str | Path, threshold: float = 0.5) -> Classifier:
    """The classifier of a folder that `robust train` wrote; InputError where it was changed."""
    folder = Path(folder)
    model_file, _ = read_model_file(folder)
    if isinstance(model_file, SegmenterFile):
        raise InputError(
            f"{folder} holds a model that outlines structures; name data with masks, or task = "
            f"'segmentation' in [model]"
        )
    head = Head(**model_file.head.model_dump())
    return restore(
        folder,
        model_file,
        lambda: make_network(model_file.architecture, head, seed=0)[0],
        lambda: make_classifier(model_file, threshold),
    )


AnyAdapter = TypeVar("AnyAdapter", bound=Adapter)


def restore(
    folder: Path,
    model_file: ModelFile | SegmenterFile,
    make_network: Callable[[], nn.Module],
    make_adapter: Callable[[], AnyAdapter],
) -> AnyAdapter:
    """The adapter with the weights of the folder; InputError where they are not those it had."""
    state = read_state_dict(folder / WEIGHTS)
    _check_size(model_file.architecture, make_network, state, folder)
    adapter = make_adapter()
    load_strictly(adapter.network, state, folder / WEIGHTS)
    if weights_hash(adapter) != model_file.weights_sha256:
        raise InputError(
            f"{folder / WEIGHTS} is not the file that {MODEL} was written for: its weights have "
            f"another hash; copy both files again from one training"
        )
    return adapter


def _check_size(
    name: str, make_network: Callable[[], nn.Module], state: Mapping[str, Tensor], folder: Path
) -> None:
    """InputError where the network that model.json names is much larger than its weights.

    It is built without memory first: a name alone could ask for many gigabytes.
    """
    try:
        with torch.device("meta"):
            network = make_network()
    except InputError:
        raise
    except Exception:  # noqa: BLE001  (some architectures cannot be built without memory)
        return
    needed = sum(value.numel() for value in network.state_dict().values())
    stored = sum(value.numel() for value in state.values())
    if needed > 2 * stored + 10**6:
        raise InputError(
            f"{folder / MODEL} names {name} with {needed} weights, {WEIGHTS} "
            f"holds {stored}; copy both files again from one training"
        )


def make_classifier(model_file: ModelFile, threshold: float = 0.5) -> Classifier:
    """The classifier that model.json describes, with random weights, in evaluation mode."""
    if model_file.head.classes != len(model_file.classes):
        raise InputError(
            f"{MODEL} names {len(model_file.classes)} classes for a head of "
            f"{model_file.head.classes}; copy the folder again"
        )
    network, _ = make_network(model_file.architecture, Head(**model_file.head.model_dump()), seed=0)
    evaluate(network)
    preprocessing = model_file.preprocessing
    return Classifier(
        network,
        mean=preprocessing.mean,
        std=preprocessing.std,
        channels=preprocessing.channels,
        size=preprocessing.size,
        interpolation=preprocessing.interpolation,
        fit=preprocessing.fit,
        head="softmax",
        threshold=threshold,
    )


def describe(architecture: str, head: Head, classifier: Classifier) -> dict[str, Any]:
    """The part of model.json that rebuilds a classifier."""
    return {
        "version": VERSION,
        "task": "classification",
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
        "weights_sha256": weights_hash(classifier),
    }
