"""What five detectors are worth against attackers who know of them, and where one stands, why.

Run: `python -m experiments.adaptive.measure [--quick]` after `python -m experiments.models
mobilenet-pretrained` (chest X-rays at 112 px; about an hour on one core). The detectors are fitted
on PGD and judged on 100 cases at 1/255, with 50 steps of each attack. Where one stands (a paired
AUC whose interval reaches a half), more steps and a larger eps tell a detector that holds from an
attack that is weak. Writes `results/adaptive.csv`: paired AUC, AUC against all clean images,
selection control and passes of the attack that does not know the detector and of those that do,
with intervals by patient.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.ma2021.common import Options, audited, interval, numbers, percent, started
from experiments.ma2021.common import write_table as write
from robust.records import Report

MODEL = "mobilenet-pretrained"
DETECTORS = ("KernelDensity", "Mahalanobis", "LID", "DeepFeatures", "QuantizedFeatures")
BUDGETS: tuple[tuple[str, int], ...] = (("1/255", 50), ("1/255", 150), ("2/255", 50))
"""eps and steps of each attack: the first is the result, the others are what it is held against."""
COLUMNS = (
    *("eps", "steps", "detector", "cases", "follows"),
    *interval("fooled", "static_paired_auc", "adaptive_paired_auc"),
    *interval("static_auc", "adaptive_auc"),
    *interval("static_selection_auc", "adaptive_selection_auc"),
    *interval("static_1", "static_5", "static_10", "adaptive_1", "adaptive_5", "adaptive_10"),
    "found_by",
)
SHARES = ("0.01", "0.05", "0.1")


def measured(asked: Options, eps: str, steps: int, detectors: Sequence[str]) -> Report:
    """The audit of one budget: PGD, the detectors, and those who know of them."""
    cases = 24 if asked.quick else 100
    pgd: dict[str, Any] = {"name": "PGD", "steps": 20}
    report, _ = audited(
        asked,
        MODEL,
        limit=60 if asked.quick else 300,
        attacks=[pgd],
        eps=[eps],
        detectors=[{"name": name} for name in detectors],
        detection={
            "adaptive": cases,
            "adaptive_steps": min(steps, 10) if asked.quick else steps,
            "reference_cases": 200 if asked.quick else 1500,
        },
    )
    return report


def main(asked: Options) -> None:
    rows: list[list[object]] = []
    standing = list(DETECTORS)
    for eps, steps in BUDGETS:
        report = measured(asked, eps, steps, standing)
        assert report.detection is not None
        for one in report.detection.adaptive:
            by = "; ".join(f"{name} {count}" for name, count in one.cases_by_attack.items())
            passes = [
                part[share]
                for part in (one.static_evasion_rates, one.evasion_rates)
                for share in SHARES
            ]
            paired = one.static_paired_auc, one.paired_auc
            others = one.static_auc, one.auc, one.static_selection_auc, one.selection_auc
            figures = numbers(one.fooled, *paired, *others, *passes)
            start = [eps, steps, one.detector, one.fooled.cases, one.surrogate_agreement]
            rows.append([*start, *figures, by])
            print(
                f"{eps} {steps} {one.detector}: paired AUC {' -> '.join(map(percent, paired))}, "
                f"passes {percent(one.static_evasion_rates['0.05'])} -> "
                f"{percent(one.evasion_rates['0.05'])}",
                flush=True,
            )
        write(asked, "adaptive", COLUMNS, rows)
        if (eps, steps) == BUDGETS[0]:
            found = report.detection.adaptive
            standing = [
                one.detector for one in found if one.paired_auc and not one.paired_auc.is_below(0.5)
            ]
        if not standing:
            break


if __name__ == "__main__":
    started(main, __doc__, Path(__file__).parent / "results")
