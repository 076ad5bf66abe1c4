"""Configuration of a Keras model: refused where it names code, mended where Keras 2 wrote it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from robust.errors import InputError, excerpt

CODE_LAYERS = ("Lambda", "TorchModuleWrapper", "TFSMLayer", "JaxLayer", "FlaxLayer")
"""Layers of Keras itself that hold code of the model's maker."""
TENSORFLOW_LAYERS = ("TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer")
"""Calls of TensorFlow that Keras 2 recorded; Keras 3 has no word for them."""
PLAIN_MODULES = (
    *("builtins", "keras", "keras.layers", "keras.models", "keras.initializers"),
    *("keras.regularizers", "keras.constraints", "keras.activations", "keras.dtype_policies"),
)
PLAIN_PARTS = (
    *("keras.src.models.", "keras.src.layers.", "keras.src.ops.", "keras.src.initializers."),
    *("keras.src.regularizers.", "keras.src.constraints.", "keras.src.activations."),
)
NOT_THE_NETWORK = ("compile_config", "training_config", "build_config")
"""Parts of a configuration that are not read: losses and metrics are often the maker's own."""
NO_GROUPS = ("DepthwiseConv2D", "SeparableConv2D", "Conv2DTranspose")
"""Layers that Keras 2 wrote with a field `groups`, which Keras 3 does not know."""
_TABLES = ("layers", "initializers", "regularizers", "constraints")
_OF_KERAS_2 = ("Functional", "Sequential", "Model", "Policy")
TO_ONNX = "python -m tf2onnx.convert --keras MODEL.h5 --output model.onnx"


def read_configuration(text: str | bytes, source: object) -> dict[str, Any]:
    """The configuration in JSON of a network that is made of Keras' own layers; InputError."""
    try:
        found = json.loads(text)
        named = list(_named(found))
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{source} is damaged (its configuration: {type(error).__name__}); copy it again"
        ) from None
    if not isinstance(found, dict) or not isinstance(found.get("class_name"), str):
        raise InputError(f"{source} holds no configuration of a model; save it with model.save()")
    for thing in named:
        _check_named(thing, source)
    return found


def is_legacy(configuration: dict[str, Any]) -> bool:
    """Whether Keras 2 wrote a configuration, which names no modules."""
    return "module" not in configuration


def mend_legacy(thing: Any) -> Any:
    """The configuration as Keras 3 understands it."""
    if isinstance(thing, list):
        return [mend_legacy(one) for one in thing]
    if not isinstance(thing, dict):
        return thing
    mended = {name: mend_legacy(value) for name, value in thing.items()}
    fields, kind = mended.get("config"), mended.get("class_name")
    if kind == "Policy" and isinstance(fields, dict):
        return "float32"
    if isinstance(fields, dict):
        if kind in NO_GROUPS and fields.get("groups") == 1:
            del fields["groups"]
        if kind == "BatchNormalization":
            fields["axis"] = _only(fields.get("axis", -1))
    for ends in ("input_layers", "output_layers"):
        if ends in mended:  # else a model within another answers with a list
            mended[ends] = _only(mended[ends], list)
    return mended


def _only(value: Any, kind: type = object) -> Any:
    """The one item of a list of one, where it is of a kind; else the value."""
    single = isinstance(value, list) and len(value) == 1 and isinstance(value[0], kind)
    return value[0] if single else value


def _named(thing: Any) -> Iterator[dict[str, Any]]:
    """Every object that a configuration names, the model itself first."""
    if isinstance(thing, dict):
        if "class_name" in thing:
            yield thing
        for name, value in thing.items():
            if name not in NOT_THE_NETWORK:
                yield from _named(value)
    elif isinstance(thing, list):
        for value in thing:
            yield from _named(value)


def _check_named(thing: dict[str, Any], source: object) -> None:
    """InputError for code, for calls of TensorFlow, and for what Keras does not hold itself."""
    kind, module = thing["class_name"], thing.get("module", "keras")
    if kind in TENSORFLOW_LAYERS:
        fields = thing.get("config")
        name = fields.get("name", kind) if isinstance(fields, dict) else kind
        raise InputError(
            f"{source} calls TensorFlow between its layers ({excerpt(name)}), which Keras 3 cannot "
            f"read; in its own environment convert it: {TO_ONNX}, then give model.onnx"
        )
    if kind not in CODE_LAYERS and _is_plain(kind, module, thing):
        return
    where = f" of {excerpt(module)}" if isinstance(module, str) and module != "keras" else ""
    raise InputError(
        f"{source} needs code of its maker, {excerpt(kind)}{where}, which could do anything: "
        f"refused; in its own environment convert it: {TO_ONNX}, then give model.onnx; or give a "
        f"factory that builds it"
    )


def _is_plain(kind: Any, module: Any, thing: dict[str, Any]) -> bool:
    """Whether Keras itself holds what is named; it alone is imported."""
    import keras

    registered = thing.get("registered_name")
    if not isinstance(kind, str) or not isinstance(module, str):
        return False
    if isinstance(registered, str) and ">" in registered and not registered.startswith("keras>"):
        return False
    if kind.startswith("__") and kind.endswith("__"):
        return kind != "__lambda__"
    if kind == "function":  # an activation, by its name
        name = thing.get("config")
        return isinstance(name, str) and hasattr(keras.activations, name)
    if "module" in thing:
        return module in PLAIN_MODULES or module.startswith(PLAIN_PARTS)
    known = (getattr(getattr(keras, table), kind, None) for table in _TABLES)
    return kind in _OF_KERAS_2 or any(isinstance(one, type) for one in known)
