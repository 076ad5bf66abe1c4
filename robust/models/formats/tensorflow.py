"""Files of TensorFlow that torch cannot run, recognised by content and refused with a route."""

from __future__ import annotations

import re
from pathlib import Path

from robust.errors import InputError
from robust.files import open_regular, path_exists
from robust.models.formats.contract import LoadedNetwork, LoaderOptions

_HEAD = 1 << 16
"""Bytes of a file that are looked at."""
_TABLE_END = bytes.fromhex("57fb808b247547db")
"""The last eight bytes of a table of TensorFlow, which lists what a checkpoint holds."""
_SHARD = re.compile(r"\.data-\d{5}-of-\d{5}$")
_OPERATORS = (b"Placeholder", b"VariableV2", b"VarHandleOp", b"Const", b"Conv2D")
TO_ONNX = "python -m tf2onnx.convert"


def refuse_checkpoint(path: Path, options: LoaderOptions) -> LoadedNetwork:
    """InputError for a folder with a TensorFlow checkpoint."""
    raise _refused(path, "checkpoint")


def refuse_saved_model(path: Path, options: LoaderOptions) -> LoadedNetwork:
    """InputError for a folder with a SavedModel."""
    raise _refused(path, "SavedModel")


def refuse_tensorflow(path: Path) -> None:
    """InputError for a file of TensorFlow: of a checkpoint, a frozen graph or a SavedModel."""
    kind = None if path_exists(path) and path.is_dir() else _kind_of(path)
    if kind is not None:
        raise _refused(path, kind)


def _refused(path: Path, kind: str) -> InputError:
    routes = {
        "checkpoint": "in the environment that wrote it make ONNX of it: "
        f"{TO_ONNX} --checkpoint MODEL.meta --inputs IN:0 --outputs OUT:0 --output model.onnx",
        "frozen graph": "make ONNX of it: "
        f"{TO_ONNX} --graphdef MODEL.pb --inputs IN:0 --outputs OUT:0 --output model.onnx",
        "SavedModel": "make ONNX of it, "
        f"{TO_ONNX} --saved-model FOLDER --output model.onnx, or in Keras "
        "model.save('model.keras')",
    }
    makers = "" if kind == "SavedModel" else ", as NiftyNet and DLTK write them"
    what = {"SavedModel": "a SavedModel of TensorFlow"}.get(kind, f"a TensorFlow {kind}")
    return InputError(
        f"{path} is {what}{makers}, which torch cannot run: refused; {routes[kind]}; then give "
        f"that file"
    )


def _kind_of(path: Path) -> str | None:
    """`checkpoint`, `frozen graph`, `SavedModel`, or None for any other file."""
    if _SHARD.search(path.name):
        index = path.with_name(_SHARD.sub(".index", path.name))
        return "checkpoint" if path_exists(index) or _is_no_archive(path) else None
    with open_regular(path) as file:
        head = file.read(_HEAD)
        end = b""
        if len(head) >= len(_TABLE_END):
            file.seek(-len(_TABLE_END), 2)
            end = file.read()
    if end == _TABLE_END or head.startswith(b"model_checkpoint_path:"):
        return "checkpoint"
    if head[:1] == b"\x08" and head[2:3] == b"\x12" and any(op in head for op in _OPERATORS):
        return "SavedModel"
    if head[:1] != b"\x0a" or not any(op in head for op in _OPERATORS):
        return None
    return "checkpoint" if path.suffix == ".meta" or b"tensorflow" in head else "frozen graph"


def _is_no_archive(path: Path) -> bool:
    with open_regular(path) as file:
        return file.read(4) != b"PK\x03\x04"
