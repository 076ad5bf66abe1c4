"""A plan as others may read it: without paths, filters and the secrets of an endpoint's address."""

from __future__ import annotations

from typing import TypeVar

from robust.plan.endpoints import bare_endpoint
from robust.plan.spec import NOT_KEPT, DataSpec, ModelSpec, Plan

Spec = TypeVar("Spec", bound=ModelSpec)

PATHS = ("weights", "file", "folder")
"""Fields of `[model]` that name a file or a folder."""
_SYNTHETIC = "phantom:"


def public_plan(plan: Plan) -> Plan:
    """The plan without the text of filters and the paths of data and of model files.

    What they chose is in the hashes of cases, pixels and weights. Such a plan runs once the
    gaps are filled in, and until then is refused.
    """
    scenarios = plan.scenarios
    if scenarios.surrogate is not None:
        scenarios = scenarios.model_copy(update={"surrogate": _model(scenarios.surrogate)})
    corruptions = plan.corruptions
    if corruptions is not None and corruptions.reference is not None:
        corruptions = corruptions.model_copy(update={"reference": _model(corruptions.reference)})
    return plan.model_copy(
        update={
            "model": None if plan.model is None else _model(plan.model),
            "data": None if plan.data is None else _data(plan.data),
            "twin": None if plan.twin is None else _model(plan.twin),
            "scenarios": scenarios,
            "corruptions": corruptions,
            "track": None,  # where results are logged is nobody else's business
        }
    )


def _data(spec: DataSpec) -> DataSpec:
    if spec.path.startswith(_SYNTHETIC):
        return spec
    hidden: dict[str, str | tuple[str, ...]] = {
        name: NOT_KEPT for name in ("where", "group_pattern") if getattr(spec, name)
    }
    hidden |= {name: (NOT_KEPT,) for name in ("table", "join") if getattr(spec, name)}
    for field in ("file", "mask", "region", "target_mask"):
        given = getattr(spec, field)
        named = (given,) if isinstance(given, str) else given or ()
        if any("/" in name for name in named):
            hidden[field] = NOT_KEPT  # a template with folders
    if isinstance(spec.splits, dict) and any(isinstance(v, str) for v in spec.splits.values()):
        hidden["splits"] = NOT_KEPT  # paths of lists; shares and columns name nobody
    return spec.model_copy(update={"path": NOT_KEPT, **hidden})


def _model(spec: Spec) -> Spec:
    hidden: dict[str, str] = {name: NOT_KEPT for name in PATHS if getattr(spec, name)}
    if spec.endpoint is not None:
        hidden["endpoint"] = bare_endpoint(spec.endpoint)
    return spec.model_copy(update=hidden)
