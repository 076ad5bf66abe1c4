"""A report on a segmentation model, made by hand: every part that such a report has."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from robust.records import (
    AttackResult,
    AuditedData,
    AuditedModel,
    AuditedTask,
    Difficulty,
    Estimate,
    OutlineScores,
    Report,
    Scores,
    SizeGroup,
    Timings,
    Visibility,
)

CASES, GROUPS = 100, 80
TASK = AuditedTask("segmentation", ("lungs",), dice=0.7, tolerance=2.0, unit="mm")
DICE = {"clean": 0.94, 1 / 255: 0.81, 2 / 255: 0.62, 4 / 255: 0.18}
"""Mean Dice of all cases in the worst case, by eps."""
FALLEN = {1 / 255: 0.12, 2 / 255: 0.61, 4 / 255: 0.98}
"""Share of the attacked cases that the attacker succeeds on, by eps."""


def estimate(value: float, reach: float = 0.04, most: float = 1.0) -> Estimate:
    """A number with an interval of that reach, within [0, most]."""
    return Estimate(value, max(value - reach, 0.0), min(value + reach, most), CASES, GROUPS)


def outline(dice: float, *, missed: float = 0.0, cases: int = CASES) -> OutlineScores:
    """The scores of a structure whose mean Dice is this."""
    return OutlineScores(
        cases=cases,
        dice=estimate(dice),
        iou=estimate(dice / (2 - dice)),
        surface_dice=estimate(dice * 0.9),
        hd95=estimate(3 + 90 * (1 - dice), 2.5, 400),
        volume_error=estimate(min(1 - dice, 1.0)),
        missed=estimate(missed, 0.02),
        invented=None if cases == CASES else estimate(0.08),
        by_size=tuple(
            SizeGroup(name, cases // 3, low, high, estimate(max(dice - fall, 0.01)))
            for name, low, high, fall in (
                ("small", 812.0, 2043.5, 0.15),
                ("medium", 2050.0, 4400.0, 0.02),
                ("large", 4411.0, 9312.0, 0.0),
            )
        ),
    )


def scores(dice: float, well: float, fallen: float | None, names: tuple[str, ...]) -> Scores:
    """Of all cases, with these structures; the second one is smaller and rarer."""
    return Scores(
        accuracy=estimate(well),
        robust_accuracy=None if fallen is None else estimate(1 - fallen),
        success=None if fallen is None else estimate(fallen),
        median_l2=None if fallen is None else estimate(0.42, 0.1),
        median_linf=None if fallen is None else estimate(1 / 255, 0.0005),
        dice=estimate(dice),
        outlines={
            name: outline(dice - 0.2 * i, missed=0.3 * i * (1 - dice), cases=CASES - 40 * i)
            for i, name in enumerate(names)
        },
    )


def outline_report(
    task: AuditedTask = TASK,
    goal: str = "error",
    images: str = "chest X-rays",
    norm: str = "Linf",
    gates: Mapping[str, object] | None = None,
    **changes: object,
) -> Report:
    """Two attacks at three eps on 100 cases of 80 patients."""
    audit = {"seed": 0, "goal": goal, "target": None, "norm": norm, "touch": task.touch}
    rows = [
        AttackResult(
            attack, norm, eps, "exact",
            scores(DICE[eps] + gain, 0.93 * (1 - FALLEN[eps]), FALLEN[eps] - gain, task.structures),
            attacked=93, passes=41.0,
        )
        for attack, gain in (("PGD", 0.06), ("SegPGD", 0.02))
        for eps in FALLEN
    ]  # fmt: skip
    worst = tuple(
        AttackResult(
            "worst case", norm, eps, "exact",
            scores(DICE[eps], 0.93 * (1 - FALLEN[eps]), FALLEN[eps], task.structures),
            attacked=93,
        )
        for eps in FALLEN
    )  # fmt: skip
    made = Report(
        title="Lung outlines",
        clean=AttackResult(
            "clean", "", 0.0, "clean", scores(DICE["clean"], 0.93, None, task.structures)
        ),
        rows=tuple(rows),
        worst_cases=worst,
        difficulty=(Difficulty("PGD", norm, None), Difficulty("SegPGD", norm, 4 / 255)),
        flags=(),
        plan={"audit": audit, "gates": gates or {}},
        model=AuditedModel(
            {"architecture": "UNet"}, "0" * 64, "softmax", 0.5, mean=(0.5,), std=(0.25,)
        ),
        data=AuditedData(
            "folder of X-rays", "test", CASES, GROUPS, dict.fromkeys(task.structures, CASES),
            images=images, pixels_sha256="0",
        ),
        environment={"torch": "2"},
        table_sha256="0",
        timings=Timings(1.0),
        attacks={"PGD": "PGD(steps=20)", "SegPGD": "SegPGD(steps=20)"},
        visibility=(Visibility(norm, 1 / 255, 11, 1 / 255, 49.8, 48.1),),
        task=task,
    )  # fmt: skip
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]
