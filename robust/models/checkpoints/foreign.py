"""Recognises files and folders that are no torch weights, and says how to give them."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import BinaryIO

from robust.errors import InputError
from robust.files import open_regular
from robust.models.formats.tensorflow import refuse_tensorflow
from robust.plan.paths import TRAINED

_TO_ONNX = "convert it to ONNX with tf2onnx and give that as file"
_FOLDERS = (
    (TRAINED, "as robust train writes it; give it as folder, without architecture"),
    ("open_clip_config.json", "as open_clip writes it; give it as folder, without architecture"),
    ("config.json", "as Hugging Face writes it; give it as folder, without architecture"),
    ("saved_model.pb", f"but a TensorFlow SavedModel; {_TO_ONNX}"),
    ("configs/metadata.json", "but a MONAI bundle; give it as folder, without architecture"),
    ("MLmodel", "but one of MLflow; give the .pth in its data folder"),
)
"""What a file in a folder says of it."""
_KERAS = "an HDF5 file as Keras writes it"
_PROGRAMS = {
    ".onnx": "an ONNX file",
    ".keras": "a Keras file",
    ".h5": _KERAS,
    ".hdf5": _KERAS,
    ".tflite": "a TensorFlow Lite file",
    ".pt2": "an exported program",
}
"""Files that hold a whole network."""
_OTHERS = {
    ".pb": f"a TensorFlow graph; {_TO_ONNX}",
    ".mlmodel": "a Core ML file; give the network that it was made of",
    ".engine": "a TensorRT engine; give the network that it was made of",
    ".pdparams": "a PaddlePaddle file; convert it to ONNX with paddle2onnx and give that as file",
    ".msgpack": "a Flax file; save its arrays as a state dict of torch first",
    ".npz": "a numpy archive; save its arrays as a state dict of torch first",
}
_LFS = "a pointer of Git LFS, not the file itself; fetch it with git lfs pull"
_WEIGHTS = (".pth", ".pt", ".ckpt", ".bin", ".safetensors")


def refuse_foreign(path: Path) -> None:
    """InputError for a folder, and for a file of another format that was given as weights."""
    refuse_unreadable(path)
    what = _PROGRAMS.get(path.suffix.lower()) or _program(path)
    if what is not None:
        raise InputError(
            f"{path} is {what}, which holds a whole network; give it as file, without architecture"
        )


def refuse_unreadable(path: Path) -> None:
    """InputError for a folder that was given as a file, and for formats that are not read."""
    if os.path.isdir(path):
        raise InputError(f"{path} is a folder, not a file, {_folder(path)}")
    refuse_tensorflow(path)
    what = _OTHERS.get(path.suffix.lower())
    if what is not None:
        raise InputError(f"{path} is {what}")
    with open_regular(path) as file:
        start = file.read(64)
    if start.startswith(b"version https://git"):
        raise InputError(f"{path} is {_LFS}")
    if start.lstrip()[:5].lower() in (b"<html", b"<!doc"):
        raise InputError(f"{path} is a web page, not the file itself; download it again")


def _folder(path: Path) -> str:
    for inside, what in _FOLDERS:
        if (path / inside).exists():
            return what
    files = sorted(one.name for one in path.iterdir() if one.suffix in _WEIGHTS)
    if files:
        return f"of weights; give a file in it: {', '.join(files[:4])}"
    return f"of weights; give a file that ends in {', '.join(_WEIGHTS)}"


def _program(path: Path) -> str | None:
    """What the first bytes of a file say; None where torch may read it as weights."""
    with open_regular(path) as file:
        start = file.read(16)
        if start.startswith(b"\x89HDF\r\n\x1a\n"):
            return _KERAS
        if start[4:8] == b"TFL3":
            return _PROGRAMS[".tflite"]
        if start.startswith(b"PK"):
            return _of_archive(file)
    return None


def _of_archive(file: BinaryIO) -> str | None:
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
    except Exception:  # noqa: BLE001  (a broken one raises of every kind, and is named elsewhere)
        return None
    if "model.weights.h5" in names:
        return _PROGRAMS[".keras"]
    exported = any(name.endswith("/models/model.json") for name in names)
    return _PROGRAMS[".pt2"] if exported else None
