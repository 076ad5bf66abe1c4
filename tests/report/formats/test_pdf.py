"""PDF: what the page says is in it, by a browser and by WeasyPrint; neither asks the network."""

from __future__ import annotations

import dataclasses
import http.server
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from robust.errors import InputError
from robust.records import FindingEntry, FindingsReport, Report
from robust.report import write_report
from robust.report.figures.every import report_figures
from robust.report.findings import write_findings
from robust.report.findings.document import lead
from robust.report.formats import pdf
from robust.report.text.headline import headline
from tests.records.test_report import report
from tests.report.outlined_runs import STRUCTURES, outline_audit

BROWSER = next(filter(None, map(shutil.which, pdf.BROWSERS)), None)
READER = shutil.which("pdftotext")
NUMBER = re.compile(r"\d[\d.,]*")


PRINTERS = ("browser", "weasyprint")


@contextmanager
def only(printer: str) -> Iterator[None]:
    """One of both ways of printing; skips where it is not installed."""
    with pytest.MonkeyPatch.context() as patch:
        if printer == "browser":
            if BROWSER is None:
                pytest.skip("there is no Chromium here")
            patch.setitem(sys.modules, "weasyprint", None)
        else:
            pytest.importorskip("weasyprint")
            patch.setattr(pdf, "BROWSERS", ())
        yield


def long_report() -> Report:
    """A report whose table of results takes more than a page."""
    made = report()
    rows = tuple(dataclasses.replace(made.rows[0], eps=k / 255) for k in range(1, 60))
    return dataclasses.replace(made, rows=rows)


@pytest.fixture(scope="module", params=PRINTERS)
def text(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What `pdftotext` reads of a printed report; pages end in a form feed."""
    with only(request.param):
        (path,) = write_report(long_report(), tmp_path_factory.mktemp(request.param), "pdf")
    assert path.name == "report.pdf" and path.stat().st_mode & 0o077 == 0
    return read(path)


def read(path: Path) -> str:
    """What `pdftotext` reads of a file, columns side by side; skips where it is not there."""
    if READER is None:
        pytest.skip("needs pdftotext (Debian: apt-get install poppler-utils)")
    command = [READER, "-layout", str(path), "-"]
    return subprocess.run(command, capture_output=True, check=True).stdout.decode("utf-8")


def flat(text: str) -> str:
    return " ".join(text.replace("\N{NO-BREAK SPACE}", " ").split())


def test_the_lead_and_its_numbers_are_there(text: str) -> None:
    lead = headline(long_report())
    assert len(lead) > 1 and any(NUMBER.findall(sentence) for sentence in lead)
    for sentence in lead:
        assert flat(sentence) in flat(text)
    assert flat(text).count("[25.0, 75.0]") > 59


def test_every_page_has_its_number_and_every_part_of_a_table_its_heads(text: str) -> None:
    pages = [page for page in text.split("\f") if page.strip()]
    assert len(pages) > 3
    for number, page in enumerate(pages, 1):
        assert f"page {number} of {len(pages)}" in flat(page)
    within = [page for page in pages if len(re.findall(r"PGD, L\S* ", page)) > 5]
    assert len(within) > 1
    assert all("condition" in page and "accuracy" in page for page in within)


def test_no_control_is_printed(text: str) -> None:
    assert "Skip to the report" not in text and not re.search(r"Attack\s+all\b", text)


@pytest.fixture(scope="module")
def outlined(tmp_path_factory: pytest.TempPathFactory) -> tuple[Report, Path]:
    """A report on outlines, and its run with example images."""
    out = tmp_path_factory.mktemp("outlined") / "run"
    return outline_audit(out), out


@pytest.mark.slow
@pytest.mark.parametrize("printer", PRINTERS)
def test_outlines_are_printed_whole(printer: str, outlined: tuple[Report, Path]) -> None:
    """Every score of a structure, no head cut in the middle of a word, no page of a heading alone."""
    found, run = outlined
    with only(printer):
        (path,) = write_report(found, run, "pdf")
    printed = read(path)
    for row in (found.clean, *found.worst_cases):
        for name in STRUCTURES:
            dice = row.outlines[name].dice
            assert dice is not None and dice.low is not None and dice.high is not None
            assert f"{dice.value:.3f}" in printed
            assert f"[{dice.low:.3f}, {dice.high:.3f}]" in printed
    assert re.search(r"structure +condition +cases +Dice", printed)
    pages = [flat(page) for page in printed.split("\f") if page.strip()]
    (examples,) = [page for page in pages if "Example images" in page]
    assert "the model's under attack" in examples and "outlines: true" in examples
    thirds = [page for page in pages if "structure size cases" in page]
    assert thirds and all(re.search(r"(small|medium|large) \(", page) for page in thirds)
    assert all(len(page.split()) > 40 for page in pages[:-1])


@pytest.mark.slow
@pytest.mark.parametrize("printer", PRINTERS)
def test_several_findings_are_printed(printer: str, tmp_path: Path) -> None:
    entries = tuple(FindingEntry(name, name.lower()) for name in ("Edema", "Mass"))
    left = FindingEntry("Hernia", "hernia", "no case has it in split test")
    reports = tuple((entry, report(attacks={"PGD": "PGD(steps=20)"})) for entry in entries)
    found = FindingsReport("Two of three", (*entries, left), reports)
    with only(printer):
        (path,) = write_findings(found, tmp_path, "pdf")
    assert path == tmp_path / "report.pdf" and path.stat().st_mode & 0o077 == 0
    printed = flat(read(path))
    for sentence in lead(found):
        assert flat(sentence) in printed
    for entry, one in reports:
        assert re.search(rf"{entry.finding} \d+ \d+ {one.model.threshold:.3g}", printed)
    assert "Hernia no case has it in split test" in printed and "page 1 of" in printed


@pytest.mark.parametrize("printer", PRINTERS)
def test_nothing_is_asked_of_the_network(printer: str) -> None:
    asked = []

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/picture.png"
        page = f"<style></style><p>text</p><img src='{address}'><img src='file:///etc/hosts'>"
        with only(printer):
            assert pdf.print_page(page).startswith(b"%PDF")
        server.shutdown()
    assert not asked


def test_without_a_printer_a_line_says_how(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "weasyprint", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError) as refused:
        write_report(report(), tmp_path, "pdf")
    assert "install Chromium, or pip install 'robust-audit[pdf]'" in str(refused.value)
    assert not list(tmp_path.iterdir())


def test_a_browser_that_fails_is_named_with_its_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "weasyprint", None)
    browser = tmp_path / "chromium"
    browser.write_text("#!/bin/sh\necho 'No usable sandbox!' >&2\nexit 1\n", encoding="utf-8")
    browser.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match=r"printed no page \(No usable sandbox!\); a PDF is"):
        pdf.print_page("<p>text</p>")


def test_weasyprint_takes_over_where_the_browser_fails(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("weasyprint")
    browser = tmp_path / "chromium"
    browser.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    browser.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert pdf.print_page("<style></style><p>text</p>").startswith(b"%PDF")


def test_a_page_for_paper_has_no_figure_for_a_phone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """WeasyPrint would print it beside the other, and nobody would see it from a browser."""
    monkeypatch.setattr(pdf, "print_page", str.encode)
    (path,) = write_report(report(), tmp_path, "pdf")
    page = path.read_text(encoding="utf-8")
    figures = len(report_figures(report()))
    assert page.count('class="broad"') == page.count("<svg ") == figures > 0


def test_colours_of_figures_and_shades_are_written_out() -> None:
    page = (
        "<style>@media print { :root { --figure-0: #000; --figure-2: #0072b2; } }</style>"
        '<p style="fill: var(--figure-2)">'
        '<td class="below framed" style="--share: 0.50">'
    )
    plain = pdf.plain_page(page)
    assert "fill: #0072b2" in plain
    assert 'style="--share: 0.50; background: rgba(230, 120, 20, 0.25)"' in plain
