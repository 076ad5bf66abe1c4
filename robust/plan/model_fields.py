"""Which fields of `[model]` belong to which task and source."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from robust.errors import InputError
from robust.plan.paths import is_trained
from robust.plan.spec import SOURCES, ModelSpec, TaskName

OF_TASK: dict[TaskName, tuple[str, ...]] = {
    "classification": (
        "finding",
        "bag",
        "interpolation",
        "fit",
        "crop_pct",
        "prompts",
        "endpoint",
        "endpoint_token_env",
        "endpoint_output",
        "endpoint_layout",
        "endpoint_timeout",
        "endpoint_patience",
        "answers",
        "takes",
        "at_once",
        "queries",
    ),
    "segmentation": ("window", "overlap", "blend", "multiple_of", "settings"),
}
"""Fields that belong to one task; all others belong to both."""
WITH_TRAINED = ("folder", "allow_code", "threshold", "straight_through", "bag")
"""What a user may say beside a folder of `robust train`."""
_ASKED = ("factory", "endpoint")
USED_WITH: dict[str, tuple[str, ...]] = {
    "weights": ("architecture", "factory"),
    "weights_key": ("architecture", "factory", "folder"),
    "pretrained": ("architecture",),
    "settings": ("architecture",),
    "prompts": ("architecture", "folder"),
    "endpoint_token_env": ("endpoint",),
    "endpoint_output": ("endpoint",),
    "endpoint_layout": ("endpoint",),
    "endpoint_timeout": ("endpoint",),
    "endpoint_patience": ("endpoint",),
    "answers": _ASKED,
    "takes": ("factory",),
    "at_once": _ASKED,
    "queries": _ASKED,
}
"""Sources that a field of `[model]` belongs to; all others belong to any."""


def loader_arguments(spec: ModelSpec, task: TaskName) -> dict[str, Any]:
    """The fields of `[model]` as arguments of the task's loader.

    InputError for a field of the other task that is set.
    """
    (other,) = (name for name in OF_TASK if name != task)
    for name in OF_TASK[other]:
        if not _says_nothing(getattr(spec, name)):
            raise InputError(
                f"[model] {name} is for {other}, and the task is {task}; remove {name}"
            )
    known = {*ModelSpec.model_fields} - {"task", *OF_TASK[other]}
    return spec.model_dump(include=known)


def require_fitting_fields(fields: Mapping[str, Any]) -> None:
    """InputError unless exactly one source is given, and with it no field that it has no use for.

    A field that is passed over would be another model than the one that is meant.
    """
    given = [name for name, value in fields.items() if not _says_nothing(value)]
    sources = [name for name in SOURCES if name in given]
    if len(sources) != 1:
        raise InputError(
            f"[model] needs exactly one of {', '.join(SOURCES[:-1])} and {SOURCES[-1]}; "
            f"got {' and '.join(sources) or 'none'}"
        )
    (source,) = sources
    if source == "folder" and is_trained(Path(fields["folder"])):
        own = {*WITH_TRAINED, *(["fit"] if fields.get("fit") == "squash" else [])}
        if more := [name for name in given if name not in own]:
            raise InputError(f"[model] folder sets {more[0]} itself; remove {more[0]}")
    if "weights_key" in given and "weights" not in given and source != "folder":
        raise InputError("[model] weights_key chooses in a file of weights; name it: weights = ...")
    for name in given:
        if source not in USED_WITH.get(name, SOURCES):
            others = " or ".join(USED_WITH[name])
            raise InputError(f"[model] {name} belongs to {others}, not to {source}; remove {name}")


def _says_nothing(value: object) -> bool:
    """Whether a field has its default; 0 is the number of an output."""
    empty = isinstance(value, str | tuple | list) and value in ("auto", (), [])
    return value is None or value is False or empty
