"""Texts beside a report: what answers a point is there, and flips to unanswered where it is not."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from robust.errors import InputError
from robust.records import FLAG_TEXTS, FLAGS, Report, Survival, Twin, TwinShownImages, Visibility
from robust.records.inputs import ProbeCost, Timings
from robust.report import TEMPLATES, UNFINISHED, write_report
from robust.report.crosswalk.answers import PointAnswer, answers, status_sentence
from robust.report.crosswalk.concerns import CONCERNS, doubts
from robust.report.crosswalk.evidence import EVIDENCE, found
from robust.report.crosswalk.texts import CROSSWALKS, read_crosswalk
from robust.report.figures.style import ReportFigure
from robust.report.formats.html import render_html
from robust.report.formats.markdown import render_markdown
from robust.report.layout.crosswalk import CLAIM, crosswalk_order
from robust.report.layout.document import with_content
from robust.report.layout.regulatory import regulatory
from robust.report.layout.standard import standard
from tests.records.test_report import report
from tests.report.certified import certified_report, corruptions, share
from tests.report.detected import SCENARIO_REPORT, detection, evaded
from tests.report.outlined import outline_report
from tests.report.pages import at


@functools.cache
def rich() -> Report:
    """A report in which every kind of evidence can be found but the scores of findings."""
    small, large = share(0.3), share(0.8)
    shown = TwinShownImages("Linf", 1 / 255, large, large, small, small, small)
    made = dataclasses.replace(
        SCENARIO_REPORT,
        certificates=certified_report().certificates,
        corruptions=corruptions(),
        detection=evaded(detection()),
        twin=Twin("ONNX", "0", large, large, large, shown=(shown,)),
        survival=(Survival(1 / 255, 1.0, 256, large, small, None, small, small),),
        visibility=(Visibility("Linf", 1 / 255, 40, 0.004, 48.0, 41.0),),
        timings=Timings(1.0, probe=ProbeCost(16, 100, 1.0)),
    )
    plan = {**made.plan, "gates": {"clean_accuracy": 0.9}, "report": {"intended_use": "triage"}}
    return dataclasses.replace(made, plan=plan)


REPORTS = {
    "rich": rich(),
    "bare": report(),
    "certified": certified_report(),
    "outlines": outline_report(),
}


def answer(made: Report, name: str, topic: str) -> PointAnswer:
    """The answer to the one point of this topic."""
    (one,) = [a for a in answers(made, read_crosswalk(name)) if a.point.topic == topic]
    return one


# --- the texts ---


@pytest.mark.parametrize("name", CROSSWALKS)
def test_a_text_says_what_was_looked_at_and_when(name: str) -> None:
    text = read_crosswalk(name)
    assert datetime.date(2026, 1, 1) < text.looked_at <= datetime.date.today()
    assert len(text.looked_at_what) > 80 and text.edition and text.status and text.publisher
    topics = [point.topic for point in text.points]
    assert len(topics) == len(set(topics)) > 8
    for point in text.points:
        assert set(point.answered_by) | set(point.also) <= set(EVIDENCE), point.topic
        assert bool(point.answered_by) != bool(point.outside), point.topic
        assert not set(point.answered_by) & set(point.also) and point.asks


@pytest.mark.parametrize("name", CROSSWALKS)
def test_membership_inference_is_named_as_out_of_scope(name: str) -> None:
    outside = " ".join(point.outside for point in read_crosswalk(name).points).lower()
    assert "membership inference" in outside or "privacy attacks" in outside
    assert any("membership inference" in sentence for sentence in CLAIM)


def test_the_dates_of_the_ai_act_are_those_of_2026() -> None:
    dates = " ".join(read_crosswalk("eu-ai-act").dates)
    assert "Annex III: from 2 December 2027" in dates and "medical devices" in dates
    assert "from 2 August 2028" in dates


def test_every_kind_of_evidence_is_used_and_every_warning_is_sorted() -> None:
    used = {
        name
        for text in map(read_crosswalk, CROSSWALKS)
        for point in text.points
        for name in (*point.answered_by, *point.also)
    }
    assert used == set(EVIDENCE) and set(CONCERNS) == set(FLAGS)


def test_what_a_run_lacks_is_got_by_options_and_names_that_exist() -> None:
    from attacks import ATTACKS
    from robust.certificates.registry import CERTIFICATES
    from robust.cli.audit import PANELS

    options = {option.flag.split("/")[0] for _, group in PANELS for option in group}
    named = [re.findall(r"(--[a-z-]+)(?: ([A-Z]\w+))?", kind.remedy) for kind in EVIDENCE.values()]
    values = {option: value for found in named for option, value in found}
    assert set(values) <= options and len(values) > 5
    assert values["--certificate"] in CERTIFICATES and values["--attack"] in ATTACKS
    every = [value for found in named for option, value in found if option == "--attack" and value]
    assert set(every) <= set(ATTACKS) and len(every) == 3
    proofs = [value for found in named for option, value in found if option == "--certificate"]
    assert set(proofs) <= set(CERTIFICATES) and len(proofs) == 2


# --- what answers a point ---


def test_a_rich_report_holds_every_kind_of_evidence() -> None:
    missing = {"errors", "noise", "curve", "score-based", "spatial", "calibration"}
    assert set(found(rich(), tuple(EVIDENCE))) == set(EVIDENCE) - missing


@pytest.mark.parametrize(
    ("name", "topic", "lost", "before", "after"),
    [
        ("iso-24029", "stability", {"certificates": ()}, "evidence in part", "not in this run"),
        ("nist-ai-100-2", "mitigation: formal verification", {"certificates": ()},
         "evidence", "not in this run"),
        ("nist-ai-100-2", "mitigation: detection, under adaptive attack",
         {"detection": detection()}, "evidence", "evidence in part"),
        ("nist-ai-100-2", "evasion: universal perturbation", {"scenarios": ()},
         "evidence", "not in this run"),
        ("owasp-aisvs", "anomaly detection before inference", {"detection": None},
         "evidence in part", "not in this run"),
        ("eu-ai-act", "errors, faults and inconsistencies", {"corruptions": None},
         "evidence in part", "not in this run"),
        ("aami-cr515", "deployment: what is shipped", {"twin": None},
         "evidence", "evidence in part"),
        ("iso-24029", "curvature", {"timings": Timings()}, "evidence in part", "not in this run"),
        ("eu-ai-act", "confidentiality attacks", {"certificates": ()}, "outside", "outside"),
    ],
)  # fmt: skip
def test_a_point_flips_where_its_evidence_is_missing(
    name: str, topic: str, lost: dict[str, object], before: str, after: str
) -> None:
    made = rich()
    assert answer(made, name, topic).status == before
    without = answer(dataclasses.replace(made, **lost), name, topic)  # type: ignore[arg-type]
    assert without.status == after
    if before != after:
        assert any(sentence.startswith("This run has no ") for sentence in without.open)
    assert without.open


def test_a_proof_by_chance_is_no_calculated_proof() -> None:
    (_, smoothed) = certified_report().certificates
    made = dataclasses.replace(rich(), certificates=(smoothed,))
    assert answer(made, "iso-24029", "stability").status == "not in this run"
    assert answer(made, "iso-24029", "statistical reliability engineering").status == (
        "evidence in part"
    )


def test_the_count_of_a_page_is_that_of_its_points() -> None:
    given = answers(rich(), read_crosswalk("eu-ai-act"))
    counts = [int(n) for n in re.findall(r"\d+", status_sentence(given))]
    assert counts[0] == sum(counts[1:]) == len(given)


# --- numbers, doubts, places ---


@pytest.mark.parametrize("made", REPORTS.values(), ids=REPORTS)
def test_every_result_is_at_its_place_in_report_json_with_its_interval(made: Report) -> None:
    raw = json.loads(made.to_json())
    seen = 0
    for results in found(made, tuple(EVIDENCE)).values():
        for one in results:
            there = at(raw, one.path)  # raises where there is none
            if isinstance(there, dict) and {"value", "low", "high"} <= set(there):
                seen += 1
                texts = [
                    f"{100 * there['value']:.1f} % [{100 * there['low']:.1f}, {100 * there['high']:.1f}]",
                    f"{there['value']:.3f} [{there['low']:.3f}, {there['high']:.3f}]",
                ]
                assert any(text in one.text for text in texts), one
    assert seen > 2


@pytest.mark.parametrize("made", REPORTS.values(), ids=REPORTS)
def test_every_section_that_shows_evidence_is_on_the_page(made: Report) -> None:
    sections = {section.name for section in with_content(standard(made))}
    there = found(made, tuple(EVIDENCE))
    named = {EVIDENCE[kind].section for kind in there} - {""}
    assert named - sections <= (set() if made.flags else {"warnings"})
    assert len(named) > 3


class Links(HTMLParser):
    """Links within a page and the ids that they may lead to."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.ids.add(named.get("id") or "")
        if tag == "a" and (named.get("href") or "").startswith("#"):
            self.links.append(str(named["href"])[1:])


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are not drawn: that is what takes long of a page."""
    monkeypatch.setattr(ReportFigure, "svg", lambda figure, **_: "<svg></svg>")


@pytest.mark.parametrize("name", CROSSWALKS)
def test_a_page_shows_every_point_and_leads_to_its_evidence(name: str, undrawn: None) -> None:
    order = crosswalk_order(name)
    for made in (rich(), dataclasses.replace(report(), flags=())):
        page = render_html(made, order)
        found = Links(page)
        assert set(found.links) <= found.ids and {"crosswalk", "text"} <= found.ids
        assert "claims no conformity" in page and read_crosswalk(name).looked_at.isoformat() in page
        text = render_markdown(made, order)
        assert text.count("\n| ") > len(read_crosswalk(name).points)
        for point in read_crosswalk(name).points:
            assert point.topic in text, point.topic
        assert not re.search(r"(?<![\w.])(None|nan|inf)(?!\w)", text)


def test_no_point_is_left_out_where_markdown_is_short_of_space() -> None:
    made = rich()
    rows = made.rows * 400
    text = render_markdown(dataclasses.replace(made, rows=rows), crosswalk_order("nist-ai-100-2"))
    assert all(point.topic in text for point in read_crosswalk("nist-ai-100-2").points)
    assert "more row" in text


def test_a_warning_stands_beside_what_it_weakens_and_nothing_else() -> None:
    masked = FLAG_TEXTS["gradients vanish"].flag("seen")
    made = dataclasses.replace(rich(), flags=(masked,))
    assert doubts(made, "attacks") == (masked,)
    assert not doubts(made, "proofs") and not doubts(made, "record")
    assert answer(made, "nist-ai-100-2", "knowledge: transfer from a surrogate").doubts == (
        "gradients vanish",
    )
    assert answer(made, "nist-ai-100-2", "mitigation: formal verification").doubts == ()
    unknown = dataclasses.replace(masked, name="a warning of a newer version")
    assert doubts(dataclasses.replace(made, flags=(unknown,)), "proofs")


def test_the_technical_file_maps_the_same_points() -> None:
    def annex(made: Report) -> dict[str, str]:
        (section,) = [one for one in regulatory(made) if one.name == "references"]
        (table,) = section.blocks[0].tables  # type: ignore[union-attr]
        return {row.cells[1].text: row.cells[2].text for row in table.rows}

    full, bare = annex(rich()), annex(report())
    assert full["errors, faults and inconsistencies"] == "6 (in part)"
    assert bare["errors, faults and inconsistencies"] == "not in this run"
    assert full["data and model poisoning"] == bare["data and model poisoning"] == "not covered"
    assert full["adversarial examples, model evasion"] == "3, 4, 6 (in part)"


# --- files ---


def test_templates_are_files_of_their_own(tmp_path: Path) -> None:
    assert set(CROSSWALKS) < set(TEMPLATES)
    written = write_report(report(), tmp_path, "md", template="eu-ai-act")
    assert [path.name for path in written] == ["eu-ai-act.md"]
    assert {"unfinished-eu-ai-act.html", "unfinished-fda.md"} <= set(UNFINISHED)
    with pytest.raises(InputError, match=r"unknown template 'eu-ai'; did you mean eu-ai-act"):
        write_report(report(), tmp_path, "md", template="eu-ai")
