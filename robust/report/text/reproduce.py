"""How to run an audit again: its plan as TOML, and the command."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any

import tomli_w

from robust.records import Report
from robust.units import eps_text, parse_eps

PLAN = "plan.toml"

_TURNS = re.compile("[\x80-\x9f\u202a-\u202e\u2066-\u2069]")
"""What moves a cursor or turns text around, and TOML would hold as it is."""


def command(report: Report) -> str:
    """What to type once the plan is saved as plan.toml; empty where objects came from Python."""
    if report.plan.get("model") is None or report.plan.get("data") is None:
        return ""
    return shlex.join(["robust", "audit", PLAN, "--out", "again"])


def plan_toml(report: Report) -> str:
    """The plan with every default filled in, eps as people write it; reads back as an equal one."""
    plan = _given(report.plan)
    text = tomli_w.dumps({key: value for key, value in plan.items() if value != {}})
    return _TURNS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _given(value: Any, norm: str = "Linf") -> Any:
    """Without what is None, which TOML cannot say and the plan takes for its default."""
    if isinstance(value, Mapping):
        norm = value.get("norm") or norm
        return {
            key: [_eps(eps, norm) for eps in item]
            if key in ("eps", "fit_eps")
            else _given(item, norm)
            for key, item in value.items()
            if item is not None
        }
    return [_given(item, norm) for item in value] if isinstance(value, list | tuple) else value


def _eps(eps: float, norm: str) -> float | str:
    text = eps_text(eps, norm)
    return text if "/" in text and parse_eps(text) == eps else eps
