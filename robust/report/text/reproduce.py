"""Repeating an audit: its plan as TOML and the command line."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import tomli_w

from robust.plan.public import PATHS
from robust.plan.spec import NOT_KEPT
from robust.records import Report
from robust.units import eps_text, parse_eps

PLAN = "plan.toml"
_MODEL_GAPS = (
    ("weights", "--weights WEIGHTS"),
    ("file", "--file FILE"),
    ("folder", "--folder FOLDER"),
)
_DATA_GAPS = (
    ("path", "--data IMAGES"),
    ("table", "--table TABLE"),
    ("join", "--join TABLES"),
    ("file", "--file-column TEMPLATE"),
    ("mask", "--mask TEMPLATE"),
    ("target_mask", "--target-mask TEMPLATE"),
    ("splits", "--splits test=LIST"),
    ("where", "--where FILTER"),
    ("group_pattern", "--group-pattern PATTERN"),
)

_CONTROLS = re.compile("[\x80-\x9f\u202a-\u202e\u2066-\u2069]")
"""Characters that move a cursor or change the direction of text, and that TOML allows."""


def command_line(report: Report) -> str:
    """The command for the saved plan.toml; empty where classifier or cases came from Python.

    Paths and filters, which no report keeps, are words in capitals to be filled in.
    """
    model, data = report.plan.get("model"), report.plan.get("data")
    if model is None or data is None:
        return ""
    others = {
        "scenarios.surrogate": (report.plan.get("scenarios") or {}).get("surrogate"),
        "corruptions.reference": (report.plan.get("corruptions") or {}).get("reference"),
        "twin": report.plan.get("twin"),
    }
    gaps = [
        *(word for name, word in _MODEL_GAPS if _is_gap(model, name)),
        *(word for name, word in _DATA_GAPS if _is_gap(data, name)),
        *(
            f"--set {table}.{name}={name.upper()}"
            for table, spec in others.items()
            for name in PATHS
            if _is_gap(spec, name)
        ),
    ]
    return " ".join(["robust audit", PLAN, *gaps, "--out again"])


def _is_gap(table: Any, name: str) -> bool:
    return isinstance(table, Mapping) and table.get(name) in (NOT_KEPT, [NOT_KEPT], (NOT_KEPT,))


def plan_toml(report: Report) -> str:
    """The plan with every default filled in, eps as fractions; it reads back as an equal plan."""
    plan = _without_none(report.plan)
    text = tomli_w.dumps({key: value for key, value in plan.items() if value != {}})
    return _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _without_none(value: Any, norm: str = "Linf") -> Any:
    """Without None, which TOML does not have and which the plan takes for its default."""
    if isinstance(value, Mapping):
        norm = value.get("norm") or norm
        return {
            key: _all_eps(item, norm) if key in ("eps", "fit_eps") else _without_none(item, norm)
            for key, item in value.items()
            if item is not None
        }
    if isinstance(value, list | tuple):
        return [_without_none(item, norm) for item in value if item is not None]
    return value


def _all_eps(eps: Any, norm: str) -> Any:
    """One eps or several as text; what is no number stays as it is."""
    if isinstance(eps, list | tuple):
        return [_all_eps(one, norm) for one in eps if one is not None]
    return _eps(eps, norm) if isinstance(eps, int | float) else _without_none(eps, norm)


def _eps(eps: float, norm: str) -> float | str:
    if not 0 <= eps < math.inf:  # no plan has it, but a report.json may come from anybody
        return eps
    text = eps_text(eps, norm)
    return text if "/" in text and parse_eps(text) == eps else eps
