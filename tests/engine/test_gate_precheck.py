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


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ({"gates": {"certified_accuracy": 0.5}}, r"needs a \[\[certificates\]\] table"),
        ({"gates": {"corrupted_accuracy": 0.5}}, r"needs a \[corruptions\] table"),
        (
            {"gates": {"certified_accuracy": {"IntervalBound 1/255": 0.5}}},
            "no certificate 'IntervalBound'; did you mean IntervalBounds?",
        ),
        ({"gates": {"certified_accuracy": {"2/255": 0.5}}}, "no certificate reports eps 2/255"),
    ],
)
def test_gates_on_proofs_and_corruptions_need_them_to_run(raw: dict[str, Any], said: str) -> None:
    certificates = [{"name": "IntervalBounds", "eps": ["1/255"]}]
    known = {} if said.startswith("needs") else {"certificates": certificates}
    with pytest.raises(InputError, match=said):
        check_gates(make_plan({**raw, **known}, "plan"))
    gates = {"certified_accuracy": {"IntervalBounds 1/255": 0.5}, "corrupted_accuracy": 0.5}
    fine = {"gates": gates, "certificates": certificates, "corruptions": {}}
    check_gates(make_plan(fine, "plan"))
