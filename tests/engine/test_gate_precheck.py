"""Gates that a plan cannot check are refused before the run."""

from __future__ import annotations

from typing import Any

import pytest

from robust.engine.gate_precheck import check_gates
from robust.errors import InputError
from robust.plan.load import make_plan


def test_a_gate_on_adaptive_attacks_needs_them_to_run() -> None:
    raw: dict[str, Any] = {
        "gates": {"withstands": 0.5},
        "detectors": [{"name": "LID"}],
        "detection": {"adaptive": 0},
    }
    with pytest.raises(InputError, match="withstands needs adaptive attacks"):
        check_gates(make_plan(raw, "plan"))
    with pytest.raises(InputError, match=r"withstands needs a \[\[detectors\]\] table"):
        check_gates(make_plan({"gates": {"withstands": 0.5}}, "plan"))
