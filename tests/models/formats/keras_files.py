"""Keras files that tests make: of Keras 3, and rewritten as Keras 2 wrote them."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

os.environ["KERAS_BACKEND"] = "torch"
keras = pytest.importorskip("keras")
h5py = pytest.importorskip("h5py")


def tiny(outputs: int = 3, side: int = 16, *first: Any) -> Any:
    """A network with a nested model, batch normalisation whose statistics are set, and dropout."""
    keras.utils.set_random_seed(3)
    layers = keras.layers
    image = keras.Input((side, side, 3))
    x = layers.DepthwiseConv2D(3, padding="same")(image)
    x = layers.Conv2D(4, 3, strides=2, padding="same", activation="relu")(x)
    body = keras.Model(image, layers.BatchNormalization()(x), name="body")
    model = keras.Sequential(
        [
            keras.Input((side, side, 3)),
            *first,
            body,
            layers.GlobalAveragePooling2D(),
            layers.Dropout(0.5),
            layers.Dense(outputs, activation="softmax", name="head"),
        ]
    )
    norm = body.layers[-1]
    with torch.no_grad():
        norm.moving_mean.assign(torch.linspace(-0.3, 0.3, 4))
        norm.moving_variance.assign(torch.linspace(0.5, 2, 4))
    return model


def as_keras_2(source: Path, target: Path) -> Path:
    """The HDF5 file of Keras 3 with the configuration that Keras 2 would have written."""
    with h5py.File(source) as old, h5py.File(target, "w") as new:
        old.copy("model_weights", new)
        found = _older(json.loads(old.attrs["model_config"]))
        new.attrs.update(
            model_config=json.dumps(found).encode(), keras_version=b"2.4.0", backend=b"tensorflow"
        )
    return target


def _older(thing: Any) -> Any:
    if isinstance(thing, list):
        return [_older(one) for one in thing]
    if not isinstance(thing, dict):
        return thing
    if thing.get("class_name") == "DTypePolicy":
        return "float32"
    dropped = ("module", "registered_name", "build_config", "shared_object_id")
    found = {k: _older(v) for k, v in thing.items() if k not in dropped}
    fields = found.get("config")
    if found.get("class_name") == "InputLayer":
        fields["batch_input_shape"] = fields.pop("batch_shape")
        fields.pop("optional")
    if found.get("class_name") == "DepthwiseConv2D":
        fields["groups"] = 1
    if found.get("class_name") == "BatchNormalization":
        fields["axis"] = [3]
        for new in ("renorm", "renorm_clipping", "renorm_momentum", "synchronized"):
            fields.pop(new, None)
    if "inbound_nodes" in found:
        found["inbound_nodes"] = [
            [[*one["config"]["keras_history"], {}] for one in _flat(node["args"])]
            for node in found["inbound_nodes"]
        ]
    for ends in ("input_layers", "output_layers"):
        if ends in found:
            found[ends] = [found[ends]]
    return found


def _flat(arguments: list[Any]) -> list[Any]:
    """The tensors among arguments, those in lists too, as `Add` has them."""
    return [x for one in arguments for x in (one if isinstance(one, list) else [one])]


def with_configuration(source: Path, target: Path, change: Any) -> Path:
    """A `.keras` archive whose configuration was changed: `change(configuration)` does it."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "config.json":
                found = json.loads(content)
                change(found)
                content = json.dumps(found).encode()
            new.writestr(name, content)
    return target
