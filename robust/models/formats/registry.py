"""Finds the loader of a model: by library prefix, by file suffix, by what a folder holds."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from robust.errors import InputError
from robust.models.formats.contract import LoadedNetwork, LoaderOptions
from robust.plan.paths import TRAINED

FILES: dict[str, str] = {
    ".keras": "keras.loader:load_keras",
    ".h5": "keras.loader:load_hdf5",
    ".hdf5": "keras.loader:load_hdf5",
    ".onnx": "onnx_file:load_onnx",
    ".tflite": "tflite:load_tflite",
}
"""By suffix in lower case: `module:function` in this package, a `FileLoader`."""
DEFAULT_FILE = "torch_programs:load"
"""Of a file with any other suffix."""
LIBRARIES: dict[str, str] = {}
"""By the text before the colon of `architecture`: a `LibraryLoader`."""
FOLDERS: dict[str, str] = {
    "saved_model.pb": "tensorflow:refuse_saved_model",
    "checkpoint": "tensorflow:refuse_checkpoint",
    "models/checkpoint": "tensorflow:refuse_checkpoint",
}
"""By a file that such a folder holds, as a path in it: a `FileLoader`. The first that is there
decides."""


def load_file(path: Path, options: LoaderOptions) -> LoadedNetwork:
    """The network in a file that contains its architecture; InputError."""
    found: LoadedNetwork = _loader(FILES.get(path.suffix.lower(), DEFAULT_FILE))(path, options)
    return found


def load_library(name: str, options: LoaderOptions) -> LoadedNetwork:
    """The network that `library:name` stands for, of a library in `LIBRARIES`; InputError."""
    library, _, rest = name.partition(":")
    found: LoadedNetwork = _loader(LIBRARIES[library])(rest, options)
    return found


def load_folder(folder: Path, options: LoaderOptions) -> LoadedNetwork:
    """The network in a folder of some library; InputError where none of `FOLDERS` fits."""
    for inside, where in FOLDERS.items():
        if (folder / inside).exists():
            found: LoadedNetwork = _loader(where)(folder, options)
            return found
    others = "".join(f", no {inside}" for inside in FOLDERS)
    raise InputError(
        f"{folder} holds no {TRAINED}{others}; name a folder that `robust train` has finished, or "
        f"one of a format that robust reads"
    )


def _loader(where: str) -> Any:
    module, _, function = where.partition(":")
    return getattr(importlib.import_module(f"robust.models.formats.{module}"), function)
