"""The opening of a report: what it states, what it says is not stated, and what to do next."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from robust.records import Estimate, Exhibit, ExhibitImage, Flag, Report, Timings, Visibility
from robust.report.formats.html import render_html
from robust.report.formats.latex import render_latex
from robust.report.formats.markdown import render_markdown
from robust.report.text.classification import finding_sentence
from robust.report.text.opening import (
    next_steps,
    opening_facts,
    ssim_text,
    visibility_sentence,
)
from tests.records.test_report import report
from tests.report.detected import report_on
from tests.report.pages import ORDERS

STATED = {
    "model_name": "LungNet",
    "model_version": "2.1",
    "operator": "A. Person",
    "intended_use": "Triage, with a reader.",
    "acceptance_criteria": "At least 80 of 100 stay correct.",
}
DATES = Timings(audited="2026-11-26T12:46:02Z", reported="2026-11-27T00:01:59Z")


def stated(**changes: Any) -> Report:
    plan = {**report().plan, "report": STATED}
    return report(plan=plan, timings=DATES, **changes)


def test_it_stands_in_each_format_and_template() -> None:
    wanted = [*STATED.values(), "2026-11-26 12:46 UTC", "2026-11-27 00:01 UTC"]
    for order in ORDERS.values():
        page = render_html(stated(), order, phone=False)
        text = render_markdown(stated(), order)
        top = page[: page.index("<h2>")]
        for words in (*wanted, "Not tested", "What to do next", "Visibility of the change"):
            assert words in top and words in text[: text.index("\n## ")]
        assert "not stated" not in top
    latex = render_latex(stated())
    assert all(words.replace("-", "{-}") in latex for words in wanted)


def test_what_is_left_out_is_not_stated() -> None:
    facts = dict(opening_facts(report()))
    for name in ("Model version", "Operator", "Intended use", "Acceptance criteria"):
        assert facts[name] == ("not stated",)
    assert facts["Model"] == ("factory a:b",)
    assert facts["Date of the audit"] == facts["Date of the report"] == ("not known",)
    assert next_steps(report())[-1] == (
        "State in [report] of the plan: model version, operator, intended use and acceptance "
        "criteria."
    )


def test_the_opening_says_which_class_is_meant_by_a_finding() -> None:
    shown = report()
    none = replace(shown, data=replace(shown.data, findings=()))
    assert finding_sentence(none).startswith("No class is named as a finding")
    two = replace(shown.data, findings=("tumour", "nodule"))
    assert finding_sentence(replace(none, data=two, plan={})) == "'tumour' and 'nodule'."
    plan = {**shown.plan, "data": {"path": "x", "findings": None}}
    told = replace(shown, data=two, plan=plan)
    assert finding_sentence(told) == (
        "'tumour' and 'nodule', told by the names or the order of the classes; the plan names no "
        "finding."
    )
    named = replace(told, plan={**plan, "data": {"findings": ["tumour", "nodule"]}})
    assert finding_sentence(named) == "'tumour' and 'nodule', as the plan says."
    assert "- **Finding:** 'tumour' and 'nodule', told by" in render_markdown(told)


def test_visibility_says_what_was_measured_and_no_more() -> None:
    assert visibility_sentence(report()) == (
        "No image fooled the model, so that there is no change to measure."
    )
    found = Visibility("Linf", 0.1 / 255, 12, 0.1 / 255, 68.13, 67.0)
    said = visibility_sentence(report(visibility=(found,)))
    assert said == (
        "The smallest change that fools the model (L∞ 0.1/255): median PSNR 68.1 dB over 12 "
        "images, the largest change of a pixel 0.10 of 255 grey levels (median). Whether a reader "
        "sees it was not tested."
    )
    assert "visible)" not in render_markdown(report(visibility=(found,)))


def test_ssim_is_that_of_the_example_images_that_fool_at_this_eps() -> None:
    def frame(eps: float, success: bool, ssim: float | None) -> ExhibitImage:
        return ExhibitImage(eps, "PGD", "a", 0.9, success, eps, 1.0, 1.0, "", "", 50.0, ssim)

    images = (frame(0.1, True, 0.99999), frame(0.1, False, 0.2), frame(0.2, True, 0.95))
    exhibit = Exhibit("1", "a", "a", 0.9, 0.1, "Linf", (9, 9), (9, 9), "", images)
    at = Visibility("Linf", 0.1, 1, 0.1, 20.0, 20.0)
    assert ssim_text((exhibit,), at) == "above 0.999"
    assert ssim_text((), at) == ""


def test_limits_name_what_did_not_run() -> None:
    without = " ".join(dict(opening_facts(report()))["Not tested"])
    assert without.startswith(
        "Attacks in L1 and L0; detection of attacks; copies of these images among those learned "
        "from; universal"
    )
    with_detectors = " ".join(dict(opening_facts(report_on()))["Not tested"])
    assert "attackers who know the detector" in with_detectors.lower()
    assert "detection of attacks" not in with_detectors and "copies" not in with_detectors


def test_next_steps_follow_the_verdicts() -> None:
    def steps(value: float, low: float, high: float, *flags: Flag) -> str:
        success = Estimate(1 - value, 1 - high, 1 - low, 100, 50)
        scores = report().clean.scores
        worst = tuple(
            replace(row, scores=replace(scores, success=success)) for row in report().worst_cases
        )
        return " ".join(next_steps(report(worst_cases=worst, flags=flags)))

    flag = replace(report().flags[0], name="constant predictions")
    withheld = steps(0.97, 0.95, 0.99, flag)
    assert "2 of 2 verdicts cannot be given" in withheld and "stronger attacks" not in withheld
    assert "follow the advice beside the warning 'constant predictions'" in withheld
    unfinished = next_steps(report(flags=(), missing_stages=("probe",)))
    assert unfinished[0].startswith("Finish the audit: give the same command again. Missing: ")
    assert "probe" in unfinished[0]
    assert "misleads the model in 90 of 100 images" in steps(0.1, 0.05, 0.2)
    assert "Audit more groups: with 4 groups, 2 verdicts of 2" in steps(0.5, 0.3, 0.7)
    robust = steps(0.97, 0.95, 0.99)
    assert "stronger attacks" in robust and "misleads the model in" not in robust
