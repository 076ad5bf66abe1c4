"""outcomes.csv: every rate of the report follows from it, subgroups included."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from robust.auditing import audit
from robust.metrics.by_group import auc
from tests.engine.nets import BRIEF, classifier, phantoms


def read(folder: Path) -> list[dict[str, str]]:
    with (folder / "outcomes.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_rate_follows_from_the_table(tmp_path: Path) -> None:
    eps = [1 / 255, 4 / 255]
    report = audit(
        classifier(), phantoms(80), attacks=["FGSM", "PGD"], eps=eps, out=tmp_path, **BRIEF
    )
    table = read(tmp_path)
    clean = {line["case"]: line for line in table if line["attack"] == "clean"}
    assert len(clean) == 80
    worst: dict[float, set[str]] = {e: set() for e in eps}
    for row in report.rows:
        assert row.eps is not None
        lines = [
            line
            for line in table
            if line["attack"] == row.attack and abs(float(line["eps"] or 9) - row.eps) < 1e-9
        ]
        right = {c for c, line in clean.items() if line["prediction"] == line["label"]}
        assert {line["case"] for line in lines} == right
        assert row.attacked == len(lines)
        after = clean | {line["case"]: line for line in lines}
        kept = [line for line in lines if line["prediction"] == line["label"]]
        fooled = {line["case"] for line in lines if line["success"] == "1"}
        assert fooled == right - {line["case"] for line in kept}
        for e in eps:
            worst[e] |= fooled if row.eps <= e + 1e-12 else set()

        s = row.scores
        assert s.robust_accuracy and s.accuracy and s.success and s.auc
        assert s.robust_accuracy.value == pytest.approx(len(kept) / len(lines))
        all_right = sum(line["prediction"] == line["label"] for line in after.values())
        assert s.accuracy.value == pytest.approx(all_right / 80)
        sick = [line for line in lines if line["label"] == "opacity"]
        well = [line for line in lines if line["label"] == "normal"]
        assert s.misses and s.false_alarms and s.sensitivity and s.specificity
        assert s.misses.value == pytest.approx(
            sum(line["prediction"] == "normal" for line in sick) / len(sick)
        )
        assert s.false_alarms.value == pytest.approx(
            sum(line["prediction"] == "opacity" for line in well) / len(well)
        )
        called = [
            line["prediction"] == "opacity" for line in after.values() if line["label"] == "opacity"
        ]
        assert s.sensitivity.value == pytest.approx(np.mean(called))
        scores = [float(v["logit_opacity"]) - float(v["logit_normal"]) for v in after.values()]
        truth = np.array([v["label"] == "opacity" for v in after.values()])
        assert s.auc.value == pytest.approx(auc(np.array(scores), truth), abs=1e-9)
        if fooled:
            assert s.median_linf is not None
            moved = [float(line["linf"]) for line in lines if line["success"] == "1"]
            assert s.median_linf.value == pytest.approx(np.median(moved), abs=1e-8)
            assert max(moved) <= row.eps + 2e-7
    for row in report.worst_cases:
        assert row.eps is not None and row.scores.success is not None
        assert row.scores.success.value == pytest.approx(len(worst[row.eps]) / row.attacked)


def test_subgroups_carry_the_same_numbers(tmp_path: Path) -> None:
    cases = phantoms(60)
    entries = tuple(
        replace(e, metadata={"sex": "f" if i % 3 else "m"}) for i, e in enumerate(cases.entries)
    )
    report = audit(
        classifier(),
        replace(cases, entries=entries),
        attacks=["FGSM"],
        eps=["1/255"],
        out=tmp_path,
        **BRIEF,
    )
    parts = {part.value: part for part in report.clean.subgroups}
    assert {v: p.cases for v, p in parts.items()} == {"f": 40, "m": 20}
    lines = [li for li in read(tmp_path) if li["attack"] == "clean" and li["sex"] == "m"]
    wanted = np.mean([line["prediction"] == line["label"] for line in lines])
    assert parts["m"].scores.accuracy is not None
    assert parts["m"].scores.accuracy.value == pytest.approx(wanted)
