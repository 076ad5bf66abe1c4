"""Gates: judged on the lower bound, shown in every format, refused where they cannot be judged."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import tomllib
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from scipy import stats as scipy_stats

import robust as package
from robust.engine.gate_precheck import check_gates
from robust.errors import InputError
from robust.metrics.mean_intervals import mean_interval
from robust.plan.load import make_plan
from robust.plan.spec import Plan
from robust.records import (
    FLAG_TEXTS,
    AttackResult,
    Detection,
    Estimate,
    Flag,
    Report,
    Scores,
)
from robust.report.formats.html import render_html
from robust.report.formats.job_summary import job_summary
from robust.report.formats.junit import junit
from robust.report.formats.markdown import render_markdown
from robust.report.formats.terminal import render_terminal
from robust.report.gates import GateResult, groups_needed, judge_gates
from robust.report.tables.gates import failed_gate_lines, gate_line
from robust.report.text.format import plain
from robust.report.text.reproduce import plan_toml
from tests.cli.commands import Robust, refused, write_plan
from tests.cli.conftest import here, robust  # noqa: F401  (fixtures)
from tests.records.test_report import report
from tests.report.certified import bounds, corruptions, smoothing
from tests.report.detected import ATTACKS, detection, evaded, without
from tests.report.hostile import NAMES, ElementPage, calm, controls
from tests.report.outlined import outline_report
from tests.report.pages import ORDERS

GOOD = Estimate(0.8, 0.7, 0.9, 200, 100)


def worst(
    eps: float, norm: str = "Linf", failed: int = 0, **scores: Estimate | None
) -> AttackResult:
    made = Scores(None, **scores)  # type: ignore[arg-type]
    return AttackResult("worst case", norm, eps, "exact", made, attacked=200, failed=failed)


def gated(gates: dict[str, Any], **changes: Any) -> Report:
    """A report whose plan has these gates, as the plan itself writes them down."""
    spec = make_plan({"gates": gates}).model_dump(mode="json")["gates"]
    made = report(**changes)
    plan = {"audit": {**made.plan["audit"], "norm": "Linf"}, "gates": spec}
    return dataclasses.replace(made, plan=plan)


def one(gates: dict[str, Any], **changes: Any) -> GateResult:
    (result,) = judge_gates(gated(gates, **changes))
    return result


# --- the verdict ---


@pytest.mark.parametrize(
    ("estimate", "wanted", "outcome", "said"),
    [
        (GOOD, 0.69, "passed", "80.0 % [70.0, 90.0]: the lower bound reaches 69 %"),
        (GOOD, 0.7, "passed", "the lower bound reaches 70 %"),
        (GOOD, 0.71, "failed", "71 % is not shown, the lower bound lies below it"),
        (GOOD, 0.8, "failed", "80 % is not shown"),
        (GOOD, 0.91, "failed", "the whole interval lies below 91 %"),
        # 0.025 ** (1 / 7) = 0.590 and 0.025 ** (1 / 8) = 0.631
        (Estimate(1.0, 0.59, 1.0, 70, 7), 0.6, "undecided", "7 groups cannot show it"),
        (Estimate(1.0, 0.631, 1.0, 80, 8), 0.6, "passed", "reaches 60 %"),
        # What a perfect result cannot, it cannot.
        (Estimate(0.97, 0.94, 0.99, 70, 7), 0.6, "undecided", "needs 8 groups (observed: 97.0 %"),
        (Estimate(0.1, 0.0, 0.5, 70, 7), 0.6, "failed", "lies below 60 %"),
    ],
)
def test_a_gate_looks_at_the_bound_and_at_what_the_groups_can_show(
    estimate: Estimate, wanted: float, outcome: str, said: str
) -> None:
    row = AttackResult("clean", "", 0.0, "clean", Scores(estimate))
    result = one({"clean_accuracy": wanted}, clean=row)
    assert result.outcome == outcome and said in result.why
    assert result.passed is (outcome == "passed")
    assert (result.required, result.bound, result.estimate) == (wanted, estimate.low, estimate)
    assert result.path == "/clean/scores/accuracy"


@pytest.mark.parametrize("wanted", [0.01, 0.3, 0.6, 0.8, 0.95, 0.999])
def test_the_groups_needed_are_the_least_that_can_show_it(wanted: float) -> None:
    needed = groups_needed(wanted)

    def perfect(groups: int) -> float:
        exact = scipy_stats.binomtest(groups, groups).proportion_ci(0.95, method="exact")
        return float(exact.low)

    assert perfect(needed) >= wanted
    assert needed == 1 or perfect(needed - 1) < wanted


def test_cases_without_a_verdict_count_against_the_model() -> None:
    gates = {"robust_accuracy": 0.65}
    assert one(gates, worst_cases=(worst(0.1, robust_accuracy=GOOD),)).passed
    result = one(gates, worst_cases=(worst(0.1, failed=20, robust_accuracy=GOOD),))
    assert result.bound == pytest.approx(0.7 * 200 / 220) and result.outcome == "failed"
    assert "20 cases that could not be evaluated counted as misread" in result.why


def test_each_eps_is_a_gate_and_one_number_is_for_the_largest() -> None:
    low = Estimate(0.3, 0.2, 0.4, 200, 100)
    rows = (
        worst(1 / 255, robust_accuracy=GOOD, sensitivity=low),
        worst(4 / 255, robust_accuracy=low, sensitivity=GOOD, specificity=GOOD),
        worst(0.5, "L2", robust_accuracy=GOOD),
    )
    spread = {"robust_accuracy": {"1/255": 0.6, "Linf 4/255": 0.6, "L2 0.5": 0.6, "2/255": 0.1}}
    found = judge_gates(gated(spread, worst_cases=rows))
    assert [(r.name, r.outcome, r.path) for r in found] == [
        ("robust accuracy at L∞ 1/255", "passed", "/worst_cases/0/scores/robust_accuracy"),
        ("robust accuracy at L∞ 4/255", "failed", "/worst_cases/1/scores/robust_accuracy"),
        ("robust accuracy at L2 0.5", "passed", "/worst_cases/2/scores/robust_accuracy"),
        ("robust accuracy at L∞ 2/255", "undecided", ""),
    ]
    single = {"robust_accuracy": 0.6, "sensitivity": 0.6, "specificity": {"1/255": 0.6}}
    found = judge_gates(gated(single, worst_cases=rows))
    assert [(r.name, r.outcome) for r in found] == [
        ("robust accuracy at L∞ 4/255", "failed"),
        ("sensitivity at L∞ 4/255", "passed"),
        ("specificity at L∞ 1/255", "undecided"),
    ]


def seeing(wanted: object, found: Detection | None) -> tuple[GateResult, ...]:
    return judge_gates(gated({"detector_auc": wanted}, detection=found))


def test_a_detector_is_judged_on_the_key_attack() -> None:
    found = detection()
    auc = {name: found.score(name, found.key_attack) for name in found.detectors}
    results = {r.name.split()[3]: r for r in seeing(0.6, found)}
    assert set(results) == set(found.detectors)
    for name, sighting in auc.items():
        assert sighting is not None and sighting.paired_auc is not None
        result, paired = results[name], sighting.paired_auc
        assert result.estimate == paired and result.bound == paired.low
        assert result.passed == paired.is_at_least(0.6)
        assert f"paired AUC of {name} on PGD, L∞ 1/255" == result.name
    assert {r.outcome for r in results.values()} == {"passed", "failed"}
    (single,) = seeing({"LID": 0.05}, found)
    assert single.passed and single.path.endswith("/paired_auc")
    (single,) = seeing({"LID": 0.95}, found)
    assert not single.passed


def test_which_cases_fall_lets_no_gate_pass() -> None:
    areas = {"auc": Estimate(0.9, 0.87, 0.93, 200, 100), "explained_by_selection": True}
    areas["paired_auc"] = Estimate(0.52, 0.47, 0.57, 120, 60)
    (single,) = seeing({"LID": 0.6}, without(detection(), "LID", **areas))
    assert single.outcome == "failed" and single.estimate == areas["paired_auc"]


def test_a_detector_that_is_not_to_be_believed_passes_nothing() -> None:
    (alarmed,) = seeing({"LID": 0.05}, detection(alarms=["LID"]))
    (few,) = seeing({"LID": 0.05}, detection(key=0))
    (unseen,) = seeing({"LID": 0.05}, detection(key=None))
    (unknown,) = seeing({"nobody": 0.05}, detection())
    (without,) = seeing(0.05, None)
    whys = ("null control raised an alarm", "12 attacked images are too few", "no attack succeeded")
    for result, why in zip((alarmed, few, unseen), whys, strict=True):
        assert result.outcome == "undecided" and why in result.why
    assert unknown.outcome == without.outcome == "undecided"
    # 0.025 ** (1 / 30) = 0.884
    (many,) = seeing({"Mahalanobis": 0.95}, detection({"Mahalanobis": 9.0}))
    assert many.outcome == "undecided" and "30 groups cannot show it" in many.why


def test_flags_by_name_and_all_of_them() -> None:
    raised = (Flag("few groups", "there are 4", "why", "remedy"),)
    found = judge_gates(gated({"no_flags": ["few groups", "no groups"]}, flags=raised))
    assert [(r.outcome, r.why) for r in found] == [
        ("failed", "there are 4"),
        ("passed", "not raised"),
    ]
    assert one({"no_flags": True}, flags=raised).why == "few groups"
    assert one({"no_flags": True}, flags=()).passed


def test_nothing_is_decided_before_the_run_is_finished() -> None:
    made = gated({"clean_accuracy": 0.1, "no_flags": True}, flags=())
    data = dataclasses.replace(made.data, unfinished=3)
    found = judge_gates(dataclasses.replace(made, data=data))
    assert {(r.outcome, r.why) for r in found} == {("undecided", "the run is not finished")}


def test_an_unfinished_run_passes_no_gate_and_every_gate_says_what_is_missing() -> None:
    gates = {"clean_accuracy": 0.1, "no_flags": ["few groups"], "detector_auc": {"KD": 0.1}}
    made = gated(gates, flags=(), missing_stages=("probe", "gallery"))
    found = judge_gates(made)
    why = "the run is not finished; missing: the probe, example images"
    assert {(r.outcome, r.why) for r in found} == {("undecided", why)} and len(found) == 3
    assert {told for *_, told in check_junit(junit("t", found))} == {why}


@pytest.mark.parametrize(
    ("name", "passing"),
    [
        ("few groups", {"clean accuracy", "robust accuracy", "specificity"}),
        ("gradients vanish", {"clean accuracy"}),
        ("random outputs", {"clean accuracy"}),
        ("constant predictions", {"clean accuracy"}),
        ("clean accuracy no better than a constant", {"clean accuracy"}),
    ],
)
def test_a_gate_on_a_number_that_a_warning_voids_does_not_pass(
    name: str, passing: set[str]
) -> None:
    flag = FLAG_TEXTS[name].flag("seen on 9 of 16")
    row = worst(1 / 255, robust_accuracy=GOOD, specificity=GOOD)
    clean = dataclasses.replace(report().clean, scores=Scores(GOOD))
    bounds = {"clean_accuracy": 0.6, "robust_accuracy": 0.6, "specificity": 0.6}
    found = judge_gates(gated(bounds, flags=(flag,), worst_cases=(row,), clean=clean))
    assert {r.name.split(" at ")[0] for r in found if r.passed} == passing
    for result in found:
        if not result.passed:
            assert result.outcome == "undecided"
            assert result.why.startswith(f"no verdict: {name} (seen on 9 of 16)")
    low = judge_gates(gated({"robust_accuracy": 0.95}, flags=(flag,), worst_cases=(row,)))
    assert [r.outcome for r in low] == ["failed"]


def test_a_warning_that_nothing_looked_for_is_not_absent() -> None:
    made = gated({"no_flags": ["gradients vanish", "few groups"]}, flags=())
    off = dataclasses.replace(made, plan={**made.plan, "doubts": {"probe": False}})
    assert [r.outcome for r in judge_gates(made)] == ["passed", "passed"]
    assert [r.outcome for r in judge_gates(off)] == ["undecided", "passed"]
    every = gated({"no_flags": True}, flags=())
    off = dataclasses.replace(every, plan={**every.plan, "doubts": {"probe": False}})
    (result,) = judge_gates(off)
    assert result.outcome == "undecided" and "not looked for" in result.why


def test_a_report_without_gates_says_nothing_of_them() -> None:
    made = report()
    assert judge_gates(made) == () and judge_gates(gated({})) == ()
    assert "Gates" not in render_html(made) and "Gates" not in render_markdown(gated({}))


# --- the plan ---


@pytest.mark.parametrize(
    ("gates", "said"),
    [
        ({"robust_acuracy": 0.6}, "unknown entry gates.robust_acuracy; did you mean robust_acc"),
        ({"robust_accuracy": 60}, "must be above 0 and below 1, such as 0.6 for 60 %"),
        ({"robust_accuracy": 1.0}, "must be above 0 and below 1"),
        ({"robust_accuracy": {"1/255": 0}}, "must be above 0 and below 1"),
        ({"robust_accuracy": {"one": 0.6}}, "eps 'one' is not a number"),
        ({"robust_accuracy": {"1/255": 0.6, "1.0/255": 0.5}}, "is named twice"),
        ({"sensitivity": "high"}, "a gate is a number, such as 0.6"),
        ({"specificity": True}, "a gate is a number"),
        ({"detector_auc": {}}, "the table is empty"),
        ({"no_flags": ["few grups"]}, "unknown warning 'few grups'; nearest of "),
        ({"no_flags": "few groups"}, "write true for no warning at all, or a list"),
        ({"no_flags": False}, "write true"),
    ],
)
def test_a_gate_that_nobody_can_read(gates: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as raised:
        make_plan({"gates": gates}, "plan.toml")
    assert said in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (
            {"gates": {"sensitivity": {"3/255": 0.6}}},
            "sensitivity: no attack runs at eps 3/255; there are: 0.5/255, 1/255, 2/255, 4/255",
        ),
        (
            {"gates": {"robust_accuracy": {"L2 1": 0.6}}},
            "no attack runs at eps L2 1; there are: 0.5/255",
        ),
        ({"gates": {"detector_auc": 0.6}}, "detector_auc needs a [[detectors]] table"),
        (
            {"gates": {"detector_auc": {"LDI": 0.6}}, "detectors": [{"name": "LID"}]},
            "the plan has no detector 'LDI'; did you mean LID?",
        ),
    ],
)
def test_a_gate_that_the_plan_can_never_judge(raw: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as raised:
        check_gates(make_plan(raw))
    assert said in str(raised.value)


def test_gates_change_no_number_and_read_back() -> None:
    raw = {
        "gates": {
            "clean_accuracy": 0.8,
            "robust_accuracy": {"1/255": 0.6, "L2 0.5": 0.5},
            "detector_auc": 0.7,
            "no_flags": ["no groups"],
        },
        "detectors": [{"name": "LID"}],
        "attacks": [{"name": "PGD"}, {"name": "PGD", "label": "far", "norm": "L2", "eps": [0.5]}],
    }
    plan = make_plan(raw)
    check_gates(plan, required=True)
    assert plan.digest() == make_plan({**raw, "gates": {}}).digest()
    shown = dataclasses.replace(report(), plan=plan.model_dump(mode="json"))
    assert make_plan(tomllib.loads(plan_toml(shown))) == plan
    bare = dataclasses.replace(report(), plan=Plan().model_dump(mode="json"))
    assert "gates" not in plan_toml(bare)


FOUND = evaded(detection(), LID=0.9, Mahalanobis=0.35)


def adaptive_gate(gate: str, wanted: float, found: object = FOUND) -> GateResult:
    (result,) = judge_gates(gated({gate: {"LID": wanted}}, detection=found))
    return result


def test_gates_on_adaptive_attacks() -> None:
    assert adaptive_gate("adaptive_auc", 0.39).passed
    assert adaptive_gate("adaptive_auc", 0.41).outcome == "failed"
    assert adaptive_gate("adaptive_auc", 0.36).path == "/detection/adaptive/0/paired_auc"
    held = adaptive_gate("withstands", 0.02)
    assert held.passed and held.estimate is not None
    assert abs(held.estimate.value - 0.1) < 1e-9 and abs(held.estimate.low - 0.03) < 1e-9
    assert adaptive_gate("withstands", 0.05).outcome == "failed"
    untried = adaptive_gate("withstands", 0.05, detection())
    assert untried.outcome == "undecided" and "no adaptive attack was run" in untried.why
    for unknown in (None, Estimate(0.9, None, None, 60, 40, 72)):
        made = tuple(
            dataclasses.replace(a, evasion_rates={**a.evasion_rates, "0.05": unknown})
            for a in FOUND.adaptive
        )
        vague = adaptive_gate("withstands", 0.02, dataclasses.replace(FOUND, adaptive=made))
        assert vague.outcome == "undecided"
        assert vague.why == "5 % false alarms need 72 groups of clean images"
    few = tuple(dataclasses.replace(a, too_few=True) for a in FOUND.adaptive)
    assert (
        "too few"
        in adaptive_gate("adaptive_auc", 0.3, dataclasses.replace(FOUND, adaptive=few)).why
    )


# --- where they are shown ---


def check_junit(text: bytes) -> list[tuple[str, str, str]]:
    """By the rules that CI servers read it with: elements, attributes and sums; its failures."""
    root = ET.fromstring(text)
    assert root.tag == "testsuites"
    (suite,) = root
    assert suite.tag == "testsuite" and set(suite.attrib) >= {"name", "tests", "failures"}
    for place in (root, suite):
        assert int(place.attrib["tests"]) == len(suite)
        assert int(place.attrib["failures"]) == len(suite.findall("testcase/failure"))
    for case in suite:
        assert case.tag == "testcase" and set(case.attrib) == {"name", "classname", "time"}
        assert [child.tag for child in case] in ([], ["failure"])
    failed = suite.findall("testcase[failure]")
    return [(c.attrib["name"], c[0].attrib["type"], c[0].attrib["message"]) for c in failed]


@pytest.fixture
def mixed() -> Report:
    """A gate that passes, one that fails, one that is undecided."""
    gates = {"clean_accuracy": 0.2, "robust_accuracy": 0.7, "no_flags": ["few groups"]}
    flags = (Flag("few groups", "there are 4 of at least 30", "why", "remedy"),)
    return gated(gates, flags=flags)


def test_everyone_is_told_the_same(mixed: Report) -> None:
    results = judge_gates(mixed)
    assert [r.outcome for r in results] == ["passed", "undecided", "failed"]
    wrong = [r for r in results if not r.passed]
    assert check_junit(junit("A & B", results)) == [(r.name, r.outcome, r.why) for r in wrong]
    assert failed_gate_lines(results) == [f"gate {r.outcome}: {r.name}: {r.why}" for r in wrong]
    line = gate_line(results)
    assert line == f"Gates: 1 of 3 passed; not passed: {wrong[0].name} and {wrong[1].name}"
    console = Console(width=200)
    with console.capture() as shown:
        console.print(render_terminal(mixed))
    assert line in shown.get()
    for order in ORDERS.values():
        page = "\n".join(ElementPage(render_html(mixed, order)).texts)
        assert all(r.name in page and r.why in page for r in results)
    markdown = render_markdown(mixed)
    assert markdown.index("## Gates") < markdown.index("## Verdict for each threat")
    summary = job_summary(mixed)
    assert "## Gates: 2 of 3 not passed" in summary and "## Verdict for each" in summary
    assert "report.html" in summary and "## Glossary" not in summary
    passed = gated({"clean_accuracy": 0.2})
    assert (
        "## Gates: all passed" in job_summary(passed)
        and failed_gate_lines(judge_gates(passed)) == []
    )
    assert check_junit(junit("t", judge_gates(passed))) == []


@pytest.mark.slow
def test_hostile_names_stay_text() -> None:
    names = list(NAMES.values())
    wanted = dict.fromkeys(names, 0.6)
    found = detection(dict.fromkeys(names, 0.5), ATTACKS[:2], alarms=names)
    made = gated({"detector_auc": wanted}, detection=found, title="".join(names) + "\ufffe\ud800")
    told = check_junit(junit(made.title, judge_gates(made)))
    assert [name for name, *_ in told] == [
        f"paired AUC of {plain(name)} on PGD, L∞ 1/255" for name in names
    ]
    lines = failed_gate_lines(judge_gates(made))
    assert not controls("".join(lines)) and len(lines) == len(names)
    page, other = (ElementPage(render_html(r)) for r in (made, calm(made)))
    assert page.elements == other.elements and page.loaded == other.loaded
    text = job_summary(made).split("## Gates")[1].split("## Verdict")[0]
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 2 + len(names) and "<" not in text.replace("&lt;", "")
    assert {line.replace("\\|", "").count("|") for line in rows} == {6}


# --- the command line ---

PASSES = "[gates]\nclean_accuracy = 0.01\nno_flags = ['no groups']\n"
FAILS = PASSES + "robust_accuracy = { '2/255' = 0.99 }\n"
GATED = ("audit", "plan.toml", "--out", "run", "--gate")


@pytest.mark.slow
def test_exit_codes_as_a_pipeline_meets_them(here: Path, robust: Robust) -> None:  # noqa: F811
    write_plan(top=FAILS, data={"path": "phantom:chest_xray", "count": 24, "pixels": 28})
    summary = here / "summary.md"
    summary.write_text("before\n", encoding="utf-8")
    environment = {**os.environ, "GITHUB_STEP_SUMMARY": str(summary), "OMP_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = os.pathsep.join([str(Path(package.__file__).parents[1]), str(here)])
    command = [sys.executable, "-m", "robust", *GATED]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 1, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("robust: ")]
    assert line.startswith("robust: gate ") and "robust accuracy at L∞ 2/255" in line
    assert "Gates: 2 of 3 passed" in done.stdout
    assert len(check_junit((here / "run/junit.xml").read_bytes())) == 1
    told = summary.read_text(encoding="utf-8")
    assert told.startswith("before\n# Robustness audit") and "1 of 3 not passed" in told
    before = json.loads((here / "run/report.json").read_text(encoding="utf-8"))
    # Another gate is no other run: the same outcomes are judged anew.
    write_plan(top=PASSES, data={"path": "phantom:chest_xray", "count": 24, "pixels": 28})
    answer = robust(*GATED)
    assert answer.code == 0 and "robust: gate " not in answer.err
    assert check_junit((here / "run/junit.xml").read_bytes()) == []
    after = json.loads((here / "run/report.json").read_text(encoding="utf-8"))
    assert after["timings"]["by_cell"] == before["timings"]["by_cell"]
    assert after["plan"]["gates"]["robust_accuracy"] is None
    (here / "run/junit.xml").unlink()
    answer = robust("report", "run", "--gate", "--format", "md")
    assert (answer.code, answer.err) == (0, "") and (here / "run/junit.xml").exists()
    plan = {**after["plan"], "gates": before["plan"]["gates"]}
    (here / "run/report.json").write_text(json.dumps({**after, "plan": plan}), encoding="utf-8")
    answer = robust("report", "run", "--gate", "--format", "md")
    assert answer.code == 1 and answer.err.startswith("robust: gate ")
    assert robust("report", "run", "--format", "md").code == 0
    plan = {**after["plan"], "gates": {}}
    (here / "run/report.json").write_text(json.dumps({**after, "plan": plan}), encoding="utf-8")
    answer = robust("report", "run", "--gate")
    assert answer.code == 2 and "the plan of run has no [gates]" in answer.err


def test_gates_that_cannot_be_judged_are_refused_before_any_work(robust: Robust) -> None:  # noqa: F811
    write_plan()
    refused(robust(*GATED), "--gate needs gates: write a [gates] table into the plan")
    write_plan(top="[gates]\nrobust_accuracy = { '3/255' = 0.5 }\n")
    refused(robust("audit", "plan.toml", "--out", "run"), "no attack runs at eps 3/255", "2/255")
    write_plan(top=FAILS)
    refused(robust(*GATED, "--eps", "1/255"), "robust_accuracy: no attack runs at eps 2/255")
    write_plan(top="[gates]\nno_flags = ['few grups']\n")
    refused(robust(*GATED), "unknown warning 'few grups'")


def test_a_gate_on_dice_looks_at_the_lower_end_of_the_mean() -> None:
    gates = {"clean_accuracy": 0.85, "robust_accuracy": 0.5, "dice": {"1/255": 0.75, "4/255": 0.9}}
    found = {result.name: result for result in judge_gates(outline_report(gates=gates))}
    assert list(found) == [
        *("outlined well without attack", "still outlined well at L∞ 4/255"),
        *("mean Dice at L∞ 1/255", "mean Dice at L∞ 4/255"),
    ]
    good, bad = found["mean Dice at L∞ 1/255"], found["mean Dice at L∞ 4/255"]
    assert (good.outcome, good.bound) == ("passed", pytest.approx(0.77))
    assert good.why == "0.810 [0.770, 0.850]: the lower bound reaches 0.75"
    assert bad.why == "0.180 [0.140, 0.220]: the whole interval lies below 0.9"
    # Of 80 groups with a perfect Dice the lower bound would be 0.963.
    high = judge_gates(outline_report(gates={"dice": {"1/255": 0.84}}))[0]
    assert high.outcome == "failed"
    row = dataclasses.replace(outline_report().worst_cases[0], scores=Scores(None, dice=_perfect()))
    (never,) = judge_gates(outline_report(gates={"dice": 0.97}, worst_cases=(row,)))
    assert never.outcome == "undecided"
    assert never.why.startswith("80 groups cannot show it: even if every Dice were 1, the lower")
    assert "needs 99 groups" in never.why
    fewest = [mean_interval(np.ones(groups), np.ones(groups), 1.0)[0] for groups in (98, 99)]
    assert fewest[0] < 0.97 <= fewest[1]


def _perfect() -> Estimate:
    return Estimate(1.0, 0.963, 1.0, 100, 80)


def test_gates_that_outlines_do_not_have_do_not_pass() -> None:
    (result,) = judge_gates(outline_report(gates={"sensitivity": 0.5}))
    assert result.outcome == "undecided" and result.name == "sensitivity at L∞ 4/255"
    (result,) = judge_gates(gated({"dice": 0.5}))
    assert result.outcome == "undecided" and "could not be evaluated" in result.why


def test_a_gate_on_dice_names_an_eps_of_the_plan() -> None:
    raw = {"attacks": [{"name": "PGD"}], "audit": {"eps": ["1/255"]}}
    check_gates(make_plan({**raw, "gates": {"dice": {"1/255": 0.7}}}, "plan"))
    with pytest.raises(InputError, match=r"\[gates\] dice: no attack runs at eps 2/255"):
        check_gates(make_plan({**raw, "gates": {"dice": {"2/255": 0.7}}}, "plan"))


# --- certificates and corruptions ---


def proven(gates: Any, **changes: Any) -> list[tuple[str, str]]:
    both = {"certificates": (bounds(), smoothing()), "corruptions": corruptions(), "flags": ()}
    found = judge_gates(gated(gates, **{**both, **changes}))
    return [(result.name, result.outcome) for result in found]


def test_certified_accuracy_is_judged_in_the_norm_of_its_certificate() -> None:
    keys = {"1/255": 0.49, "L2 0.25": 0.49, "RandomizedSmoothing 0.5": 0.5, "9/255": 0.1}
    bound, drawn, named, missing = proven({"certified_accuracy": keys})
    assert bound == ("certified accuracy by IntervalBounds at L∞ 1/255", "passed")
    assert drawn == ("certified accuracy by RandomizedSmoothing at L2 0.25", "passed")
    assert named == ("certified accuracy by RandomizedSmoothing at L2 0.5", "failed")
    assert missing == ("certified accuracy, 9/255", "undecided")
    (result, *_) = judge_gates(
        gated({"certified_accuracy": {"1/255": 0.49}}, certificates=(bounds(),), flags=())
    )
    assert result.path == "/certificates/0/points/0/certified" and result.bound == 0.49


def test_a_single_number_is_for_the_largest_eps_of_each_certificate() -> None:
    found = proven({"certified_accuracy": 0.1})
    assert [name for name, _ in found] == [
        "certified accuracy by IntervalBounds at L∞ 3/255",
        "certified accuracy by RandomizedSmoothing at L2 0.75",
    ]
    assert proven({"certified_accuracy": 0.1}, certificates=()) == [
        ("certified accuracy", "undecided")
    ]


def test_a_crossed_certificate_lets_no_gate_on_it_pass() -> None:
    crossed = FLAG_TEXTS["certificate crossed"].flag("seen")
    found = proven({"certified_accuracy": {"1/255": 0.3}}, flags=(crossed,))
    assert [outcome for _, outcome in found] == ["undecided"]


def test_corrupted_accuracy_is_one_less_the_error() -> None:
    found = proven({"corrupted_accuracy": {"stamp": 0.7, "ghosting": 0.7, "snow": 0.5}})
    assert found == [
        ("balanced accuracy under stamp", "passed"),
        ("balanced accuracy under ghosting", "failed"),
        ("balanced accuracy under snow", "undecided"),
    ]
    assert proven({"corrupted_accuracy": 0.6}) == [("balanced accuracy under corruption", "passed")]
    assert proven({"corrupted_accuracy": 0.6}, corruptions=None) == [
        ("balanced accuracy under corruption", "undecided")
    ]


@pytest.mark.parametrize(
    ("gates", "said"),
    [
        ({"certified_accuracy": {"1/255": 0.5, "Linf 0": 2}}, "above 0 and below 1"),
        ({"certified_accuracy": {"near": 0.5}}, "not a number"),
        ({"certified_accuracy": {"X 0.5": 0.5, "X  0.5": 0.6}}, "named twice"),
        ({"corrupted_accuracy": {}}, "empty"),
    ],
)
def test_gates_on_proofs_that_cannot_be_are_refused(gates: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        make_plan({"gates": gates})
