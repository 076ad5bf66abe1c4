"""One page over all runs: every run with its numbers, and what cannot be read named, not a crash."""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path
from urllib.parse import unquote

import pytest

from robust.errors import InputError
from robust.records import Estimate, FindingEntry, FindingsReport, Report, Timings
from robust.report.comparison.compare import Change, Comparison
from robust.report.comparison.write import read_comparison, write_comparison
from robust.report.overview import (
    Overview,
    collect_runs,
    is_overview,
    overview_values,
    render_overview,
)
from tests.records.test_report import report
from tests.report.hostile import MARKUP, ElementPage
from tests.report.sweeps.made import sweep


def put(folder: Path, made: Report, *, page: bool = True) -> Path:
    folder.mkdir(parents=True)
    made.save(folder / "report.json")
    if page:
        (folder / "report.html").write_text("a page", encoding="utf-8")
    return folder


def dated(date: str, **changes: object) -> Report:
    return report(timings=Timings(1.0, audited=date), **changes)


def rendered(root: Path, page: Path | None = None) -> ElementPage:
    return ElementPage(render_overview(collect_runs(root), page or root / "index.html"))


def seen(page: ElementPage) -> str:
    return " ".join(" ".join(page.texts).replace("\N{NO-BREAK SPACE}", " ").split())


def links(page: ElementPage) -> list[str]:
    return [to for tag, name, to in page.loaded if (tag, name) == ("a", "href") and to[:1] != "#"]


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    root = tmp_path / "runs"
    put(root / "old", dated("2026-01-02T03:04:05Z", title="The old one"))
    put(root / "deep" / "new", dated("2026-11-26T12:46:02Z", title="The new one"))
    put(root / "bare", dated("2026-06-01T00:00:00Z"), page=False)
    return root


def test_runs_stand_by_date_with_numbers_intervals_and_links(runs: Path) -> None:
    page = rendered(runs)
    text = seen(page)
    assert re.search("deep/new .* bare .* old ", text)
    assert "3 finished runs. The newest, The new one, is of 2026-11-26 12:46 UTC." in text
    assert text.count("50.0 [25.0, 75.0]") == 6  # with and without attack
    assert links(page) == ["deep/new/report.html", "old/report.html"]
    assert "robust report" in text and "runs/bare --format html" in text


def test_the_worst_threat_is_the_smallest_with_the_lowest_accuracy(tmp_path: Path) -> None:
    made = report()
    assert made.clean.scores.accuracy is not None
    low = dataclasses.replace(made.clean.scores.accuracy, value=0.1, low=0.05, high=0.2)
    fallen = dataclasses.replace(made.clean.scores, robust_accuracy=low)
    first, last = made.worst_cases
    third = dataclasses.replace(last, eps=0.3, scores=fallen)
    cases = (first, dataclasses.replace(last, scores=fallen), third)
    put(tmp_path / "run", report(worst_cases=cases))
    (run,) = collect_runs(tmp_path).runs
    assert run.worst is not None and run.worst.worst_case.eps == last.eps == 0.2
    assert "10.0 [5.0, 20.0]" in seen(rendered(tmp_path))


def test_gates_and_warnings_are_counted(tmp_path: Path) -> None:
    plan = {**report().plan, "gates": {"clean_accuracy": 0.1, "no_flags": ["few groups"]}}
    plan["gates"]["robust_accuracy"] = 0.9
    plan["audit"] = {**plan["audit"], "norm": "Linf"}
    put(tmp_path / "run", report(plan=plan))
    (run,) = collect_runs(tmp_path).runs
    assert run.gates[1] == 3 and 0 < run.gates[0] < 3 and run.flags == 1
    assert f"{run.gates[0]} of 3 passed" in seen(rendered(tmp_path))
    assert "Of 1 run with gates, 0 passed all of them." in seen(rendered(tmp_path))


def test_sweeps_findings_and_unfinished_runs_are_listed(tmp_path: Path) -> None:
    (tmp_path / "sweep").mkdir()
    made = sweep()
    made.save(tmp_path / "sweep")
    (tmp_path / "sweep" / "sweep.html").write_text("", encoding="utf-8")
    put(tmp_path / "several" / "edema", report())
    entries = (FindingEntry("Edema", "edema"), FindingEntry("Mass", "mass", "no image has it"))
    FindingsReport("Two findings", entries, ()).save(tmp_path / "several")
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "outcomes.sqlite").touch()
    page = rendered(tmp_path)
    text = seen(page)
    assert f"{len(made.finished)} of {len(made.members)} models" in text
    assert "architecture: small_cnn and resnet18" in text and "seed: 0, 1 and 2" in text
    assert "1 of 2 findings" in text and "Two findings" in text
    assert "give the same audit command again" in text
    assert links(page) == ["several/edema/report.html", "sweep/sweep.html"]
    assert "1 finished run, 1 sweep, 1 of several findings and 1 not finished." in text


def test_comparisons_are_listed_with_what_was_compared(tmp_path: Path) -> None:
    """Of two runs, and of more, which have the page of a sweep but are none."""
    half = Estimate(0.5, 0.4, 0.6, 60, 30)
    change = Change("accuracy", "clean", half, half, Estimate(0.1, 0.05, 0.15, 60, 30), True)
    pair = Comparison(
        *("Net A (outcomes.csv 01234567)", MARKUP, 60, 30, 0, 0, False, 5),
        *((change,), ("a caveat",)),
    )
    (tmp_path / "a and b").mkdir()
    write_comparison(pair, 0.02, tmp_path / "a and b")
    assert read_comparison(tmp_path / "a and b") == pair
    made = sweep()
    elsewhere = tuple(dataclasses.replace(m, run="", training="") for m in made.members)
    many = dataclasses.replace(made, title="Several runs", members=elsewhere)
    (tmp_path / "many").mkdir()
    many.save(tmp_path / "many")
    put(tmp_path / "run", report())
    overview = collect_runs(tmp_path)
    assert [one.title for one in overview.comparisons] == ["Two runs side by side", "Several runs"]
    assert not overview.sweeps
    page = rendered(tmp_path)
    text = seen(page)
    assert "1 finished run and 2 comparisons." in text
    assert "Net A (outcomes.csv 01234567)" in text and MARKUP[:40] in text
    assert "60 cases of 30 groups" in text
    assert made.members[0].name in text and f"and {len(made.members) - 12} more" in text
    assert sorted(links(page)) == ["a%20and%20b/comparison.html", "run/report.html"]
    (first, second) = overview_values(overview)["comparisons"]
    assert first["compared"] == [pair.old, pair.new] and first["page"].endswith("comparison.html")
    assert second["compared"] == [member.name for member in made.members]


def test_a_damaged_comparison_is_named(tmp_path: Path) -> None:
    (tmp_path / "comparison.json").write_text('{"tolerance": 1, "changes": [3]}', encoding="utf-8")
    ((path, why),) = collect_runs(tmp_path).unreadable
    assert path == tmp_path / "comparison.json" and "not a comparison that robust wrote" in why


BROKEN = {
    "text": "no json",
    "foreign": '{"a": 1}',
    "list": "[1]",
    "newer": '{"schema_version": 999}',
    "part": '{"schema_version": 6, "title": "x"}',
}


def test_what_is_no_report_is_named_with_the_reason(runs: Path) -> None:
    for name, text in BROKEN.items():
        (runs / name).mkdir()
        (runs / name / "report.json").write_text(text, encoding="utf-8")
    (runs / "binary").mkdir()
    (runs / "binary" / "report.json").write_bytes(b"\xff\xfe\x00")
    (runs / "sweep").mkdir()
    (runs / "sweep" / "sweep.json").write_text("{}", encoding="utf-8")
    overview = collect_runs(runs)
    assert len(overview.runs) == 3
    bad = {path.relative_to(runs).as_posix() for path, _ in overview.unreadable}
    assert bad == {*(f"{n}/report.json" for n in (*BROKEN, "binary")), "sweep/sweep.json"}
    text = seen(rendered(runs))
    assert "7 files or folders could not be read" in text and "upgrade robust" in text


def test_hostile_names_stay_text_and_no_link_leads_out(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    names = ["javascript:alert(1)", "<script>x", '"onclick="alert(1)', "#top", "a?b", "%41", "é ü"]
    for name in names:
        put(root / name, report(title=MARKUP))
    page = rendered(root)
    assert len(page.scripts) == 1 and MARKUP[:40] in seen(page)
    assert "<script>x" in seen(page)
    found = links(page)
    assert sorted(map(unquote, found)) == sorted(f"{name}/report.html" for name in names)
    for link in found:
        assert not re.search(r"[:?#\"<> ]", link)


@pytest.mark.skipif(os.name != "posix", reason="names of bytes are those of POSIX")
def test_a_name_that_is_no_utf_8_is_shown_and_linked(tmp_path: Path) -> None:
    put(Path(os.fsdecode(os.fsencode(tmp_path) + b"/run\xff")), report())
    text = render_overview(collect_runs(tmp_path), tmp_path / "index.html")
    assert 'href="run%FF/report.html"' in text
    text.encode("utf-8")


def test_links_begin_where_the_page_lies(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "pages").mkdir()
    page = rendered(runs, tmp_path / "pages" / "all.html")
    assert links(page) == ["../runs/deep/new/report.html", "../runs/old/report.html"]
    for link in links(page):
        assert (tmp_path / "pages" / link).exists()


def test_hidden_folders_and_links_are_left_out(runs: Path, tmp_path: Path) -> None:
    put(runs / ".hidden", report())
    put(tmp_path / "elsewhere", report())
    (runs / "link").symlink_to(tmp_path / "elsewhere")
    assert len(collect_runs(runs).runs) == 3


def test_a_page_of_something_else_is_told_from_its_own(runs: Path) -> None:
    page = runs / "index.html"
    assert not is_overview(page)
    page.write_text("<p>my own page</p>", encoding="utf-8")
    assert not is_overview(page)
    page.write_text(render_overview(collect_runs(runs), page), encoding="utf-8")
    assert is_overview(page)


def test_no_folder_and_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        collect_runs(tmp_path / "nothing")
    assert isinstance(collect_runs(tmp_path), Overview) and collect_runs(tmp_path).is_empty
