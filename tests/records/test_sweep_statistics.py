"""Statistics of a sweep come back from JSON as they were."""

from __future__ import annotations

import dataclasses
import json

from robust.records import (
    BandPoint,
    CurvePoint,
    Estimate,
    FittedValue,
    LearningCurve,
    PairedDifference,
    Spread,
    VarianceComponent,
    WantedAccuracy,
    record_from,
)

MEAN = Estimate(0.8, 0.7, 0.9, 300, 300)


def test_every_statistic_comes_back_from_json() -> None:
    seed = VarianceComponent("seed", 3, 1e-4, 0.5, None, None, "3 seeds")
    made = (
        Spread("robust accuracy", "PGD Linf 1/255", (seed,), "REML", ("A note.",)),
        PairedDifference("accuracy", "", "small", "large", None, False, "no pair of models"),
        LearningCurve(
            *("accuracy", "", "architecture small", (CurvePoint(100, MEAN, 5),)),
            (BandPoint(100, 0.8, 0.7, 0.9),),
            *(FittedValue(0.1, 0.0, 0.2), FittedValue(1.0, 0.5, None), FittedValue(0.5, 0.1, 2.0)),
            (WantedAccuracy(0.95, None, None, None, "above what the curve reaches"),),
            "",
        ),
    )
    for one in made:
        plain = json.loads(json.dumps(dataclasses.asdict(one)))
        assert record_from(type(one), plain) == one
