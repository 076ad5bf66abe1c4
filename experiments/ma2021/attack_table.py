"""The attack table: accuracy under FGSM, BIM, PGD and CW at 1/255 on three modalities.

Run: `python -m experiments.ma2021.attack_table [--quick]` (about a quarter of an hour a modality on
one CPU core, detectors included: `detection.py` shares the audit, so that the second of the two
costs seconds). Writes `results/attack_table.csv` and `results/clean.csv`.

Steps and schedule are the paper's; every cell is exact. Accuracy under attack is of the images that
are right when clean, as in the paper; clean scores are of the whole test split, from the model's
card, which looked at it once. The paper's figures are recalled and were never checked against it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from experiments.ma2021.common import (
    FOUR,
    PAPER,
    THREE,
    Options,
    audited,
    interval,
    numbers,
    percent,
    started,
    write_table,
)
from robust.records import Estimate, Report, record_from

LIMIT = 80
"""Test images, spread evenly; those wrong when clean are not attacked."""

# Percent, recalled, unchecked; fundus there is diabetic retinopathy, here normal, cataract and
# glaucoma; chest there is pneumothorax in adults, here pneumonia in children.
RECALLED: dict[str, dict[str, float | None]] = {
    "fundus": {"clean": 91.0, "FGSM": 1.2, "BIM": 0.0, "PGD": 0.0, "CW": 0.04},
    "chest": {"clean": 92.6, "FGSM": None, "BIM": 0.0, "PGD": 0.0, "CW": 0.0},
    "dermoscopy": {"clean": 87.6, "FGSM": 30.0, "BIM": 0.2, "PGD": 0.4, "CW": 0.2},
}
DETECTORS: list[dict[str, Any]] = [
    {"name": "KernelDensity"},
    {"name": "KernelDensity", "label": "KernelDensity, bandwidth 1", "bandwidth": 1.0},
    {"name": "LID"},
    {"name": "Mahalanobis"},
    {"name": "DeepFeatures"},
    {"name": "QuantizedFeatures"},
    {"name": "MaxSoftmax"},
    {"name": "Energy"},
]


def full_audit(asked: Options, model: str) -> tuple[Report, Path]:
    """Attacks and detectors on one model: what this table and the detection table show."""
    attacks = [{**PAPER[name], "eps": ["1/255"]} for name in FOUR]
    attacks[FOUR.index("PGD")]["eps"] = ["0.25/255", "0.5/255", "1/255", "4/255"]
    return audited(
        asked,
        model,
        limit=24 if asked.quick else LIMIT,
        attacks=attacks,
        eps=["1/255"],
        detectors=DETECTORS,
        detection={"reference_cases": 150 if asked.quick else 1200, "adaptive": 0},
    )


def test_scores(folder: Path) -> dict[str, Estimate | None]:
    """Accuracy and AUC on the whole test split, as the model's card has them."""
    card = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    scores = card["metrics"]["test"]["scores"]
    return {name: record_from(Estimate | None, scores[name]) for name in ("accuracy", "auc")}


def main(asked: Options) -> None:
    rows: list[list[object]] = []
    clean: list[list[object]] = []
    for name, model in THREE.items():
        if model not in asked.of(THREE.values()):
            continue
        whole = test_scores(asked.folder(model))
        report, _ = full_audit(asked, model)
        accuracy, area = whole["accuracy"], whole["auc"]
        assert accuracy is not None
        clean.append(
            [
                *(model, accuracy.cases, accuracy.groups),
                *(*numbers(accuracy, area), RECALLED[name]["clean"]),
            ]
        )
        print(f"{model}: clean accuracy {percent(accuracy)}")
        for row in report.rows:
            assert row.eps is not None
            kept = row.robust_accuracy
            eps = round(255 * row.eps, 4)
            told = RECALLED[name][row.attack] if eps == 1 else None
            rows.append(
                [
                    *(model, row.attack, f"{eps:g}", kept.cases, kept.groups),
                    *(*numbers(kept, row.scores.auc), told),
                ]
            )
            print(f"{model}: {row.condition}: {percent(kept)}, recalled {told}")
        what = ("images", "groups")
        told_columns = "paper_percent_recalled_unchecked"
        start = ("model", *what, *interval("accuracy", "auc"), told_columns)
        write_table(asked, "clean", start, clean)
        columns = ("model", "attack", "eps_255", *what)
        ends = interval("accuracy_of_right_when_clean", "auc_of_all")
        write_table(asked, "attack_table", (*columns, *ends, told_columns), rows)


if __name__ == "__main__":
    started(main, __doc__)
