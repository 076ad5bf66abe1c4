"""Two runs side by side: against counts made by hand, against their own reports, and refused."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from attacks import CarliniWagnerL2
from robust.auditing import audit
from robust.cases import open_cases
from robust.cli.app import app
from robust.errors import InputError
from robust.models import Classifier
from robust.records import FLAG_TEXTS, AttackResult, Estimate, Report, Scores, SweepReport
from robust.report.comparison.compare import Change, Comparison, compare_runs
from robust.report.comparison.show import as_json, as_markdown, print_comparison
from robust.report.comparison.write import read_comparison
from tests.engine.nets import trained
from tests.records.test_report import report
from tests.report.hostile import NAMES, ElementPage

CASES = 10
COLUMNS = (
    *("case", "group", "label", "attack", "norm", "eps", "prediction", "success", "linf", "l2"),
    *("passes", "saturated", "failure"),
)
Line = tuple[int, str, float | None, bool, float]
"""Case, attack, eps, whether it fell, how far it was moved (L-inf)."""

OLD: tuple[set[int], dict[tuple[str, float], set[int]]] = (
    {9},
    {("PGD", 0.1): {0, 1}, ("FGSM", 0.2): {0}},
)
NEW: tuple[set[int], dict[tuple[str, float], set[int]]] = (
    {8, 9},
    {("PGD", 0.1): {0, 1, 2, 3}, ("FGSM", 0.2): {0, 4}},
)
"""Who is wrong when clean, and who falls under which attack. In FGSM's images case 4 has moved by
0.05 alone: it falls in the worst case at 0.1 as well."""


def write_run(
    folder: Path,
    wrong: set[int],
    fallen: Mapping[tuple[str, float], set[int]],
    *,
    count: int = CASES,
    names: Callable[[int], str] = "case {}".format,
    group: Callable[[int], str] = "patient {}".format,
    classes: tuple[str, str] = ("normal", "opacity"),
    attacks: Mapping[str, str] = {"PGD": "PGD(steps=40)", "FGSM": "FGSM()"},
    **plan: Any,
) -> Path:
    """A run directory by hand: odd cases have the finding."""
    folder.mkdir()

    def lines() -> Iterable[list[object]]:
        for i in range(count):
            said = (i % 2) ^ (i in wrong)
            yield [*named(i), "clean", "", "", classes[said], *[""] * 6, *logits(said)]
        for (attack, eps), fell in fallen.items():
            for i in range(count):
                if i not in wrong:
                    said = (i % 2) ^ (i in fell)
                    moved = 0.05 if (attack, i) == ("FGSM", 4) else eps
                    told = [classes[said], int(i in fell), moved, moved, 41, 0, ""]
                    yield [*named(i), attack, "Linf", eps, *told, *logits(said)]

    def named(i: int) -> list[str]:
        return [names(i), group(i), classes[i % 2]]

    def logits(said: int) -> list[float]:
        return [1.0 - said, float(said)]

    path = folder / "outcomes.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*COLUMNS, *(f"logit_{name}" for name in classes)])
        writer.writerows(lines())
    none = Scores(None)
    made = dataclasses.replace(
        report(),
        clean=dataclasses.replace(report().clean, scores=none, confusion=()),
        rows=tuple(AttackResult(attack, "Linf", eps, "exact", none) for attack, eps in fallen),
        worst_cases=tuple(
            AttackResult("worst case", "Linf", eps, "exact", none)
            for eps in sorted({e for _, e in fallen})
        ),
        plan={"audit": {"seed": 0, "goal": "error", "target": None, "norm": "Linf", **plan}},
        data=dataclasses.replace(
            report().data, classes=dict.fromkeys(classes, 5), findings=(classes[1],)
        ),
        table_sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        attacks=dict(attacks),
    )
    made.save(folder / "report.json")
    return folder


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path]:
    return write_run(tmp_path / "old", *OLD), write_run(tmp_path / "new", *NEW)


def change(found: Comparison, score: str, condition: str) -> Change:
    (one,) = [c for c in found.changes if (c.score, c.condition) == (score, condition)]
    return one


def test_each_number_is_the_one_counted_by_hand(runs: tuple[Path, Path]) -> None:
    found = compare_runs(*runs)
    assert (found.cases, found.groups, found.only_old, found.only_new) == (10, 10, 0, 0)
    assert found.notes == ()
    wanted = {
        ("accuracy", "clean"): (9 / 10, 8 / 10),
        ("sensitivity", "clean"): (4 / 5, 4 / 5),
        ("specificity", "clean"): (5 / 5, 4 / 5),
        ("robust accuracy", "PGD, L∞ 25.5/255"): (7 / 9, 4 / 8),
        ("robust accuracy", "FGSM, L∞ 51/255"): (8 / 9, 6 / 8),
        ("robust accuracy", "worst case, L∞ 25.5/255"): (7 / 9, 3 / 8),
        ("accuracy", "worst case, L∞ 25.5/255"): (7 / 10, 3 / 10),
        ("sensitivity", "worst case, L∞ 25.5/255"): (3 / 5, 2 / 5),
        ("specificity", "worst case, L∞ 51/255"): (4 / 5, 1 / 5),
        ("robust accuracy", "worst case, L∞ 51/255"): (7 / 9, 3 / 8),
    }
    for key, (old, new) in wanted.items():
        one = change(found, *key)
        assert (one.old.value, one.new.value) == pytest.approx((old, new)), key
        assert one.difference.value == pytest.approx(new - old), key
        assert one.difference.low <= new - old <= one.difference.high
    tolerance_applies = {(c.score, c.condition) for c in found.changes if c.tolerance_applies}
    assert tolerance_applies == {
        ("accuracy", "clean"),
        ("robust accuracy", "worst case, L∞ 25.5/255"),
        ("robust accuracy", "worst case, L∞ 51/255"),
    }


def test_a_run_beside_itself_shows_no_difference(runs: tuple[Path, Path]) -> None:
    found = compare_runs(runs[0], runs[0] / "report.json")
    assert len(found.changes) == 19
    for one in found.changes:
        assert one.difference.value == 0 and one.result == "equal on every case"
        assert one.difference.low < 0 < one.difference.high
    assert found.lost(0.0) == []
    assert found.agree and "The two runs agree on every case." in as_markdown(found, None)
    assert {change.result for change in found.changes} == {"equal on every case"}
    assert "| equal on every case |" in as_markdown(found, None)
    other = compare_runs(*runs)
    assert not other.agree and 0 < other.differ <= other.cases
    assert f"The two runs differ on {other.differ} of " in as_markdown(other, None)


def test_turned_around_it_says_the_opposite(tmp_path: Path) -> None:
    few, many = {("PGD", 0.1): set(range(4))}, {("PGD", 0.1): set(range(60))}
    old = write_run(tmp_path / "old", set(), few, count=80)
    new = write_run(tmp_path / "new", set(), many, count=80)
    there, back = compare_runs(old, new), compare_runs(new, old)
    for one, other in zip(there.changes, back.changes, strict=True):
        assert one.difference.value == -other.difference.value
        words = {"better": "worse", "worse": "better"}
        assert other.result == words.get(one.result, one.result)
    worst = change(there, "robust accuracy", "worst case, L∞ 25.5/255")
    assert worst.result == "worse" and worst.difference.value == pytest.approx(-0.7)
    assert [worst.tolerance_result(t) for t in (0.02, 0.7, 0.95)] == [
        "lost more",
        "undecided",
        "kept",
    ]
    assert there.lost(0.02) == [worst] and there.lost(0.7) == [] == back.lost(0.0)


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two networks on the same synthetic images, in two norms."""
    folder = tmp_path_factory.mktemp("compare")
    out = []
    for name, shift in (("old", 0.0), ("new", 0.4)):
        model = trained(28)
        model.get_parameter("5.bias").data[0] += shift
        out.append(folder / name)
        audit(
            Classifier(model, channels=1),
            open_cases("phantom:chest_xray", count=16, pixels=28),
            attacks=["FGSM", "PGD", "MarginPGD", CarliniWagnerL2(steps=15, binary_steps=2)],
            eps=["1/255", "4/255"],
            out=out[-1],
            gallery=0,
            doubts={"probe": False},
        )
    return out


def test_more_than_two_runs_are_the_page_of_a_sweep(audited: list[Path], tmp_path: Path) -> None:
    old, new = audited
    third = tmp_path / "third"
    shutil.copytree(old, third)
    runs = [str(run) for run in (old, new, third)]
    page = tmp_path / "made" / "page.html"
    assert CliRunner().invoke(app, ["compare", *runs, "--out", str(page)]).exit_code == 0
    assert "3 models are compared on 16 test images" in page.read_text(encoding="utf-8")
    found = CliRunner().invoke(app, ["compare", *runs, "--format", "json"])
    assert found.exit_code == 0 and len(json.loads(found.stdout)["members"]) == 3
    shown = CliRunner().invoke(app, ["compare", *runs])
    assert shown.exit_code == 0 and "3 models are compared" in " ".join(shown.stdout.split())


def test_a_tolerance_holds_each_of_several_runs_against_the_first(tmp_path: Path) -> None:
    old = write_run(tmp_path / "old", set(), {("PGD", 0.1): {0}}, count=60)
    new = write_run(tmp_path / "new", set(), {("PGD", 0.1): set(range(30))}, count=60)
    same = write_run(tmp_path / "same", set(), {("PGD", 0.1): {0, 1}}, count=60)
    runs = [str(run) for run in (old, same, new)]
    found = CliRunner().invoke(app, ["compare", *runs, "--tolerance", "0.02"])
    assert found.exit_code == 1
    lines = [line for line in found.stderr.splitlines() if line.startswith("robust: ")]
    assert len(lines) == 1 and lines[0].startswith(f"robust: {new}: robust accuracy, worst case")


def test_one_run_and_unknown_formats_are_refused(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", set(), {("PGD", 0.1): {0}}, count=60)
    for arguments, said in (
        ([run], "two or more run directories"),
        ([run, run, "--out", tmp_path / "page.pdf"], "unknown format 'pdf'"),
        ([run, run, "--out", tmp_path / "x", "--format", "text"], "or names a folder"),
        ([run, run, "--out", tmp_path / "run"], "holds other files (outcomes.csv)"),
    ):
        found = CliRunner().invoke(app, ["compare", *map(str, arguments)])
        assert found.exit_code != 0 and isinstance(found.exception, InputError)
        assert said in str(found.exception)


def test_a_folder_takes_every_format_and_is_written_anew(tmp_path: Path) -> None:
    old = write_run(tmp_path / "old", set(), {("PGD", 0.1): {0}}, count=60)
    new = write_run(tmp_path / "new", {3}, {("PGD", 0.1): {0, 1}}, count=60)
    out = tmp_path / "both"
    for _ in range(2):
        found = CliRunner().invoke(app, ["compare", str(old), str(new), "--out", str(out)])
        assert found.exit_code == 0 and f"wrote {out / 'comparison.html'}" in found.stdout
    assert read_comparison(out) == compare_runs(old, new)
    page = ElementPage((out / "comparison.html").read_text(encoding="utf-8"))
    text = " ".join(" ".join(page.texts).replace("\N{NO-BREAK SPACE}", " ").split())
    for said in ("Two runs side by side", "60 cases of 60 groups", "NEW - OLD"):
        assert said in text
    for change in compare_runs(old, new).changes:
        ends = [f"{100 * end:.1f}" for end in change.difference.interval or ()]
        assert f"{100 * change.difference.value:+.1f} [{', '.join(ends)}]" in text
    many = [str(run) for run in (old, new, old.rename(tmp_path / "first"))]
    many[0] = str(write_run(tmp_path / "third", set(), {("PGD", 0.1): {1}}, count=60))
    refused = CliRunner().invoke(app, ["compare", *many, "--out", str(out)])
    assert "holds other files (comparison.html)" in str(refused.exception)
    whole = CliRunner().invoke(app, ["compare", *many, "--out", str(tmp_path / "all")])
    assert whole.exit_code == 0, whole.exception
    assert SweepReport.load(tmp_path / "all").is_comparison
    assert {p.suffix for p in (tmp_path / "all").iterdir()} == {
        *(".json", ".html", ".md", ".csv", ".parquet")
    }


def test_it_has_the_numbers_of_both_reports(audited: list[Path]) -> None:
    found = compare_runs(*audited)
    reports = [Report.load(path / "report.json") for path in audited]
    assert found.notes == ()
    compared = 0
    for place, one in enumerate(reports):
        rows = {"clean": one.clean}
        rows |= {f"worst case, L∞ {k}/255": one.worst_cases[i] for i, k in enumerate((1, 4))}
        rows |= {f"{a}, L∞ 4/255": one.result(a, 4 / 255) for a in ("FGSM", "PGD", "MarginPGD")}
        rows["CarliniWagnerL2, L2 nearest"] = one.result("CarliniWagnerL2")
        for condition, row in rows.items():
            for score in ("robust accuracy", "accuracy", "sensitivity", "specificity"):
                estimate = getattr(row.scores, score.replace(" ", "_"))
                if estimate is None:
                    continue
                mine = change(found, score, condition)
                shown = (mine.old, mine.new)[place]
                assert dataclasses.astuple(shown) == pytest.approx(dataclasses.astuple(estimate))
                compared += 1
    assert compared == 2 * (3 + 4 * 6)


def test_it_has_the_worst_case_of_a_report_with_curves_in_l2(tmp_path: Path) -> None:
    """Distances in L2 have room for rounding; an image of one attack counts at every larger eps."""
    audit(
        Classifier(trained(28), channels=1),
        open_cases("phantom:chest_xray", count=24, pixels=28),
        attacks=["PGD", CarliniWagnerL2(steps=25, binary_steps=4)],
        out=tmp_path,
        gallery=0,
        norm="L2",
        eps=[0.1, 0.3, 0.6],
        cells="curve",
        doubts={"probe": False},
    )
    found = compare_runs(tmp_path, tmp_path)
    worst = Report.load(tmp_path / "report.json").worst_cases
    assert len(worst) == 3 and found.agree
    for row in worst:
        mine = change(found, "robust accuracy", row.condition)
        assert dataclasses.astuple(mine.old) == pytest.approx(
            dataclasses.astuple(row.robust_accuracy)
        )


def test_cases_that_one_run_has_alone_are_left_out_and_counted(tmp_path: Path) -> None:
    old = write_run(tmp_path / "old", *OLD)
    new = write_run(tmp_path / "new", *NEW, count=14)
    found = compare_runs(old, new)
    assert (found.cases, found.only_old, found.only_new) == (10, 0, 4)
    assert found.notes == (
        "compared on the cases that both runs have: 0 cases in OLD alone, 4 cases in NEW alone",
    )
    assert change(found, "accuracy", "clean").new.value == pytest.approx(0.8)


def test_only_what_both_runs_did_alike_is_compared(tmp_path: Path) -> None:
    """A run that drops its strongest attack must not look better for it."""
    old = write_run(tmp_path / "old", set(), {("PGD", 0.1): {0, 1, 2, 3}, ("FGSM", 0.1): {0}})
    weaker = write_run(tmp_path / "new", set(), {("FGSM", 0.1): {0}})
    found = compare_runs(old, weaker)
    worst = change(found, "robust accuracy", "worst case, L∞ 25.5/255")
    assert (worst.old.value, worst.new.value) == (0.9, 0.9)
    assert not [c for c in found.changes if c.condition.startswith("PGD")]
    assert "the worst case is over the attacks" in found.notes[0] and "PGD" in found.notes[0]
    few = write_run(
        tmp_path / "few",
        set(),
        {("PGD", 0.1): {0}, ("FGSM", 0.1): {0}},
        attacks={"PGD": "PGD(steps=2)", "FGSM": "FGSM()"},
    )
    found = compare_runs(old, few)
    assert change(found, "robust accuracy", "worst case, L∞ 25.5/255").old.value == 0.9
    assert found.notes[0] == "PGD: parameters differ between the two runs, so left out"


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"names": "other {}".format}, "have no case in common"),
    ({"goal": "miss"}, "the attacker's goal was 'error' and is 'miss'"),
    ({"group": lambda i: f"patient {i // 2}"}, "group the same cases differently"),
]


@pytest.mark.parametrize(("changes", "said"), REFUSED)
def test_runs_that_cannot_be_compared(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    old = write_run(tmp_path / "old", *OLD)
    new = write_run(tmp_path / "new", *NEW, **changes)
    with pytest.raises(InputError) as raised:
        compare_runs(old, new)
    assert said in str(raised.value)


def test_other_classes_other_labels_and_a_changed_table(
    runs: tuple[Path, Path], tmp_path: Path
) -> None:
    turned = write_run(tmp_path / "turned", *NEW, classes=("opacity", "normal"))
    with pytest.raises(InputError, match="the classes differ: normal and opacity before, opacity"):
        compare_runs(runs[0], turned)
    table = runs[1] / "outcomes.csv"
    text = table.read_text(encoding="utf-8")
    table.write_text(text.replace("case 3,patient 3,opacity", "case 3,patient 3,normal"), "utf-8")
    with pytest.raises(InputError, match="is not the table that"):
        compare_runs(*runs)
    made = Report.load(runs[1] / "report.json")
    digest = hashlib.sha256(table.read_bytes()).hexdigest()
    dataclasses.replace(made, table_sha256=digest).save(runs[1] / "report.json")
    with pytest.raises(InputError, match=r"case 3 is opacity in .* and normal in"):
        compare_runs(*runs)
    table.unlink()
    with pytest.raises(InputError, match=r"outcomes\.csv cannot be read: No such file"):
        compare_runs(*runs)


def test_a_report_of_an_older_version_is_refused_in_a_line(runs: tuple[Path, Path]) -> None:
    path = runs[1] / "report.json"
    raw = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**raw, "schema_version": 3}), encoding="utf-8")
    with pytest.raises(InputError, match="schema 3 of an older robust") as raised:
        compare_runs(*runs)
    assert str(path) in str(raised.value) and "\n" not in str(raised.value)


def test_names_of_any_kind_are_matched_and_stay_text(tmp_path: Path) -> None:
    def tolerance_applies(name: str) -> str:
        return f"'{name}" if name[0] in "=+-@\t\r\n" else name

    every = [name.replace("\x00", "") for name in NAMES.values()] + ["NA", "", "nan", "1.0"]
    hostile = {
        "count": len(every),
        "names": lambda i: tolerance_applies(every[i]) if every[i] else "",
        "classes": ("NA", "<b>|None`"),
    }
    fell = {(tolerance_applies(NAMES["formula"]), 0.1): {0, 1}, (NAMES["table"], 0.1): {2}}
    attacks = {NAMES["formula"]: "a", NAMES["table"]: "b"}
    runs = [write_run(tmp_path / n, {9}, fell, attacks=attacks, **hostile) for n in ("a", "b")]
    for run in runs:
        made = Report.load(run / "report.json")
        rows = tuple(
            dataclasses.replace(row, attack=name)
            for row, name in zip(made.rows, attacks, strict=True)
        )
        dataclasses.replace(made, rows=rows).save(run / "report.json")
    found = compare_runs(*runs)
    assert found.cases == len(every) and found.notes == ()
    worst = change(found, "robust accuracy", "worst case, L∞ 25.5/255")
    assert worst.new.value == pytest.approx((len(every) - 4) / (len(every) - 1))
    text = as_markdown(found, 0.02)
    assert "<" not in text.replace("&lt;", "")
    rows_of_table = [line for line in text.splitlines() if line.startswith("| ")]
    assert {line.replace("\\|", "").count("|") for line in rows_of_table} == {8}


def test_every_form_says_the_same(
    runs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    found = compare_runs(*runs)
    raw = json.loads(as_json(found, 0.02))
    assert len(raw["changes"]) == len(found.changes)
    assert raw["changes"][0]["difference"]["value"] == pytest.approx(-0.1)
    assert {entry["result"] for entry in raw["changes"]} == {c.result for c in found.changes}
    assert raw["changes"][0]["against tolerance"] == "undecided"
    text = as_markdown(found, None)
    d = change(found, "accuracy", "clean").difference
    shown = f"| accuracy | clean | 90.0 | 80.0 | -10.0 [{100 * d.low:.1f}, {100 * d.high:.1f}] |"
    assert shown in text
    print_comparison(found, 0.02, Console(width=80))
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80 and "…" not in out
    assert "worst case, L∞ 25.5/255" in out and "undecided" in out


def call(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "robust", "compare", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.slow
def test_exit_codes_as_a_pipeline_meets_them(tmp_path: Path) -> None:
    old = write_run(tmp_path / "old", set(), {("PGD", 0.1): {0}}, count=60)
    new = write_run(tmp_path / "new", set(), {("PGD", 0.1): set(range(30))}, count=60)
    assert call(old, new).returncode == 0
    worse = call(old, new, "--tolerance", "0.02", "--out", tmp_path / "made" / "diff.md")
    assert worse.returncode == 1
    assert [line[:8] for line in worse.stderr.splitlines() if "elapsed)" not in line] == [
        "robust: "
    ]
    assert "robust: robust accuracy, worst case, L∞ 25.5/255: -48.3 [" in worse.stderr
    assert "a loss of more than 2 is shown" in worse.stderr
    assert "lost more" in (tmp_path / "made" / "diff.md").read_text(encoding="utf-8")
    again = compare_runs(new, old)
    assert again.lost(0) == [] and json.loads(as_json(again, 0))["tolerance"] == 0


def flagged(run: Path, name: str) -> Path:
    """The run, with this warning in its report."""
    made = Report.load(run / "report.json")
    flags = (FLAG_TEXTS[name].flag("on 9 of 16 cases"),)
    dataclasses.replace(made, flags=flags).save(run / "report.json")
    return run


@pytest.mark.parametrize(
    ("name", "gain", "loss"),
    [
        ("gradients vanish", ("gradients vanish in NEW", ""), ("", "gradients vanish in OLD")),
        ("constant predictions", *[("constant predictions in {}",) * 2] * 2),
        ("few groups", ("", ""), ("", "")),
    ],
)
def test_a_warning_voids_what_it_makes_too_high(
    tmp_path: Path, name: str, gain: tuple[str, str], loss: tuple[str, str]
) -> None:
    """`gain` and `loss`: what is void where NEW, and where OLD, has the warning."""
    few = write_run(tmp_path / "few", set(), {("PGD", 0.1): {0}}, count=60)
    many = write_run(tmp_path / "many", set(), {("PGD", 0.1): set(range(30))}, count=60)
    bad = flagged(write_run(tmp_path / "bad", set(), {("PGD", 0.1): {0}}, count=60), name)
    for old, new, run, void in ((many, bad, "NEW", gain), (bad, many, "OLD", loss)):
        found = compare_runs(old, new)
        one = change(found, "robust accuracy", "worst case, L∞ 25.5/255")
        assert (one.void_gain, one.void_loss) == tuple(text.format(run) for text in void)
        word, kept, why = (
            ("better", "kept", one.void_gain)
            if run == "NEW"
            else ("worse", "lost more", one.void_loss)
        )
        assert one.result == (f"no verdict: {why}" if why else word)
        assert one.tolerance_result(0.02) == (f"no verdict: {why}" if why else kept)
        withheld = [c.score for c in found.withheld(0.02)]
        assert withheld == (["robust accuracy"] if why else [])
        assert any(f"{run}: {name}" in note for note in found.notes) is bool(why)
        assert change(found, "accuracy", "clean").void_gain == ""
    assert compare_runs(few, many).lost(0.02)


def test_an_unfinished_run_is_not_compared(runs: tuple[Path, Path]) -> None:
    made = Report.load(runs[1] / "report.json")
    dataclasses.replace(made, missing_stages=("probe", "table")).save(runs[1] / "report.json")
    with pytest.raises(InputError, match="not finished; missing: the probe, the per-case table"):
        compare_runs(*runs)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--tolerance", "2"), "--tolerance 2: write a share of the cases"),
        (("--format", "htm"), "unknown format 'htm'; did you mean html?"),
        (("--out", "x.pdf"), "unknown format 'pdf'"),
        (("--out", "x", "--format", "text"), "--out takes the format html, md or json"),
    ],
)
def test_bad_input_is_one_line(
    runs: tuple[Path, Path], arguments: tuple[str, ...], said: str
) -> None:
    from robust.cli.compare import compare

    values = dict(zip((a.removeprefix("--") for a in arguments[::2]), arguments[1::2], strict=True))
    kept: dict[str, Any] = {k: v for k, v in values.items() if k == "format"}
    if "tolerance" in values:
        kept["tolerance"] = float(values["tolerance"])
    if "out" in values:
        kept["out"] = Path(values["out"])
    with pytest.raises(InputError) as raised:
        compare(list(runs), **kept)
    assert said in str(raised.value) and "\n" not in str(raised.value)


def test_a_difference_is_worded_by_its_interval() -> None:
    def one(low: float, high: float) -> Change:
        e = Estimate(0.5, 0.4, 0.6, 9, 9)
        middle = Estimate((low + high) / 2, low, high, 9, 9)
        return Change("accuracy", "clean", e, e, middle, overall=True)

    assert one(0.01, 0.2).result == "better" and one(-0.2, -0.01).result == "worse"
    assert one(0.0, 0.2).result == one(-0.2, 0.0).result == "no difference shown"
