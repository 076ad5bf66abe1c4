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
DEFAULT_FILE = "torch_programs:load_torch_program"
"""Of a file with any other suffix."""
LIBRARIES: dict[str, str] = {
    "hf": "huggingface.names:load_hub_name",
    "hf-hub": "huggingface.names:load_hub_name",
    "hf_hub": "huggingface.names:load_hub_name",
    "timm:hf-hub": "huggingface.names:load_hub_name",
    "timm:hf_hub": "huggingface.names:load_hub_name",
    "open_clip": "zero_shot:load_zero_shot",
    "torchxrayvision": "torchxrayvision:load_xray_network",
    "monai": "monai.networks:load_monai_network",
}
"""By the text before a colon of `architecture`: a `LibraryLoader`."""
FOLDERS: dict[str, str] = {
    "open_clip_config.json": "zero_shot:load_zero_shot_folder",
    "config.json": "huggingface.folder:load_hub_folder",
    "configs": "monai.bundle:load_bundle",
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


def prefix_of(architecture: str) -> str | None:
    """The prefix in `LIBRARIES` that a name begins with, or None."""
    return next((known for known in LIBRARIES if architecture.startswith(f"{known}:")), None)


def load_library(prefix: str, architecture: str, options: LoaderOptions) -> LoadedNetwork:
    """The network that a name with a prefix in `LIBRARIES` stands for; InputError."""
    name = architecture.removeprefix(f"{prefix}:")
    found: LoadedNetwork = _loader(LIBRARIES[prefix])(name, options)
    return found


def load_folder(folder: Path, options: LoaderOptions) -> LoadedNetwork:
    """The network in a folder of some library; InputError where none of `FOLDERS` fits."""
    for inside, where in FOLDERS.items():
        if (folder / inside).exists():
            found: LoadedNetwork = _loader(where)(folder, options)
            return found
    raise InputError(
        f"{folder} holds no {TRAINED} (robust train), no config.json (transformers, timm), no "
        f"open_clip_config.json (open_clip) and no configs (MONAI bundle); name a folder that one "
        f"of these has written"
    )


def _loader(where: str) -> Any:
    module, _, function = where.partition(":")
    return getattr(importlib.import_module(f"robust.models.formats.{module}"), function)
