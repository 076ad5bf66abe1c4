"""model.json of a folder that `robust train` wrote: found, checked, and bound to its weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pydantic
from pydantic import BaseModel, ConfigDict

from robust.errors import InputError
from robust.files import MOST_TEXT, read_bytes
from robust.models.adapter import Adapter
from robust.models.weights import weights_hash
from robust.plan.paths import TRAINED, require_trained

MODEL, WEIGHTS = TRAINED, "model.safetensors"
VERSION = 1
"""Goes up whenever an older reader would misread a newer model.json."""
File = TypeVar("File", bound=BaseModel)
Read = TypeVar("Read")


class AnyModelFile(BaseModel):
    """What model.json of either task says alike."""

    model_config = ConfigDict(frozen=True)

    architecture: str
    classes: tuple[str, ...]


def read_either(folder: Path) -> tuple[AnyModelFile, dict[str, Any]]:
    """What model.json says alike of a classifier and a segmenter, and its whole content."""
    content = _read_content(folder)
    return _validated(folder, AnyModelFile, content), content


def read_checked(folder: Path, kind: type[File]) -> tuple[File, dict[str, Any]]:
    """model.json of a folder: the part that is checked as `kind`, and its whole content.

    Raises InputError, also where it is that of a model for another task.
    """
    content = _read_content(folder)
    found, expected = (
        "segmentation" if made else "classification"
        for made in (content.get("task") == "segmentation", "task" in kind.model_fields)
    )
    if found != expected:
        raise InputError(
            f"{folder / MODEL} is that of a model for {found}, and {expected} is asked for: set "
            f"task = '{found}' in [model], with data of that task"
        )
    return _validated(folder, kind, content), content


def _read_content(folder: Path) -> dict[str, Any]:
    """The content of model.json, not checked but for its version; InputError."""
    path = folder / MODEL
    require_trained(folder)
    text = read_bytes(path, MOST_TEXT)
    # Version first: what a newer one holds may not be checked by this one's rules.
    content = _checked(path, lambda: pydantic.TypeAdapter(dict[str, Any]).validate_json(text))
    if content.get("version") != VERSION:
        raise InputError(
            f"{path} has version {content.get('version')!r}, this version of robust reads "
            f"{VERSION}; use the version that wrote it"
        )
    return content


def _validated(folder: Path, kind: type[File], content: dict[str, Any]) -> File:
    return _checked(folder / MODEL, lambda: kind.model_validate(content))


def _checked(path: Path, read: Callable[[], Read]) -> Read:
    """What `read` returns; InputError where it finds another content than that of a training."""
    try:
        return read()
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise InputError(
            f"{path} differs from what `robust train` writes: {f'{where}: ' if where else ''}"
            f"{first['msg']}; train again or copy the folder again"
        ) from None


def require_same_weights(model: Adapter, expected: str, folder: Path) -> None:
    """InputError where the weights of a folder are not those that its model.json names."""
    if weights_hash(model) != expected:
        raise InputError(
            f"{folder / WEIGHTS} is not the file that {MODEL} was written for: its weights have "
            f"another hash; copy both files again from one training"
        )
