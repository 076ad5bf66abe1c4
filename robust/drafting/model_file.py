"""Looks at a model file or folder: its format by content, outputs, channels, size, architecture."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from robust.drafting.architecture_index import Shapes
from robust.drafting.matching import Match, find_matches
from robust.errors import InputError, excerpt
from robust.files import cannot, json_table, open_regular, path_exists, read_json_table
from robust.plan.code import names_code
from robust.plan.paths import TRAINED

MOST_JSON = 16 << 20
"""Bytes of a description in a model file."""
REFUSED = {
    "saved_model.pb": "a TensorFlow SavedModel; export it to ONNX (python -m tf2onnx) or save it "
    "as .keras",
    "tf_model.h5": "TensorFlow weights of Hugging Face; convert them: "
    "from_pretrained(..., from_tf=True).save_pretrained(...)",
}
"""Files in a folder that tell a format which is not read, and what to do."""


@dataclass(frozen=True)
class ModelFacts:
    """What a model file shows of itself."""

    kind: str
    """In words."""
    fields: Mapping[str, Any]
    """Fields of `[model]` that name it."""
    outputs: int | None = None
    names: tuple[str, ...] = ()
    """Of the outputs, in order."""
    channels: int | None = None
    size: tuple[int, int] | None = None
    matches: tuple[Match, ...] = ()
    """Architectures that the weights fit."""
    layers: tuple[str, ...] = ()
    """First names of the tensors, where no architecture fits."""
    prepares: bool = False
    """Whether the format or the architecture says how images are normalised and resized."""
    notes: tuple[str, ...] = field(default=())

    @property
    def complete(self) -> bool:
        """Whether nothing is missing to load it."""
        return "weights" not in self.fields or bool({"architecture", "factory"} & {*self.fields})


def look_at_model(given: str, architecture: str | None = None) -> ModelFacts:
    """What `given` is: a file, a folder, `library:name`, or `package.module:function`.

    `architecture` is that of a file of weights, where the user has named it. InputError for what is
    no model.
    """
    path = Path(given).expanduser()
    if path_exists(path):
        return _folder(path) if path.is_dir() else _file(path, architecture)
    library, colon, name = given.partition(":")
    if colon and name and not _looks_like_path(given):
        if library in ("timm", "torchvision"):
            return _pretrained(given)
        from robust.models.formats.registry import LIBRARIES

        if library in LIBRARIES:
            return ModelFacts(f"a model of {library}", {"architecture": given}, prepares=True)
        if names_code(given):
            return ModelFacts("a function of Python", {"factory": given})
    raise InputError(
        f"no such model: {excerpt(given, 200)}; name a file, a folder, an architecture with its "
        f"library (timm:resnet18) or a function (package.module:function)"
    )


def _looks_like_path(given: str) -> bool:
    return "/" in given.partition(":")[0] or "\\" in given or given[1:3] == ":\\"


def _pretrained(name: str) -> ModelFacts:
    from robust.models.architectures import find_library

    library, rest = find_library(name)
    fields = {"architecture": f"{library}:{rest}", "pretrained": True}
    return ModelFacts(f"{library}'s own weights", fields, outputs=1000, channels=3, prepares=True)


def _folder(path: Path) -> ModelFacts:
    for name, what in REFUSED.items():
        if path_exists(path / name):
            raise InputError(f"{path} is {what}")
    from robust.models.formats.registry import FOLDERS

    if path_exists(path / TRAINED):
        content = read_json_table(path / TRAINED)
        classes = content.get("classes")
        names = tuple(map(str, classes)) if isinstance(classes, list) else ()
        return ModelFacts(
            "a folder of robust train",
            {"folder": path.as_posix()},
            outputs=len(names) or None,
            names=names,
            prepares=True,
        )
    if path_exists(path / "config.json"):
        return _hugging_face(path)
    if any(path_exists(path / inside) for inside in FOLDERS):
        return ModelFacts("a folder of another library", {"folder": path.as_posix()}, prepares=True)
    weights = [
        one for one in sorted(path.iterdir()) if one.suffix in (".pth", ".pt", ".ckpt", ".bin")
    ]
    hint = f"; did you mean {weights[0]}?" if weights else ""
    raise InputError(f"{path} holds no model that robust knows{hint}")


def _hugging_face(path: Path) -> ModelFacts:
    config = read_json_table(path / "config.json")
    labels = config.get("id2label") or config.get("label_names") or {}
    names = tuple(map(str, labels.values() if isinstance(labels, dict) else labels))
    count = config.get("num_classes") or config.get("num_labels") or len(names) or None
    size = config.get("image_size")
    return ModelFacts(
        "a folder of Hugging Face",
        {"folder": path.as_posix()},
        outputs=count if isinstance(count, int) else None,
        names=names,
        channels=config.get("num_channels") if config.get("num_channels") in (1, 3) else None,
        size=(size, size) if isinstance(size, int) else None,
        prepares=True,
    )


def _file(path: Path, architecture: str | None) -> ModelFacts:
    with open_regular(path) as file:
        try:
            head = file.read(16)
        except OSError as error:
            raise InputError(cannot(path, "be read", error)) from None
    whole = {"file": path.as_posix()}
    if not head:
        raise InputError(f"{path} is empty; name a model file")
    if head.startswith(b"PK\x03\x04"):
        inside = _members(path)
        if "config.json" in inside and "model.weights.h5" in inside:
            return _keras(path, inside)
        if any("constants.pkl" in name or "/code/" in name for name in inside):
            return ModelFacts("TorchScript", whole)
        if any(".json" in name and "model" in name for name in inside) or path.suffix == ".pt2":
            return ModelFacts("an exported program", whole)
        if any(name.startswith(("word/", "xl/")) for name in inside):
            raise InputError(f"{path} is an Office document, not a model; name a model file")
        return _weights(path, architecture)
    if head.startswith(b"\x89HDF"):
        return ModelFacts("Keras, HDF5", whole)
    if head[4:8] == b"TFL3":
        return ModelFacts("TensorFlow Lite", whole)
    if path.suffix.lower() == ".onnx":
        return _onnx(path)
    if path.suffix == ".safetensors" or head.startswith(b"\x80"):
        return _weights(path, architecture)
    from robust.cases.formats import format_name

    kind = format_name(head + bytes(132))
    what = f"is {kind}, not a model" if kind is not None else "is no model that robust knows"
    raise InputError(
        f"{path} {what}; name weights (.pth, .safetensors), a TorchScript, .pt2, "
        f".onnx or .keras file, or a folder"
    )


def _members(path: Path) -> set[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return set(archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError):
        raise InputError(f"{path} is a broken archive; copy or save it again") from None


def _weights(path: Path, architecture: str | None) -> ModelFacts:
    from robust.models.weights import read_state_dict

    state = read_state_dict(path)
    shapes: Shapes = {name: tuple(value.shape) for name, value in state.items()}
    matches = tuple(find_matches(shapes))
    if architecture is not None:
        chosen = [m for m in matches if architecture in (m.name, m.name.partition(":")[2])]
        matches = tuple(chosen[:1])
    fields: dict[str, Any] = {"weights": path.as_posix()}
    if architecture is not None:
        fields = {"architecture": architecture, **fields}
    elif matches:
        fields = {"architecture": matches[0].name, **fields}
    return ModelFacts(
        "weights",
        fields,
        outputs=matches[0].outputs if matches else None,
        channels=matches[0].channels if matches else None,
        matches=matches,
        layers=() if matches else tuple(shapes)[:4],
        prepares=True,
    )


def _keras(path: Path, inside: set[str]) -> ModelFacts:
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo("config.json")
        content = archive.read(info) if info.file_size <= MOST_JSON else b"{}"
    config = json_table(content, path).get("config") or {}
    layers = config.get("layers") if isinstance(config, dict) else None
    outputs = shape = None
    for layer in layers if isinstance(layers, list) else []:
        inner = layer.get("config", {}) if isinstance(layer, dict) else {}
        shape = shape or inner.get("batch_shape") or inner.get("batch_input_shape")
        outputs = inner.get("units", outputs)
    channels = size = None
    if isinstance(shape, list) and len(shape) == 4:
        channels = shape[3] if shape[3] in (1, 3) else None
        size = (shape[1], shape[2]) if shape[1] and shape[2] else None
    count = outputs if isinstance(outputs, int) else None
    return ModelFacts("Keras 3", {"file": path.as_posix()}, count, (), channels, size)


def _onnx(path: Path) -> ModelFacts:
    whole = {"file": path.as_posix()}
    try:
        import onnx
    except ImportError:
        return ModelFacts("ONNX", whole)
    try:
        graph = onnx.load(path, load_external_data=False).graph
    except Exception:  # noqa: BLE001  (a broken file makes it raise of every kind)
        raise InputError(f"{path} is not an ONNX file that can be read; export it again") from None
    weights = {one.name for one in graph.initializer}
    inputs = [one for one in graph.input if one.name not in weights]
    shape = _onnx_shape(inputs[0]) if inputs else []
    last = _onnx_shape(graph.output[0]) if graph.output else []
    channels = size = None
    if len(shape) == 4:
        place = 1 if shape[1] in (1, 3) else 3
        channels = shape[place] if shape[place] in (1, 3) else None
        sides = shape[2:] if place == 1 else shape[1:3]
        size = (sides[0], sides[1]) if all(sides) else None
    outputs = last[-1] if len(last) == 2 and last[-1] else None
    notes: tuple[str, ...] = ()
    if len(inputs) > 1:
        notes = (f"The file has {len(inputs)} inputs; robust audits networks of one image.",)
    return ModelFacts("ONNX", whole, outputs, (), channels, size, notes=notes)


def _onnx_shape(value: Any) -> list[int]:
    return [int(side.dim_value) for side in value.type.tensor_type.shape.dim]
