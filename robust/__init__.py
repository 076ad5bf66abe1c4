"""`robust` audits trained medical image models. Importing it loads no torch."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from robust.auditing import audit, audit_findings, audit_plan
    from robust.cases import Case, Cases, cases_from, open_cases
    from robust.errors import InputError
    from robust.guard import Guard, fit_detector
    from robust.models import BlackBox, Classifier, Segmenter, load_classifier, load_segmenter
    from robust.plan import Plan, load_plan
    from robust.ranking import rank_images
    from robust.report import Report, load_report

__all__ = [
    "BlackBox",
    "Case",
    "Cases",
    "Classifier",
    "Guard",
    "InputError",
    "Plan",
    "Report",
    "Segmenter",
    "audit",
    "audit_findings",
    "audit_plan",
    "cases_from",
    "fit_detector",
    "load_classifier",
    "load_plan",
    "load_report",
    "load_segmenter",
    "open_cases",
    "rank_images",
]

_HOMES = {
    "BlackBox": "robust.models",
    "Case": "robust.cases",
    "Cases": "robust.cases",
    "Classifier": "robust.models",
    "Guard": "robust.guard",
    "InputError": "robust.errors",
    "Plan": "robust.plan",
    "Report": "robust.report",
    "Segmenter": "robust.models",
    "audit": "robust.auditing",
    "audit_findings": "robust.auditing",
    "audit_plan": "robust.auditing",
    "cases_from": "robust.cases",
    "fit_detector": "robust.guard",
    "load_classifier": "robust.models",
    "load_plan": "robust.plan",
    "load_report": "robust.report",
    "load_segmenter": "robust.models",
    "open_cases": "robust.cases",
    "rank_images": "robust.ranking",
}


def __getattr__(name: str) -> Any:
    """Load what is heavy when it is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module 'robust' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
