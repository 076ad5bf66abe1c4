"""Several findings of one multilabel model in a plan: which are asked for, and the data of each."""

from __future__ import annotations

from typing import Any

from robust.plan.spec import DataSpec, ModelSpec

ALL = "all"
"""`finding` for every output of the model."""


def asks_for_several(model: ModelSpec) -> bool:
    """Whether `[model] finding` is `all` or a list."""
    return model.finding == ALL or isinstance(model.finding, tuple)


def finding_data(data: DataSpec, name: str, output: int) -> DataSpec:
    """The data of one finding.

    Cells that hold several findings are asked for its name; of several label columns that of its
    name is taken, and that of its number in a MedMNIST file.
    """
    changed: dict[str, Any] = {}
    if getattr(data, "separator", None) is not None:
        changed["positive"] = (name,)
    elif data.path.endswith(".npz"):
        changed["label"] = str(output)
    else:
        changed["label"] = name
    return data.model_copy(update=changed)
