"""Looks at a model that a user names: which field of `[model]` it is, and what weights fit."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robust.drafting.architecture_index import Shapes
from robust.drafting.matching import Match, find_matches
from robust.errors import InputError, excerpt
from robust.files import cannot, open_regular, path_exists
from robust.models.formats.registry import FILES, FOLDERS, prefix_of
from robust.models.formats.tensorflow import refuse_tensorflow
from robust.plan.code import names_code
from robust.plan.endpoints import bare_endpoint
from robust.plan.paths import TRAINED


@dataclass(frozen=True)
class ModelFacts:
    """What is known of a model."""

    kind: str
    """In words."""
    fields: Mapping[str, Any]
    """Fields of `[model]` that name it."""
    outputs: int | None = None
    names: tuple[str, ...] = ()
    """Of the outputs, in order."""
    matches: tuple[Match, ...] = ()
    """Architectures that the weights fit."""
    layers: tuple[str, ...] = ()
    """First names of the tensors, where no architecture fits."""
    multilabel: bool = False
    """Whether its format says that each output is a finding of its own."""
    prompted: bool = False
    """Whether a text for each class is still to be given."""
    prepares: bool = True
    """Whether loading it shows how images are normalised."""

    @property
    def complete(self) -> bool:
        """Whether nothing is missing to load it."""
        named = "weights" not in self.fields or bool({"architecture", "factory"} & {*self.fields})
        return named and not self.prompted


def look_at_model(given: str, architecture: str | None = None) -> ModelFacts:
    """What `given` is: a file, a folder, `library:name`, an endpoint or `package.module:function`.

    `architecture` is that of a file of weights, where the user has named it. InputError for what is
    no model.
    """
    path = Path(given).expanduser()
    if given.startswith(("http://", "https://")):
        return ModelFacts(f"the endpoint {bare_endpoint(given)}", {"endpoint": given})
    if path_exists(path):
        return _folder(path) if path.is_dir() else _file(path, architecture)
    prefix = prefix_of(given)
    if prefix is not None:
        return ModelFacts(f"a model of {prefix}", {"architecture": given})
    if given.startswith(("timm:", "torchvision:")):
        library = given.partition(":")[0]
        fields = {"architecture": given, "pretrained": True}
        return ModelFacts(f"{library}'s own weights", fields)
    if names_code(given):
        return ModelFacts("a function of Python", {"factory": given})
    raise InputError(
        f"no such model: {excerpt(given, 200)}; name a file, a folder, an architecture with its "
        f"library (timm:resnet18), a function (package.module:function) or an endpoint (http://...)"
    )


def _folder(path: Path) -> ModelFacts:
    whole = {"folder": path.as_posix()}
    if path_exists(path / TRAINED):
        from robust.models.model_json import read_either

        names = read_either(path)[0].classes
        return ModelFacts("a folder of robust train", whole, len(names), names)
    if any(path_exists(path / inside) for inside in FOLDERS):
        return ModelFacts("a folder", whole)
    weights = [
        one for one in sorted(path.iterdir()) if one.suffix in (".pth", ".pt", ".ckpt", ".bin")
    ]
    hint = f"; did you mean {weights[0]}?" if weights else ""
    raise InputError(f"{path} holds no model that robust knows{hint}")


def _file(path: Path, architecture: str | None) -> ModelFacts:
    """A file, by its content where its suffix leaves it open."""
    with open_regular(path) as file:
        try:
            head = file.read(16)
        except OSError as error:
            raise InputError(cannot(path, "be read", error)) from None
    if not head:
        raise InputError(f"{path} is empty; name a model file")
    whole = ModelFacts("a file", {"file": path.as_posix()})
    if path.suffix.lower() in FILES:
        return whole
    refuse_tensorflow(path)
    if head.startswith(b"PK\x03\x04"):
        inside = _members(path)
        if any(name.startswith(("word/", "xl/")) for name in inside):
            raise InputError(f"{path} is an Office document, not a model; name a model file")
        script = any("constants.pkl" in name or "/code/" in name for name in inside)
        exported = any(".json" in name and "model" in name for name in inside)
        program = script or exported or path.suffix == ".pt2"
        return whole if program else _weights(path, architecture)
    if path.suffix == ".safetensors" or head.startswith(b"\x80"):
        return _weights(path, architecture)
    from robust.cases.formats import format_name

    kind = format_name(head + bytes(132))
    what = f"is {kind}, not a model" if kind is not None else "is no model that robust knows"
    raise InputError(
        f"{path} {what}; name weights (.pth, .safetensors), a whole network (TorchScript, .pt2, "
        f"{', '.join(FILES)}), or a folder"
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
    layers = () if matches else tuple(shapes)[:4]
    return ModelFacts("weights", fields, matches=matches, layers=layers)
