"""Every number on the page is in report.json, and follows from the per-case table."""

from __future__ import annotations

import dataclasses
import json
import random
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pandas as pd
import pytest

from attacks import CarliniWagnerL2
from robust.auditing import audit
from robust.cases import open_cases
from robust.certificates.smoothing.randomized_smoothing import RandomizedSmoothing
from robust.metrics.by_group import auc
from robust.models import Classifier
from robust.records import Report
from robust.report import write_report
from robust.report.figures.style import ReportFigure
from robust.report.formats.html import render_html
from robust.report.formats.json_schema import PUBLISHED
from tests.engine.nets import trained
from tests.report.pages import NUMBER, ORDERS, NumberPage, at, known_numbers

KINDS = ["gaussian_blur", "brightness_up"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on 60 phantoms with subgroups, two norms, and one attack that another repeats.

    A few cases have certificates, and a few are corrupted.
    """
    out = tmp_path_factory.mktemp("truth") / "run"
    cases = open_cases("phantom:chest_xray", count=60, pixels=28)
    entries = tuple(
        dataclasses.replace(e, metadata={"sex": "fm"[i % 2]}) for i, e in enumerate(cases.entries)
    )
    report = audit(
        Classifier(trained(28), channels=1),
        dataclasses.replace(cases, entries=entries),
        attacks=["Noise", "FGSM", "PGD", "MarginPGD", CarliniWagnerL2(steps=15, binary_steps=3)],
        eps=["1/255", "3/255", "8/255"],
        certificates=[RandomizedSmoothing(n0=10, n=25)],
        corruptions={"modality": "chest X-ray", "kinds": KINDS, "severities": [1, 5]},
        out=out,
    )
    write_report(report, out)
    return out


@cache
def page(run: Path, template: str = "standard") -> NumberPage:
    """The page as it was written, or that of another template, whose figures are the same."""
    if template == "standard":
        return NumberPage((run / "report.html").read_text(encoding="utf-8"))
    pictures = {path.name: path.read_bytes() for path in (run / "gallery").iterdir()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ReportFigure, "svg", lambda figure, **_: "<svg></svg>")
        report = Report.load(run / "report.json")
        return NumberPage(render_html(report, ORDERS[template], pictures))


@pytest.fixture(scope="module")
def allowed(run: Path) -> set[str]:
    return known_numbers(run)


@pytest.mark.parametrize("template", ORDERS)
def test_each_cell_shows_what_report_json_has_at_its_place(run: Path, template: str) -> None:
    raw = json.loads((run / "report.json").read_text(encoding="utf-8"))
    named = [(path, text) for path, text in page(run, template).named if path]
    assert len(named) > 150
    for path, text in named:
        found = at(raw, path)
        if isinstance(found, int):
            assert text == str(found), path
        elif isinstance(found, float):
            assert text == f"L∞ {found * 255:g}/255", path
        elif "median" in path and path.startswith(("/certificates", "/corruptions")):
            digits = 2 if path.endswith("l2") else 3
            assert text.split()[0] == f"{found['value']:.{digits}f}", path
        elif "median" in path:
            scale = 255 if path.endswith("linf") else 1
            shown = float(text.removesuffix("/255"))
            assert shown == pytest.approx(found["value"] * scale, abs=0.0051), path
        else:
            scale, digits = (1, 3) if path.endswith(("auc", "brier")) else (100, 1)
            value, low, high = (f"{scale * found[k]:.{digits}f}" for k in ("value", "low", "high"))
            assert text == f"{value} [{low}, {high}]", path


@pytest.mark.parametrize("template", ORDERS)
def test_no_number_stands_on_the_page_that_report_json_has_not(
    run: Path, allowed: set[str], template: str
) -> None:
    shown = {n for text in page(run, template).text for n in NUMBER.findall(text)}
    assert len(shown) > 60
    assert shown <= allowed, sorted(shown - allowed)


def test_ten_numbers_drawn_at_random_follow_from_the_per_case_table(run: Path) -> None:
    report = Report.load(run / "report.json")
    raw = json.loads(report.to_json())
    table = pd.read_csv(run / "outcomes.csv", dtype={"eps": float})
    # The table holds attacks as they were computed, and not what storing leaves of them.
    # Nor has it the images of cases misread without attack, which the attacker's AUC counts.
    # Certificates, corruptions and calibration have tests of their own.
    other = ("difficulty", "survival", "attacker_auc", "/certificates", "/corruptions")
    other += ("ece", "brier")
    paths = sorted({p for p, _ in page(run).named if p and not any(o in p for o in other)})
    seed = random.randrange(2**32)
    for path in random.Random(seed).sample(paths, 10):
        found = at(raw, path)
        expected = recomputed(report, table, path)
        shown = found["value"] if isinstance(found, dict) else found
        assert shown == pytest.approx(expected, abs=1e-6), (path, f"seed {seed}")


def test_proofs_follow_from_their_table(run: Path) -> None:
    report = Report.load(run / "report.json")
    table = pd.read_csv(run / "certificates.csv", keep_default_na=False)
    (one,) = report.certificates
    right = table.prediction == table.label
    assert one.clean.value == pytest.approx(right.mean()) and len(table) == one.clean.cases
    assert one.abstained is not None
    assert one.abstained.value == pytest.approx((table.prediction == "").mean())
    for point in one.points:
        proven = (right & (table.radius >= point.eps)).mean()
        assert point.certified.value == pytest.approx(proven)
    assert len(one.points) > 1 and right.any()


def test_errors_of_corrupted_images_follow_from_their_table(run: Path) -> None:
    report = Report.load(run / "report.json")
    found = report.corruptions
    assert found is not None and [kind.kind for kind in found.kinds] == KINDS
    table = pd.read_csv(run / "corruptions.csv")
    assert ((table.prediction != table.label) == (table.error == 1)).all()
    for one in found.scores:
        own = table[(table.kind == one.kind) & (table.severity == one.severity)]
        assert one.error.value == pytest.approx(own.groupby("label").error.mean().mean())
        assert one.median_l2.value == pytest.approx(own.l2.median())
        assert one.median_linf.value == pytest.approx(own.linf.median())
    balanced = table.groupby("label").error.mean().mean()
    assert found.mean.value == pytest.approx(balanced)


def test_the_brier_score_follows_from_the_per_case_table(run: Path) -> None:
    report = Report.load(run / "report.json")
    table = pd.read_csv(run / "outcomes.csv", dtype={"eps": float})
    for row in (report.clean, *report.worst_cases):
        cases = under(report, table, row)
        ill = 1 / (1 + np.exp(cases.logit_normal - cases.logit_opacity))
        off = ill - (cases.label == "opacity")
        assert row.scores.brier is not None and row.scores.ece is not None
        assert row.scores.brier.value == pytest.approx((2 * off**2).mean(), abs=1e-6)
        sure, right = np.maximum(ill, 1 - ill), (ill > 0.5) == (cases.label == "opacity")
        bins = np.minimum((sure * 15).astype(int), 14)
        gaps = [abs((sure - right)[bins == b].sum()) for b in np.unique(bins)]
        assert row.scores.ece.value == pytest.approx(sum(gaps) / len(cases), abs=1e-6)


def test_the_attackers_auc_is_at_most_what_the_per_case_table_gives(run: Path) -> None:
    report = Report.load(run / "report.json")
    table = pd.read_csv(run / "outcomes.csv", dtype={"eps": float})
    for row in report.worst_cases:
        assert row.scores.attacker_auc is not None and row.scores.auc is not None
        tried = table[(table.attack == "clean") | (table[row.norm.lower()] <= row.eps + 1e-6)]
        lead = (tried.logit_opacity - tried.logit_normal).groupby(tried.case)
        label = table[table.attack == "clean"].set_index("case").label
        sick = (label == "opacity").to_numpy()
        worst = np.where(sick, lead.min()[label.index], lead.max()[label.index])
        assert row.scores.attacker_auc.value <= auc(worst, sick) + 1e-9
        assert auc(worst, sick) <= row.scores.auc.value + 1e-9
    assert row.scores.attacker_auc.value < row.scores.auc.value


def recomputed(report: Report, table: pd.DataFrame, path: str) -> float:
    """The number at that place, from the table alone."""
    place, *rest = path.split("/")[1:]
    if place == "clean":
        row, cases = report.clean, under(report, table, report.clean)
    else:
        row = getattr(report, place)[int(rest.pop(0))]
        cases = under(report, table, row)
    if rest[0] == "subgroups":
        part = report.clean.subgroups[int(rest[1])]
        cases = cases[cases[part.column] == part.value]
        rest = rest[2:]
    if rest[0] == "cases":
        return len(cases)
    if rest[0] == "confusion":
        names = list(report.data.classes)
        pair = names[int(rest[1])], names[int(rest[2])]
        return int(((cases.label == pair[0]) & (cases.prediction == pair[1])).sum())
    return metric(report, cases, rest[1], row.norm, rest[2] if len(rest) > 2 else "")


def metric(report: Report, cases: pd.DataFrame, name: str, norm: str, of: str) -> float:
    (finding,) = report.data.findings
    right = cases.prediction == cases.label
    sick, called = cases.label == finding, cases.prediction == finding
    attacked = cases.attacked
    if name == "auc":
        return float(
            auc((cases[f"logit_{finding}"] - cases.logit_normal).to_numpy(), sick.to_numpy())
        )
    if name.startswith("median"):
        return float(np.median(cases[name.removeprefix("median_")][cases.success == 1]))
    return float(
        {
            "accuracy": lambda: right.mean(),
            "robust_accuracy": lambda: right[attacked].mean(),
            "misses": lambda: (~called)[attacked & sick].mean(),
            "false_alarms": lambda: called[attacked & ~sick].mean(),
            "sensitivity": lambda: called[sick].mean(),
            "specificity": lambda: (~called)[~sick].mean(),
            "recall": lambda: right[cases.label == of].mean(),
        }[name]()
    )


def under(report: Report, table: pd.DataFrame, row: Any) -> pd.DataFrame:
    """One line a case: as the row's attack left it, or the worst of all within its eps."""
    clean = table[table.attack == "clean"].set_index("case")
    clean = clean.assign(attacked=False, success=0)
    if row.kind == "clean":
        return clean
    lines = table[(table.attack != "clean") & (table.norm == row.norm)]
    if row.attack == "worst case":
        moved = lines.linf if row.norm == "Linf" else lines.l2
        lines = lines[moved <= row.eps + 1e-6]
    else:
        own = (lines.attack == (row.same_as or row.attack)) & (
            lines.eps.isna() if row.eps is None else np.isclose(lines.eps, row.eps or 0)
        )
        lines = lines[own]
    lead = np.where(
        lines.label == "normal",
        lines.logit_opacity - lines.logit_normal,
        lines.logit_normal - lines.logit_opacity,
    )
    lines = lines.assign(attacked=True, lead=lead).sort_values(["success", "lead"])
    worst = lines.groupby("case").tail(1).set_index("case").drop(columns="lead")
    return pd.concat([clean.drop(index=worst.index), worst])


def test_the_report_fulfils_the_published_schema(run: Path) -> None:
    schema = json.loads(PUBLISHED.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    raw = json.loads((run / "report.json").read_text(encoding="utf-8"))
    jsonschema.validate(raw, schema)
    for path, value in (("rows", [{"attack": "PGD"}]), ("schema_version", 1), ("extra", 0)):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**raw, path: value}, schema)


def test_csv_and_parquet_hold_the_same(run: Path) -> None:
    text, columns = pd.read_csv(run / "outcomes.csv"), pd.read_parquet(run / "outcomes.parquet")
    assert list(text.columns) == list(columns.columns) and len(text) == len(columns) > 500
    for name in text.columns:
        ours, theirs = text[name], columns[name]
        if theirs.dtype.kind == "f":
            np.testing.assert_allclose(ours, theirs, rtol=1e-8)
        else:
            kept = theirs.notna()
            assert (ours.notna() == kept).all()
            flags = isinstance(theirs[kept].iloc[0], bool) if kept.any() else False
            wanted = [str(int(value)) if flags else str(value) for value in theirs[kept]]
            shown = [f"{value:g}" if flags else str(value) for value in ours[kept]]
            assert shown == wanted, name
