"""Loads `.keras` archives and HDF5 files of Keras 3 and Keras 2, on Keras' torch backend."""

from __future__ import annotations

import io
import os
import sys
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from robust.errors import InputError, first_line, type_and_line
from robust.files import open_regular
from robust.models.architectures import Preprocessing
from robust.models.checkpoints.archives import check_archive
from robust.models.formats.contract import LoadedNetwork, LoaderOptions, ModelOrigin
from robust.models.formats.keras.configuration import is_legacy, mend_legacy, read_configuration
from robust.models.formats.keras.hdf5 import count_values
from robust.models.formats.keras.network import KerasNetwork, run_native, set_precision
from robust.models.process_state import quiet

BYTES_SCALE = 1 / 50
"""A network whose first layer multiplies by less takes grey levels from 0 to 255."""
_AGAIN = "save it again with model.save()"


def load_keras(path: Path, options: LoaderOptions) -> LoadedNetwork:
    """The network in a `.keras` archive; InputError."""
    keras = _import_keras(path)
    if not check_archive(path, _AGAIN):
        raise InputError(f"{path} is no Keras archive, which is a zip file; {_AGAIN}")
    with zipfile.ZipFile(path) as archive:
        names = set(archive.namelist())
        lost = [n for n in ("config.json", "model.weights.h5") if n not in names]
        if lost:
            raise InputError(f"{path} is no Keras archive: it holds no {lost[0]}; {_AGAIN}")
        configuration = read_configuration(archive.read("config.json"), path)
        weights = io.BytesIO(archive.read("model.weights.h5"))
    with _open_hdf5(weights, path) as file:
        values = count_values(file)
    with quiet(), _readable(path):
        _require_memory(keras.saving.deserialize_keras_object, configuration, values)
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    return _loaded(model, path, "Keras 3 archive")


def load_hdf5(path: Path, options: LoaderOptions) -> LoadedNetwork:
    """The network in an HDF5 file that holds its configuration; InputError."""
    keras = _import_keras(path)
    with open_regular(path) as content, _open_hdf5(content, path) as file:
        values = count_values(file)
        text = file.attrs.get("model_config")
        made_by = file.attrs.get("keras_version", "2")
        groups = list(file)
    if text is None:
        _refuse_without_network(path, groups)
    configuration = read_configuration(text, path)
    old = is_legacy(configuration)
    with quiet(), _readable(path):
        from keras.src.legacy.saving import saving_utils

        def build(configuration: dict[str, Any]) -> Any:
            if old:
                return saving_utils.model_from_config(mend_legacy(configuration))
            return keras.saving.deserialize_keras_object(configuration)

        _require_memory(build, configuration, values)
        model = build(configuration)
        model.load_weights(path)
    return _loaded(model, path, f"HDF5 file of Keras {_major(made_by)}")


def _import_keras(path: Path) -> Any:
    """Keras on torch; InputError where it is missing or runs on something else."""
    if "keras" not in sys.modules:
        os.environ["KERAS_BACKEND"] = "torch"
    try:
        import h5py  # noqa: F401
        import keras
    except ImportError as error:
        raise InputError(f"{path} needs {error.name}: pip install 'robust-audit[keras]'") from None
    if (backend := keras.backend.backend()) != "torch":
        raise InputError(
            f"{path} needs Keras on torch, and Keras was imported with {backend}: set "
            f"KERAS_BACKEND=torch before Python starts"
        )
    return keras


@contextmanager
def _open_hdf5(content: Any, path: Path) -> Iterator[Any]:
    """An HDF5 file, opened; InputError where it is damaged, also where that shows within."""
    import h5py

    try:
        with h5py.File(content, "r") as file:
            yield file
    except InputError:
        raise
    except Exception as error:  # noqa: BLE001  (a damaged file raises of every kind)
        raise InputError(
            f"{path} is no HDF5 file or is damaged ({first_line(error)}); copy it again, or "
            f"{_AGAIN}"
        ) from None


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """InputError where Keras cannot read what is in a file."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # noqa: BLE001  (Keras raises of every kind here)
        raise InputError(
            f"Keras cannot read {path} ({type_and_line(error)}); {_AGAIN} in the newest Keras that "
            f"reads it, or convert it to ONNX with tf2onnx"
        ) from None


def _require_memory(build: Any, configuration: dict[str, Any], values: int) -> None:
    """ValueError where a network has more weights than its file holds: it would fill the memory.

    It is built without memory for its weights. A layer that cannot be is left to the real thing.
    """
    import copy

    import keras

    try:
        with keras.device("meta"):
            wanted = build(copy.deepcopy(configuration)).count_params()
    except (NotImplementedError, RuntimeError):
        return
    if wanted > values:
        raise ValueError(f"the network has {wanted} weights, the file holds {values}")


def _refuse_without_network(path: Path, groups: Sequence[str]) -> None:
    """InputError that says what an HDF5 file holds in place of a network."""
    if groups:
        raise InputError(
            f"{path} holds no network but at most its weights (no model_config), so that nothing "
            f"says which layers they belong to: refused; build the model in its own code, "
            f"model.load_weights(...), then model.save('model.keras') and give that file"
        )
    raise InputError(f"{path} is empty; {_AGAIN}")


def _loaded(model: Any, path: Path, kind: str) -> LoadedNetwork:
    """The network of a Keras model, with what its input says of preprocessing; InputError."""
    shape, outputs = (
        _one_shape(model.inputs, "inputs", path),
        _one_shape(model.outputs, "outputs", path),
    )
    if len(outputs) > 2 or len(shape) == 5:
        raise InputError(
            f"{path} is a network for segmentation, as MIScnn writes them: it takes {shape} and "
            f"answers with {outputs}: refused; robust audits classifiers, which answer with one "
            f"row of numbers for an image: put such a head on it (pooling and a Dense layer), then "
            f"model.save('model.keras')"
        )
    if len(shape) != 4:
        raise InputError(f"{path} takes no images but values of shape {shape}; give a classifier")
    last = shape[3] in (1, 3) or shape[1] not in (1, 3)
    height, width, channels = shape[1:] if last else (shape[2], shape[3], shape[1])
    if channels not in (None, 1, 3):
        raise InputError(f"{path} takes images of {channels} channels; robust reads 1 or 3")
    set_precision(model, "float32")
    levels = _takes_grey_levels(model)
    notes = ("its first layer scales grey levels from 0 to 255, which it is given",)
    origin = ModelOrigin(
        f"{kind}, run by Keras on torch",
        native=lambda x: run_native(model, x, last),
        notes=notes if levels else (),
    )
    known = Preprocessing(
        std=1 / 255 if levels else 1.0,
        size=(height, width) if height and width else None,
        channels=channels,
    )
    return LoadedNetwork(KerasNetwork(model, last), origin, known)


def _one_shape(ends: Sequence[Any], what: str, path: Path) -> tuple[int | None, ...]:
    """The shape of the one input or output; InputError for several."""
    if len(ends) != 1:
        raise InputError(
            f"{path} has {len(ends)} {what}, and an audit needs one: save a model with the one "
            f"that counts, keras.Model(model.inputs, model.outputs[0])"
        )
    return tuple(ends[0].shape)


def _takes_grey_levels(model: Any) -> bool:
    """Whether the first layer that does anything scales grey levels from 0 to 255 itself."""
    for layer in model.layers:
        kind = type(layer).__name__
        if kind == "InputLayer" or kind.startswith("Random"):
            continue
        if hasattr(layer, "layers"):
            return _takes_grey_levels(layer)
        if kind == "Rescaling":
            scales = layer.scale if isinstance(layer.scale, (list, tuple)) else [layer.scale]
            return max(abs(float(scale)) for scale in scales) < BYTES_SCALE
        if kind == "Normalization":
            return bool(float(abs(layer.mean).max()) > 2)
        return False
    return False


def _major(version: object) -> str:
    text = version.decode() if isinstance(version, bytes) else str(version)
    return text.partition(".")[0]
