"""A plan as others may read it: without paths and filters, which can name a patient or a place."""

from __future__ import annotations

import re

from robust.plan.spec import DataSpec, ModelSpec, Plan

NOT_KEPT = "not kept: fill this in"
"""Stands where the plan has a path of data or a filter, and cannot be mistaken for either."""
_SYNTHETIC = "phantom:"


def public_plan(plan: Plan) -> Plan:
    """The plan without the text of filters and the paths of data; of model files the last name.

    What the text chose is in the report's hashes of cases and pixels. Such a plan runs once the
    gaps are filled in, and until then is refused.
    """
    scenarios = plan.scenarios
    if scenarios.surrogate is not None:
        scenarios = scenarios.model_copy(update={"surrogate": _model(scenarios.surrogate)})
    return plan.model_copy(
        update={
            "model": None if plan.model is None else _model(plan.model),
            "data": None if plan.data is None else _data(plan.data),
            "scenarios": scenarios,
        }
    )


def _data(spec: DataSpec) -> DataSpec:
    if spec.path.startswith(_SYNTHETIC):
        return spec
    hidden = {name: NOT_KEPT for name in ("where", "group_pattern") if getattr(spec, name)}
    return spec.model_copy(update={"path": NOT_KEPT, **hidden})


def _model(spec: ModelSpec) -> ModelSpec:
    paths = {name: getattr(spec, name) for name in ("weights", "file", "folder")}
    return spec.model_copy(update={name: _last(path) for name, path in paths.items() if path})


def _last(path: str) -> str:
    """The last name in a path of any system."""
    parts = [part for part in re.split(r"[\\/]", path) if part not in ("", ".", "..")]
    return parts[-1] if parts else NOT_KEPT
