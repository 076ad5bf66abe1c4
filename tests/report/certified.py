"""Certificates and corruptions made by hand, and a report that has them."""

from __future__ import annotations

import dataclasses
from typing import Any

from robust.records import (
    CertifiedAccuracy,
    CertifiedPoint,
    CorruptedScores,
    CorruptionKind,
    CorruptionResult,
    Estimate,
    Report,
)
from tests.records.test_report import report

CASES = 100


def share(value: float) -> Estimate:
    """A share of 100 cases with an interval of a tenth to each side."""
    return Estimate(value, max(0.0, value - 0.1), min(1.0, value + 0.1), CASES, 50)


def bounds(**changes: Any) -> CertifiedAccuracy:
    """A proof of the network: half of the cases at 1/255, a tenth at 2/255, none at 3/255."""
    steps = [0.0, *(i / 10 / 255 for i in range(1, 29))]
    certified = [0.9, *(0.9 - i / 32 for i in range(1, 29))]
    made = CertifiedAccuracy(
        certificate="IntervalBounds",
        text="IntervalBounds()",
        norm="Linf",
        function="network",
        deterministic=True,
        alpha=None,
        clean=share(0.92),
        abstained=None,
        median_radius=share(1.3 / 255),
        cap=None,
        radii=tuple(steps),
        certified=tuple(map(share, certified)),
        points=(
            CertifiedPoint(1 / 255, share(0.59), share(0.83), 0),
            CertifiedPoint(2 / 255, share(0.28), share(0.64), 0),
            CertifiedPoint(3 / 255, share(0.0), share(0.41), 0),
        ),
        attack="PGD, APGD",
        compared=61,
        crossings=0,
        allowed=0,
    )
    return dataclasses.replace(made, **changes)


def smoothing(**changes: Any) -> CertifiedAccuracy:
    """A proof of the smoothed classifier in L2, up to 0.95."""
    radii = tuple(i / 20 for i in range(20))
    made = CertifiedAccuracy(
        certificate="RandomizedSmoothing",
        text="RandomizedSmoothing(sigma=0.25, samples=10000, alpha=0.001)",
        norm="L2",
        function="smoothed",
        deterministic=False,
        alpha=0.001,
        clean=share(0.77),
        abstained=share(0.06),
        median_radius=share(0.34),
        cap=0.953,
        radii=radii,
        certified=tuple(share(0.77 - 0.035 * i) for i in range(20)),
        points=tuple(
            CertifiedPoint(eps, share(low), share(high), crossed)
            for eps, low, high, crossed in (
                (0.25, 0.6, 0.72, 0),
                (0.5, 0.42, 0.66, 1),
                (0.75, 0.24, 0.55, 1),
            )
        ),
        attack="PGD with 32 draws",
        compared=70,
        crossings=1,
        allowed=1,
    )
    return dataclasses.replace(made, **changes)


KINDS = (
    ("jpeg_compression", "digital", 0.1),
    ("pixelate", "digital", 0.2),
    ("gaussian_noise", "noise", 0.88),
    ("speckle_noise", "noise", 0.5),
    ("motion_blur", "blur", 0.7),
    ("defocus_blur", "blur", 0.3),
    ("brightness_up", "colour", 0.25),
    ("contrast_down", "colour", 0.4),
    ("stamp", "task", 0.05),
    ("bias_field", "scanner", 0.15),
    ("ghosting", "scanner", 0.6),
)
"""Name, family, and how much of the errors that are possible severity 5 adds."""


def corruptions(**changes: Any) -> CorruptionResult:
    """Eleven kinds beside a reference model."""
    scores = tuple(
        CorruptedScores(
            kind=name,
            severity=severity,
            error=share(0.1 + 0.17 * harm * severity),
            median_l2=Estimate(severity * harm * 2, severity * harm, severity * harm * 3, 100, 50),
            median_linf=Estimate(0.1 * severity, 0.08 * severity, 0.12 * severity, 100, 50),
            attacked=None if name == "stamp" else share(min(1.0, 0.2 + 0.8 * harm)),
            reference=share(0.15 + 0.15 * harm * severity),
        )
        for name, _, harm in KINDS
        for severity in (1, 2, 3, 4, 5)
    )
    kinds = tuple(
        CorruptionKind(
            kind=name,
            family=family,
            definition="MedMNIST-C, pneumoniamnist" if family != "scanner" else "Gudbjartsson 1995",
            error=share(0.1 + 0.51 * harm),
            be=0.9 + 0.2 * harm,
            rbe=1.1,
            note="severities are not monotone by definition" if name == "pixelate" else "",
        )
        for name, family, harm in KINDS
    )
    made = CorruptionResult(
        modality="chest X-ray",
        clean=share(0.1),
        mean=share(0.29),
        kinds=kinds,
        scores=scores,
        reference="AlexNet",
        reference_clean=share(0.15),
        reference_mean=share(0.31),
        be=0.973,
        rbe=1.1,
    )
    return dataclasses.replace(made, **changes)


def certified_report(**changes: Any) -> Report:
    """A report with both certificates and all corruptions."""
    both = {"certificates": (bounds(), smoothing()), "corruptions": corruptions()}
    return report(**{**both, **changes})
