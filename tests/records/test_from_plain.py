"""Records from plain values: every kind of annotation, and fields that do not fit."""

from __future__ import annotations

import dataclasses
import json

import pytest

from robust.records import AdaptiveResult, AppliedAcceleration, Estimate, record_from

RATE = Estimate(0.5, 0.4, 0.6, 10, 5)


def test_mappings_optionals_and_tuples_come_back() -> None:
    rates = {"0.05": RATE}
    areas = RATE, None, RATE, None, RATE, None
    shares = rates, rates, {"PGD": 3}, True, False
    made = AdaptiveResult("LID", {"PGD": "PGD()"}, RATE, rates, {"0.05": None}, *areas, *shares)
    plain = json.loads(json.dumps(dataclasses.asdict(made)))
    assert record_from(AdaptiveResult, plain) == made
    assert record_from(AppliedAcceleration | None, None) is None
    pairs = record_from(tuple[tuple[float, float], ...], [[0, 1], [2, 3]])
    assert pairs == ((0, 1), (2, 3))
    assert record_from(tuple[int, int] | None, [4, 5]) == (4, 5)


def test_fields_that_do_not_fit_are_refused() -> None:
    plain = dataclasses.asdict(RATE)
    with pytest.raises(KeyError, match="extra"):
        record_from(Estimate, {**plain, "extra": 1})
    with pytest.raises(TypeError, match="groups"):
        record_from(Estimate, {k: v for k, v in plain.items() if k != "groups"})
