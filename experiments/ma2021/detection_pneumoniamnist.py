"""Detection of FGSM, BIM, PGD and CW on PneumoniaMNIST, with every control.

Run: `python -m experiments.ma2021.detection_pneumoniamnist` (two CPU cores, about a quarter of an
hour). Audits `detection_pneumoniamnist.toml` into `runs/detection` and writes
`detection_pneumoniamnist.csv`: for every detector, fitted on every attack, the AUC on all attacks,
on noise of the same norm and on changes of daily life, and its null control. Learned from: the
train split; judged on: the test images that are right when clean. MedMNIST names no patients, so
each image is its own group, copies of an image excepted, and intervals may be too narrow.
"""

from __future__ import annotations

import csv
from pathlib import Path

import torch

from robust.auditing import audit_plan
from robust.plan import load_plan
from robust.records import Detection, Estimate, ImageSet
from robust.report import write_report
from robust.units import eps_text

HERE = Path(__file__).parent
OUT = Path("runs/detection")
SHARES = ("0.01", "0.05", "0.1")
AREAS = ("paired_auc", "auc", "selection_auc")
COLUMNS = (
    *("detector", "fitted", "shown", "images"),
    *(f"{area}{end}" for area in AREAS for end in ("", "_low", "_high")),
    *(f"seen_at_{share}{end}" for share in SHARES for end in ("", "_low", "_high")),
)


def main() -> None:
    torch.set_num_threads(1)
    plan = load_plan(HERE / "detection_pneumoniamnist.toml")
    report = audit_plan(plan, out=OUT, device="cpu")
    write_report(report, OUT)
    assert report.detection is not None
    write(report.detection, HERE / "detection_pneumoniamnist.csv")
    for flag in report.flags:
        print(f"{flag.name}: {flag.observed}")


def write(found: Detection, path: Path) -> None:
    """A line for each detector, attack fitted on and what was shown, or the null control."""
    names = [name(shown) for shown in found.image_sets]
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        for one in found.detector_scores:
            fitted = "" if one.fitted_on is None else names[one.fitted_on]
            rates = [one.detection_rates[share] for share in SHARES]
            images = found.image_sets[one.image_set].cases
            start = [one.detector, fitted, names[one.image_set], images]
            areas = one.paired_auc, one.auc, one.selection_auc
            table.writerow([*start, *numbers(*areas, *rates)])
        for null in found.null_controls:
            fitted = "" if null.fitted_on is None else names[null.fitted_on]
            start = [null.detector, fitted, "null control", null.auc.cases]
            table.writerow([*start, *numbers(None, null.auc)])


def name(shown: ImageSet) -> str:
    return f"{shown.name} {eps_text(shown.eps)}" if shown.norm else shown.name


def numbers(*estimates: Estimate | None) -> list[str]:
    """Value, low and high of each; nothing for what there is not."""
    return [
        "" if v is None else f"{v:.4f}"
        for e in estimates
        for v in ((None, None, None) if e is None else (e.value, e.low, e.high))
    ]


if __name__ == "__main__":
    main()
