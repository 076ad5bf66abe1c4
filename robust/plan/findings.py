"""Several findings of one multilabel model: whether a plan asks for them."""

from __future__ import annotations

from robust.plan.spec import ModelSpec

ALL = "all"
"""`finding` for every output of the model."""


def asks_for_several(model: ModelSpec) -> bool:
    """Whether `[model] finding` is `all` or a list."""
    return model.finding == ALL or isinstance(model.finding, tuple)
