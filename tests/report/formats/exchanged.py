"""A report with a number of every kind, made by hand."""

from __future__ import annotations

import dataclasses

from robust.records import (
    AttackResult,
    AuditedData,
    AuditedModel,
    CopiedImages,
    CopyPair,
    Estimate,
    Flag,
    Report,
    Scores,
    Subgroup,
    Survival,
    Timings,
    Twin,
    TwinAttacked,
    TwinShownImages,
)
from tests.report.certified import bounds, corruptions
from tests.report.detected import ATTACKS, detection, estimate, evaded, report_on, scenario

EPS = 4 / 255
DATES = Timings(1.0, audited="2026-11-26T12:46:02Z", reported="2026-11-26T13:00:00Z")
ENVIRONMENT = {
    "robust": "0.2.0",
    "python": "3.11.7",
    "platform": "Linux-6",
    "device": "cpu",
    "threads": 2,
    "torch": "2.14.1+cpu",
    "scikit-learn": "1.9.1",
}


def scores(robust: float) -> Scores:
    """Of an attack that leaves this share correct; 0.9 of all cases are correct without it."""
    return Scores(
        accuracy=estimate(0.9 * robust),
        robust_accuracy=estimate(robust),
        success=estimate(1 - robust),
        sensitivity=estimate(0.8 * robust),
        auc=estimate(0.95 * robust),
        attacker_auc=estimate(0.9 * robust),
        ece=estimate(0.1),
        ece_chance=0.02,
        recall={"healthy": estimate(robust), "ill": None},
        median_linf=Estimate(0.0123456789, 0.01, 0.02, 30, 20),
    )


def row(attack: str, robust: float, **changes: object) -> AttackResult:
    """One attack at 4/255, with one subgroup."""
    part = (Subgroup("sex", "f", 30, scores(robust - 0.1)),)
    made = AttackResult(attack, "Linf", EPS, "exact", scores(robust), part, attacked=54)
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


def every_number() -> Report:
    """Attacks beside noise, detectors, scenarios, certificates, corruptions, files, a twin."""
    clean = AttackResult(
        "clean",
        "",
        0.0,
        "clean",
        Scores(accuracy=estimate(0.9), recall={"healthy": estimate(0.9)}),
        (Subgroup("sex", "f", 30, Scores(accuracy=estimate(0.8))),),
    )
    nearest = row("CarliniWagnerL2", 0.1, norm="L2", eps=None)
    shares = map(estimate, (0.5, 0.45, 0.48, 0.4, 0.06))
    shown = TwinShownImages("Linf", EPS, *map(estimate, (0.9, 0.5, 0.4, 0.1, 0.2)))
    attacked = TwinAttacked("Square", 100, "Linf", EPS, estimate(0.5), estimate(0.4))
    found = corruptions()  # few of each, since a schema is checked against all
    few = dataclasses.replace(
        found, kinds=found.kinds[:2], scores=tuple(s for s in found.scores if s.kind == "pixelate")
    )
    detectors = detection({"KernelDensity": 1.2, "MaxSoftmax": -0.8}, ATTACKS[:2])
    made = report_on(
        evaded(detectors),
        clean=clean,
        rows=(row("Noise", 0.95, baseline=True), row("PGD", 0.3), nearest),
        worst_cases=(row("worst case", 0.3),),
        scenarios=(scenario("universal"), scenario("transfer", surrogate_fooled=estimate(0.7))),
        certificates=(bounds(),),
        corruptions=few,
        survival=(Survival(EPS, 4.0, 256, *shares),),
        twin=Twin("ONNX, int8", "b" * 64, *map(estimate, (0.99, 0.9, 0.88)), {}, (shown,), (attacked,)),
        environment=ENVIRONMENT,
        model=AuditedModel({"architecture": "resnet18"}, "a" * 64, "softmax", 0.5),
        data=AuditedData(
            "folder of X-rays",
            "test",
            60,
            40,
            {"healthy": 30, "ill": 30},
            pixels_sha256="c" * 64,
            copies=CopiedImages(1, 1, pairs=(CopyPair("ward-7", "ward-8"),)),
        ),
        flags=(Flag("copies of images", "1 is a copy: ward-7 and ward-8", "it is none", "remove"),),
        plan={
            "title": "A title",
            "audit": {"seed": 3, "goal": "error", "target": None, "eps": [EPS]},
            "attacks": [{"name": "PGD", "steps": 20}, {"name": "FGSM", "label": None}],
            "report": {"model_name": "LungNet", "model_version": "2.1", "operator": "QA"},
        },
    )  # fmt: skip
    return dataclasses.replace(made, timings=DATES)
