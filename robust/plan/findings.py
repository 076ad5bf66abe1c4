"""Names of findings, and whether a plan asks for several of one multilabel model."""

from __future__ import annotations

import re

from robust.plan.spec import ModelSpec

ALL = "all"
"""`finding` for every output of the model."""


def same_finding(name: str, other: str) -> bool:
    """Whether two names mean one finding."""
    return plain_name(name) == plain_name(other)


def plain_name(name: str) -> str:
    """A name without what makes no difference: capitals, blanks, hyphens and underscores."""
    return re.sub(r"[\s_-]+", " ", name).strip().casefold()


def asks_for_several(model: ModelSpec) -> bool:
    """Whether `[model] finding` is `all` or a list."""
    return model.finding == ALL or isinstance(model.finding, tuple)
