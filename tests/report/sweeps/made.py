"""Sweeps made by hand: every number known, nothing trained."""

from __future__ import annotations

import itertools
import math

import numpy as np

from robust.records import (
    BandPoint,
    CurvePoint,
    Estimate,
    FittedValue,
    LearningCurve,
    PairedDifference,
    Spread,
    SweepAxis,
    SweepMember,
    SweepNumber,
    SweepReport,
    VarianceComponent,
    WantedAccuracy,
)

EPS = ("0.5/255", "1/255", "2/255", "4/255")
WORST = tuple(f"worst case, L∞ {eps}" for eps in EPS)
VANISH = "gradients vanish"


def near(value: float, reach: float = 0.04, cases: int = 200) -> Estimate:
    """An estimate with a symmetric interval within [0, 1]."""
    return Estimate(value, max(value - reach, 0.0), min(value + reach, 1.0), cases, cases // 2)


def change(value: float, reach: float, groups: int = 100) -> Estimate:
    """A difference with a symmetric interval."""
    return Estimate(value, value - reach, value + reach, 200, groups)


def sweep(
    architectures: tuple[str, ...] = ("small_cnn", "resnet18"),
    seeds: int = 3,
    fractions: tuple[str, ...] = ("0.25", "0.5", "1"),
    failed: bool = True,
) -> SweepReport:
    """Two architectures, three seeds, three fractions; one model failed, one is masked."""
    rng = np.random.default_rng(0)
    axes = (
        SweepAxis("architecture", architectures),
        SweepAxis("train fraction", fractions),
        SweepAxis("seed", tuple(map(str, range(seeds))), "random"),
    )
    members, numbers = [], []
    for place, (architecture, fraction, seed) in enumerate(
        itertools.product(architectures, fractions, axes[2].levels)
    ):
        name = f"{architecture}, train fraction {fraction}, seed {seed}"
        levels = {"architecture": architecture, "train fraction": fraction, "seed": seed}
        images = int(400 * float(fraction))
        why = (
            "training stopped: the loss is not a number in epoch 3" if failed and not place else ""
        )
        flags = ("synthetic images", *((VANISH,) if architecture == "resnet18" else ()))
        folder = f"runs/{place:03}"
        members.append(
            SweepMember(
                name, levels, folder, f"models/{place:03}", images, () if why else flags, why
            )
        )
        if why:
            continue
        lost = 2.2 * images**-0.5 + 0.02 * rng.standard_normal()
        clean = min(0.97 - lost + 0.03 * (architecture == "resnet18"), 1)
        numbers += [
            SweepNumber(name, "clean accuracy", "clean", near(clean)),
            SweepNumber(name, "AUC", "clean", near(min(clean + 0.03, 0.999), 0.02)),
            SweepNumber(name, "sensitivity", "clean", near(clean)),
        ]
        numbers += [
            SweepNumber(
                *(name, "robust accuracy", condition),
                near(max(clean - 0.18 * (k + 1) * (1 + 0.2 * (architecture == "small_cnn")), 0.02)),
            )
            for k, condition in enumerate(WORST)
        ]
        numbers.append(
            SweepNumber(name, "detector AUC", "KDE, PGD, L∞ 4/255", near(0.7 + 0.1 * rng.random()))
        )
    return SweepReport(
        "Phantom chest X-rays: architecture, seed and size of the training set",
        axes,
        tuple(members),
        tuple(numbers),
        differences(architectures[-1], architectures[0]),
        (spread("clean accuracy", ""), spread("robust accuracy", WORST[-1])),
        tuple(curve(name) for name in architectures),
        ("The test images are the same for all models.",),
    )


def differences(other: str, baseline: str) -> tuple[PairedDifference, ...]:
    """Shown and remaining, shown and not remaining, not shown, void, equal, missing."""
    rows = (
        ("clean accuracy", "", change(0.083, 0.031), False, ""),
        ("AUC", "", change(0.021, 0.0195), False, ""),
        ("robust accuracy", WORST[0], change(-0.052, 0.02), False, ""),
        ("robust accuracy", WORST[1], change(0.01, 0.04), False, ""),
        ("robust accuracy", WORST[2], change(0.151, 0.06), False, ""),
        ("robust accuracy", WORST[3], change(0.0, 0.02), True, ""),
        (
            *("detector AUC", "KDE, PGD, L∞ 4/255", None, False),
            "detectors have no numbers case by case in both runs",
        ),
    )
    return tuple(
        PairedDifference(measure, condition, baseline, other, found, equal, why)
        for measure, condition, found, equal, why in rows
    )


def spread(measure: str, condition: str) -> Spread:
    """Seed with three levels, what is left, and test cases with an interval."""
    why = "3 seeds: an interval needs at least 5"
    parts = (
        VarianceComponent("seed", 3, 0.0006, 0.6, None, None, why),
        VarianceComponent("residual", 0, 0.0001, 0.1, 0.00005, 0.0004, ""),
        VarianceComponent("test cases", 0, 0.0003, 0.3, 0.0002, 0.0005, ""),
    )
    return Spread(measure, condition, parts, "REML, by hand", ("The seed has few levels.",))


def curve(series: str, misfit: str = "", undecided: str = "") -> LearningCurve:
    """1 - measure = 0.03 + 2.2 n^-0.5."""

    def law(n: float) -> float:
        return 0.97 - 2.2 / math.sqrt(n)

    points = tuple(CurvePoint(n, near(law(n), 0.05), 3) for n in (100, 200, 400))
    band = tuple(
        BandPoint(float(n), law(n), law(n) - 0.03, min(law(n) + 0.03, 1.0))
        for n in np.geomspace(100, 1600, 20)
    )
    wanted = (
        WantedAccuracy(0.9, 988.2, 700.0, None, ""),
        WantedAccuracy(0.99, None, None, None, "the fitted curve ends at 0.970"),
    )
    return LearningCurve(
        *("clean accuracy", "", series, points, band, FittedValue(0.03, 0.0, 0.08)),
        *(FittedValue(2.2, 1.1, None), FittedValue(0.5, 0.3, None), wanted, misfit, undecided),
    )


def not_a_number() -> Estimate:
    """What a broken model leaves."""
    return Estimate(math.nan, math.nan, math.nan, 200, 100)
