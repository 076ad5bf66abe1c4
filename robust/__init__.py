"""`robust` audits trained medical image classifiers. Importing it loads no torch."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from robust.cases import Case, Cases, open_cases
    from robust.engine import Guard, Plan, audit, audit_plan, fit_detector, load_plan
    from robust.errors import InputError
    from robust.models import Classifier, load_classifier
    from robust.records import Report

__all__ = [
    "Case",
    "Cases",
    "Classifier",
    "Guard",
    "InputError",
    "Plan",
    "Report",
    "audit",
    "audit_plan",
    "fit_detector",
    "load_classifier",
    "load_plan",
    "open_cases",
]

_HOMES = {
    "Case": "robust.cases",
    "Cases": "robust.cases",
    "Classifier": "robust.models",
    "Guard": "robust.engine",
    "InputError": "robust.errors",
    "Plan": "robust.engine",
    "Report": "robust.records",
    "audit": "robust.engine",
    "audit_plan": "robust.engine",
    "fit_detector": "robust.engine",
    "load_classifier": "robust.models",
    "load_plan": "robust.engine",
    "open_cases": "robust.cases",
}


def __getattr__(name: str) -> Any:
    """Load what is heavy when it is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module 'robust' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
