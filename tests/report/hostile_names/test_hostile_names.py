"""Names come from files, so that they may hold anything: in every format they come out as text.

Each page is held against the same page with harmless names: it must have the same elements, marks,
commands and colours, and the hostile names as they are between them.
"""

from __future__ import annotations

import base64
import csv
import dataclasses
import hashlib
import json
import re
import shutil
import subprocess
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from rich.console import Console
from torch import Tensor

from attacks import BIM, PGD, AttackTraits, Knowledge
from robust.auditing import audit
from robust.cases import Cases, open_cases
from robust.models import Classifier
from robust.records import Flag, Report
from robust.report.figures.every import report_figures
from robust.report.figures.style import ReportFigure
from robust.report.formats import markdown
from robust.report.formats.html import render_html
from robust.report.formats.latex import escape_latex, render_latex
from robust.report.formats.markdown import render_markdown
from robust.report.formats.terminal import render_terminal
from robust.report.text.format import plain
from robust.report.text.headline import headline
from robust.report.text.reproduce import plan_toml
from tests.report.hostile import NAMES, ElementPage, Nearest, calm, commands, controls
from tests.report.pages import ORDERS

CLASSES = tuple(NAMES.values())[1:21]
COLUMNS = tuple(NAMES.values())[::2]


@dataclass(frozen=True)
class Crash:
    """An attack that fails with every name at once."""

    norms: ClassVar[tuple[str, ...]] = ("Linf",)
    minimum_norm: ClassVar[bool] = False
    knowledge: ClassVar[Knowledge] = "none"
    traits: ClassVar[AttackTraits] = AttackTraits()
    passes: ClassVar[int] = 1
    stream_key: ClassVar[str] = "Crash()"

    def __call__(
        self, model: Any, x: Tensor, y: Tensor, threat: Any, streams: Any, target: Any = None
    ) -> Tensor:
        raise IndexError(NAMES["escape"] + NAMES["script"] + NAMES["link"])


def named(name: str, number: int) -> Any:
    """A short attack of that name, no two the same but the last two, which run once."""
    last = len(NAMES) - 2
    kind: Any = BIM if number >= last else PGD
    bare: Any = type(name.replace("\x00", ""), (kind,), {})
    return dataclasses.dataclass(frozen=True)(bare)(steps=2, step_size=(min(number, last) + 1) / 50)


def hostile_cases() -> Cases:
    """Phantoms whose every name is hostile: two a class, each column with two values."""
    cases = open_cases("phantom:chest_xray", count=2 * len(CLASSES), pixels=28)
    entries = tuple(
        dataclasses.replace(
            entry,
            id=f"{i}{CLASSES[i % len(CLASSES)]}",
            group=f"{CLASSES[i % len(CLASSES)]}{i}",
            label=i % len(CLASSES),
            metadata={name: name if i % 3 else "b" for name in COLUMNS}
            | {"label": CLASSES[i % len(CLASSES)], f"logit_{CLASSES[0]}": "a column as well"},
        )
        for i, entry in enumerate(cases.entries)
    )
    return dataclasses.replace(
        cases,
        source=" ".join(NAMES.values()),
        split=NAMES["script"],
        noun=NAMES["link"],
        classes=CLASSES,
        findings=(1,),
        entries=entries,
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the engine on hostile names alone."""
    out = tmp_path_factory.mktemp("names") / "run"
    cases = hostile_cases()
    images = torch.stack([cases[i].image for i in range(len(CLASSES))])
    audit(
        Classifier(Nearest(images), channels=1, head="softmax"),
        cases,
        attacks=[named(name, i) for i, name in enumerate(NAMES.values())] + [Crash()],
        eps=["64/255"],
        out=out,
        title=" ".join(NAMES.values()),
        device="cpu",
        doubts={"probe": False},  # it knows no name
    )
    return out


@pytest.fixture(scope="module")
def report(run: Path) -> Report:
    """Its report, with a warning for each name, which no check would raise."""
    found = Report.load(run / "report.json")
    warnings_ = tuple(Flag(name, name, name, name) for name in NAMES.values())
    return dataclasses.replace(found, flags=found.flags + warnings_)


@pytest.fixture(scope="module")
def twin(report: Report) -> Report:
    """The same report with harmless names."""
    return calm(report)


Pages = Callable[[str], tuple[ElementPage, ElementPage]]


@pytest.fixture(scope="module")
def pages(run: Path, report: Report, twin: Report) -> Pages:
    """The page of a template and its twin's; figures, the same in all, are drawn in one."""
    pictures = {path.name: path.read_bytes() for path in (run / "gallery").iterdir()}

    @cache
    def made(template: str) -> tuple[ElementPage, ElementPage]:
        order = ORDERS[template]
        with pytest.MonkeyPatch.context() as patch:
            if template == "standard":
                page = ElementPage(render_html(report, order, pictures))
            patch.setattr(ReportFigure, "svg", lambda figure, **_: "<svg></svg>")
            if template != "standard":
                page = ElementPage(render_html(report, order, pictures))
            return page, ElementPage(render_html(twin, order, pictures))

    return made


@pytest.mark.parametrize("template", ORDERS)
def test_no_name_makes_an_element_of_the_page(pages: Pages, template: str) -> None:
    page, other = pages(template)
    assert page.elements == other.elements
    assert page.loaded == other.loaded
    assert all(
        value.startswith(("#", "data:image/png;base64,"))
        for _, name, value in page.loaded
        if name in ("href", "src")
    )
    text = "\n".join(page.texts)
    assert not controls(text)
    for name in NAMES.values():
        assert plain(name) in page.texts, name


@pytest.mark.parametrize("template", ORDERS)
def test_only_our_script_runs(pages: Pages, template: str) -> None:
    page, _ = pages(template)
    (script,) = page.scripts
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    allowed = dict(part.strip().split(" ", 1) for part in page.policy.split(";"))
    assert allowed["script-src"] == f"'sha256-{digest}'"
    assert allowed["default-src"] == "'none'"
    assert "alert" not in script


@pytest.mark.parametrize("template", ORDERS)
def test_no_name_makes_a_mark_in_markdown(
    report: Report, twin: Report, template: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    markdown_it = pytest.importorskip("markdown_it")
    monkeypatch.setattr(markdown, "MOST", 1_000_000)  # long names would shorten one of the two
    parser = markdown_it.MarkdownIt("commonmark").enable(["table", "strikethrough"])

    def tokens(made: Report) -> tuple[list[str], list[str], list[str]]:
        every = parser.parse(render_markdown(made, ORDERS[template]))
        inline = [child for token in every for child in token.children or ()]
        kinds = [t.type for t in every] + [t.type for t in inline if t.type != "text"]
        html = [t.content for t in (*every, *inline) if t.type.startswith("html")]
        texts = ["".join(c.content for c in t.children) for t in every if t.type == "inline"]
        return kinds, html, texts

    kinds, html, texts = tokens(report)
    assert kinds.count("td_open") > 500 and "fence" in kinds
    assert not {"link_open", "image", "html_inline", "code_inline", "s_open"} & set(kinds)
    assert (kinds, html) == tokens(twin)[:2]
    shown = [t.replace("\N{ZERO WIDTH JOINER}", "") for t in texts]
    for name in NAMES.values():
        assert any(plain(name) in text for text in shown), name


@pytest.mark.parametrize("template", ORDERS)
def test_rows_of_markdown_keep_their_cells(report: Report, template: str) -> None:
    text = render_markdown(report, ORDERS[template])
    assert not controls(text)
    wide = 0
    for block in re.findall(r"(?:^\|.*\n?)+", text, re.MULTILINE):
        borders = {len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) for line in block.splitlines()}
        assert len(borders) == 1, block
        wide += 1
    assert wide > 5
    assert not re.search(
        r"(?<!\\)\$|www\.|://|@\w", re.sub(r"`{3,}toml.*?\n`{3,}", "", text, flags=re.S)
    )


def test_the_plan_in_a_report_reads_back_with_its_names(report: Report) -> None:
    import tomllib

    text = plan_toml(report)
    assert not controls(text)
    assert tomllib.loads(text)["title"] == report.title
    assert [a["name"] for a in tomllib.loads(text)["attacks"]] == [
        a["name"] for a in report.plan["attacks"]
    ]


SPECIAL = "\\{}$&#%_~^<>|\"`'-[]*"


def test_each_special_character_of_latex_is_escaped() -> None:
    for mark in SPECIAL:
        made = escape_latex(f"a{mark}b")
        assert made != f"a{mark}b" or mark == "]", mark
        bare = re.sub(r"\\[a-z]+\{\}|\\[{}$&#%_]|\{[-*\[]\}", "", made)
        assert bare in ("ab", "a]b"), (mark, made)


def test_no_name_makes_a_command_in_latex(report: Report, twin: Report) -> None:
    text = render_latex(report)
    assert commands(text) == commands(render_latex(twin))
    assert len(commands(text)) > 1000
    assert not controls(text)
    assert not re.search(r"^\s*[\[*]", text, re.MULTILINE)


def test_lualatex_sets_the_names(report: Report, tmp_path: Path) -> None:
    if shutil.which("lualatex") is None:
        pytest.skip("needs lualatex")
    (tmp_path / "report.tex").write_text(render_latex(report), encoding="utf-8")
    (tmp_path / "paper.tex").write_text(
        "\\documentclass{article}\n\\usepackage{booktabs,graphicx}\n\\extrafloats{100}\n"
        "\\begin{document}\n\\input{report.tex}\n\\end{document}\n"
    )
    command = ["lualatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stdout[-2000:].decode("utf-8", "replace")
    if shutil.which("pdftotext") is None:
        pytest.skip("needs pdftotext to read what was set")
    subprocess.run(["pdftotext", "-layout", "paper.pdf"], cwd=tmp_path, check=True)
    text = (tmp_path / "paper.txt").read_text(encoding="utf-8")
    assert "root:" not in text
    squeezed = re.sub(r"\s", "", text)
    for key in ("script", "tex", "math", "template", "formula", "table", "link", "markup", "star"):
        assert re.sub(r"\s", "", NAMES[key]) in squeezed, key


def terminal(report: Report, *, colour: bool) -> str:
    out = StringIO()
    console = Console(
        file=out, width=80, color_system="256" if colour else None, force_terminal=colour
    )
    console.print(render_terminal(report, attacks=9, warnings=9))
    return out.getvalue()


def test_no_name_moves_the_cursor_or_colours_a_terminal(report: Report, twin: Report) -> None:
    dull = terminal(report, colour=False)
    assert not controls(dull)
    ours = re.compile(r"\x1b\[[\d;]*m")
    bright = terminal(report, colour=True)
    assert ours.findall(bright) == ours.findall(terminal(twin, colour=True))
    assert not controls(ours.sub("", bright))
    shown = next(iter(report.attacks))
    assert plain(shown)[:10] in dull
    only = dataclasses.replace(
        report, rows=tuple(r for r in report.rows if r.attack == NAMES["markup"])
    )
    assert "[/red][bold]x" in terminal(only, colour=False)


def test_names_in_sentences_stay_whole_or_end_in_dots(report: Report) -> None:
    for name in CLASSES:
        audit_ = {**report.plan["audit"], "target": name}
        said = headline(dataclasses.replace(report, plan={**report.plan, "audit": audit_}))
        assert not any(map(controls, said))
        start = plain(name)[:20]
        assert f"that are not of class '{start}" in said[1] and f"as '{start}" in said[1]
        assert all(len(sentence) < 700 for sentence in said)


NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def test_no_cell_of_the_csv_is_a_formula(run: Path) -> None:
    with (run / "outcomes.csv").open(newline="", encoding="utf-8") as file:
        lines = list(csv.reader(file))
    assert len({len(line) for line in lines}) == 1 and len(lines) > 500
    escaped = set()
    for line in lines:
        for cell in line:
            assert cell[:1] not in {*"=+-@\t\r\n"} or NUMBER.fullmatch(cell), cell
            if cell[:1] == "'":
                escaped.add(cell[1:])
    dangerous = {NAMES[k] for k in ("formula", "sum", "minus", "at", "tab", "return")}
    assert dangerous <= escaped


def test_parquet_has_each_name_as_it_is_and_the_csv_says_the_same(run: Path) -> None:
    columns = pq.read_table(run / "outcomes.parquet")
    cases = hostile_cases()
    names = set(columns.column_names)
    assert len(names) == columns.num_columns
    assert set(COLUMNS) | {"metadata_label", f"metadata_logit_{CLASSES[0]}"} <= names
    assert {f"logit_{name}" for name in CLASSES} <= names
    clean = columns.slice(0, len(cases)).to_pylist()
    for entry, line in zip(cases.entries, clean, strict=True):
        assert line["case"] == entry.id and line["group"] == entry.group
        assert line["label"] == cases.classes[entry.label] == line["metadata_label"]
        assert {name: line[name] for name in COLUMNS} == {
            name: entry.metadata[name] for name in COLUMNS
        }
    raw = {name.replace("\x00", "") for name in list(NAMES.values())[:-1]}
    assert raw <= set(columns["attack"].to_pylist())
    failures = set(columns["failure"].to_pylist()) - {None}
    assert any(NAMES["script"] in failure for failure in failures)
    assert {row.same_as for row in Report.load(run / "report.json").rows} == {
        None,
        list(NAMES.values())[-2],
    }
    with (run / "outcomes.csv").open(newline="", encoding="utf-8") as file:
        header, *lines = csv.reader(file)
    assert [cell.removeprefix("'") for cell in header] == columns.column_names
    assert len(lines) == columns.num_rows
    for name, shown in zip(columns.column_names, zip(*lines, strict=True), strict=True):
        values = columns[name].to_pylist()
        if isinstance(next((v for v in values if v is not None), None), str):
            assert [s.removeprefix("'") for s in shown] == [v or "" for v in values], name
        elif name.startswith("logit_"):
            np.testing.assert_array_equal(np.array(shown, "f4"), np.array(values, "f4"))


def test_report_json_gives_each_name_back(report: Report, tmp_path: Path) -> None:
    report.save(tmp_path / "report.json")
    assert Report.load(tmp_path / "report.json") == report
    assert json.loads((tmp_path / "report.json").read_text())["data"]["classes"].keys() == set(
        CLASSES
    )
    found = report
    assert found.title == " ".join(NAMES.values())
    assert {part.column for part in found.clean.subgroups} == {
        *COLUMNS,
        "label",
        f"logit_{CLASSES[0]}",
    }
    assert set(found.clean.scores.recall) == set(CLASSES)


def test_figures_bear_any_name_in_silence(
    report: Report, capfd: pytest.CaptureFixture[str]
) -> None:
    few = [list(report.attacks)[i : i + 12] for i in (0, 12, 24)]
    for labels in few:
        part = dataclasses.replace(report, rows=tuple(r for r in report.rows if r.attack in labels))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            drawn = report_figures(part)
            assert drawn
            for figure in drawn:
                root = ET.fromstring(figure.svg())
                assert not [e for e in root.iter() if str(e.tag).endswith("script")]
                assert figure.png(80).startswith(b"\x89PNG")
    assert capfd.readouterr().err == ""


def test_each_attack_has_its_line_in_the_legend(report: Report) -> None:
    for name in NAMES.values():
        label = name.replace("\x00", "")
        rows = [r for r in report.rows if r.attack == label and r.same_as is None]
        part = dataclasses.replace(report, rows=tuple(rows))
        axes = report_figures(part)[0].draw().axes[0]
        legend = axes.get_legend()
        assert legend is not None
        shown = [text.get_text() for text in legend.get_texts()]
        assert len(shown) == 1 + len(rows), name
        if rows and "\x00" not in name:
            assert plain(name)[:27] in shown[1]
