"""The network of a recipe: a classifier with a new head, or a segmenter; and its preprocessing."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from robust.cases import Cases
from robust.errors import InputError
from robust.models import Classifier
from robust.models.adapter import Adapter
from robust.models.architectures import find_library
from robust.models.formats.named_segmenters import build_named_segmenter
from robust.models.heads import Head, drawn_by_seed, make_network
from robust.models.model_json import read_checked, read_either
from robust.models.segmentation.mask_channel import with_mask_channel
from robust.models.segmentation.segmenter import OVERLAP, Segmenter
from robust.models.segmentation.trained import (
    SegmenterFile,
    describe_segmenter,
    load_trained_segmenter,
    make_segmenter,
)
from robust.models.trained import (
    ModelFile,
    bagged,
    describe,
    head_of_instances,
    load_trained,
    make_classifier,
)
from robust.models.weights import Weights, load_strictly, read_weights
from robust.training.recipe import NetworkSpec, Recipe

_log = logging.getLogger(__name__)

_OF_CLASSIFIERS = ("head", "interpolation", "fit", "bag", "start_from", "mask_channel")
_OF_SEGMENTERS = ("settings", "spatial_dims", "multiple_of", "window", "overlap", "blend")


def make_untrained(recipe: Recipe, cases: Cases) -> Adapter:
    """The adapter before training; the same recipe makes the same one. Raises InputError."""
    spec = recipe.network
    if cases.outlines is None:
        _refuse(spec, _OF_SEGMENTERS, "the data have classes")
        return _classifier(recipe, len(cases.classes))
    _refuse(spec, _OF_CLASSIFIERS, "the data have masks")
    return _segmenter(recipe, cases)


def _refuse(spec: NetworkSpec, names: tuple[str, ...], data: str) -> None:
    """InputError for a field that the data make no use of."""
    for name in names:
        if getattr(spec, name) != NetworkSpec.model_fields[name].get_default(
            call_default_factory=True
        ):
            raise InputError(f"[network] {name} does not apply, since {data}; remove it")


def _read(spec: NetworkSpec) -> Weights | None:
    """The weights that a recipe names, with their notes said."""
    weights = None if spec.weights is None else read_weights(spec.weights)
    for note in weights.notes if weights is not None else ():
        _log.warning("robust: %s", note)
    return weights


def head_of(recipe: Recipe, classes: int) -> Head:
    """The head that a recipe asks for."""
    spec = recipe.network
    return Head(classes, spec.head, spec.hidden, spec.dropout)


def _classifier(recipe: Recipe, classes: int) -> Classifier:
    spec = recipe.network
    weights, start = _read(spec), start_of(spec)
    state = None if weights is None else weights.state
    source: object = spec.weights
    if start is not None:
        state, source = start.network.state_dict(), spec.start_from
    network, known = make_network(
        spec.architecture,
        head_of(recipe, classes)
        if spec.bag is None
        else head_of_instances(head_of(recipe, classes), spec.bag),
        state=state,
        source=source,
        pretrained=spec.pretrained and state is None,
        seed=recipe.training.seed,
        new_head=start is not None,
    )
    if start is not None:
        # Its weights were learned on images that were normalised so.
        mean, std = (tuple(v.flatten().tolist()) for v in (start.mean, start.std))
        known = replace(known, mean=mean, std=std)
        _log.warning("robust: %s", _started(start.network.state_dict(), network))
    size: Any = (spec.size, spec.size) if isinstance(spec.size, int) else spec.size
    classifier = Classifier(
        network,
        mean=known.mean if spec.mean is None else spec.mean,
        std=known.std if spec.std is None else spec.std,
        channels=spec.channels,
        size=known.size if size is None else size,
        interpolation=spec.interpolation or known.interpolation,
        fit=spec.fit,
        head="softmax",
    )
    if spec.bag is not None:
        with drawn_by_seed(recipe.training.seed):
            return bagged(classifier, spec.bag, classes)
    if spec.mask_channel is None:
        return classifier
    folder = Path(spec.mask_channel)
    require_task(folder, "segmentation", "mask_channel")
    described, _ = read_checked(folder, SegmenterFile)
    return with_mask_channel(classifier, load_trained_segmenter(folder), described)


def require_task(folder: Path, task: str, field: str) -> None:
    """InputError for a folder of no trained model, or of one for another task."""
    _, content = read_either(folder)
    found = content.get("task", "classification")
    if found != task:
        raise InputError(
            f"[network] {field}: {folder} holds a model for {found}; name one for {task}"
        )


def _started(old: Mapping[str, Tensor], network: nn.Module) -> str:
    """Which tensors of a network are those of a trained one, and which are new."""
    state = network.state_dict()
    new = [n for n, v in state.items() if n not in old or not torch.equal(old[n], v)]
    return (
        f"{len(state) - len(new)} of {len(state)} tensors are those of start_from; the head is "
        f"new: {', '.join(new)}"
    )


def start_record(recipe: Recipe) -> dict[str, Any] | None:
    """What a model card says of the trained folder that a recipe starts from; None without one."""
    folder = recipe.network.start_from
    if folder is None:
        return None
    described, _ = read_checked(Path(folder), ModelFile)
    return {"classes": list(described.classes), "weights_sha256": described.weights_sha256}


def start_of(spec: NetworkSpec) -> Classifier | None:
    """The trained classifier that a recipe starts from; InputError where it does not fit."""
    if spec.start_from is None:
        return None
    folder = Path(spec.start_from)
    require_task(folder, "classification", "start_from")
    described, _ = read_checked(folder, ModelFile)
    if find_library(described.architecture) != find_library(spec.architecture):
        raise InputError(
            f"[network] start_from: {folder} holds a {described.architecture}, the recipe asks for "
            f"{spec.architecture}; name a folder of the same architecture"
        )
    if described.mask_channel is not None:
        raise InputError(
            f"[network] start_from: {folder} was trained with a mask channel; name a folder that "
            f"was trained without one"
        )
    return load_trained(folder)


def _segmenter(recipe: Recipe, cases: Cases) -> Segmenter:
    spec = recipe.network
    weights = _read(spec)
    if spec.pretrained and weights is None:
        raise InputError(
            "a segmenter starts from random weights, --random, or from a file, --weights"
        )
    with drawn_by_seed(recipe.training.seed):
        network = build_named_segmenter(spec.architecture, _settings(spec, len(cases.classes)))
    if weights is not None:
        load_strictly(network, weights.state, spec.weights)
    return Segmenter(
        network,
        mean=0.0 if spec.mean is None else spec.mean,
        std=1.0 if spec.std is None else spec.std,
        channels=spec.channels,
        size=spec.size,
        multiple_of=spec.multiple_of,
        window=spec.window,
        overlap=OVERLAP if spec.overlap is None else spec.overlap,
        blend=spec.blend or "gaussian",
        head="multilabel" if cases.outlines == "overlapping" else "softmax",
        output_names=cases.classes,
        spatial_dims=spec.spatial_dims,
    )


def _settings(spec: NetworkSpec, outputs: int) -> dict[str, Any]:
    """All arguments of the constructor of a segmenter."""
    if spec.architecture.startswith("smp:"):
        return {"in_channels": spec.channels, "classes": outputs, **spec.settings}
    shape = {"spatial_dims": spec.spatial_dims, "in_channels": spec.channels}
    return {**shape, "out_channels": outputs, **spec.settings}


def resizing_alone(adapter: Adapter) -> Adapter:
    """An adapter that only resizes, as this one does before its network."""
    if isinstance(adapter, Classifier):
        return Classifier(
            nn.Identity(),
            size=adapter.size,
            fit=adapter.fit,
            interpolation=adapter.interpolation,
        )
    return Segmenter(nn.Identity(), size=adapter.size)


def rebuild(recipe: Recipe, adapter: Adapter, cases: Cases) -> tuple[dict[str, Any], Adapter]:
    """The part of model.json that rebuilds the adapter, and the adapter rebuilt from it.

    The rebuilt one is measured and stored, so that a reader of the folder gets the same.
    """
    spec, classes = recipe.network, tuple(cases.classes)
    rebuilt: Adapter
    if isinstance(adapter, Classifier):
        content = {
            **describe(spec.architecture, head_of(recipe, len(classes)), adapter),
            "classes": list(classes),
            "findings": [classes[i] for i in cases.findings],
        }
        rebuilt = make_classifier(ModelFile.model_validate(content))
    else:
        assert isinstance(adapter, Segmenter)
        content = describe_segmenter(spec.architecture, _settings(spec, len(classes)), adapter)
        rebuilt = make_segmenter(SegmenterFile.model_validate(content))
    load_strictly(rebuilt.network, adapter.network.state_dict(), "the trained network")
    return content, rebuilt
