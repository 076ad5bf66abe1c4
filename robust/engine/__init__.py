"""A classifier and cases to a run: the plan, the runner, the store, the checks, the report."""

from __future__ import annotations

from robust.engine.auditing import audit, audit_plan, unfinished_report
from robust.engine.fitting import fit_detector
from robust.engine.guarding import Guard
from robust.engine.plan import Plan, load_plan, parse_eps

__all__ = [
    "Guard",
    "Plan",
    "audit",
    "audit_plan",
    "fit_detector",
    "load_plan",
    "parse_eps",
    "unfinished_report",
]
