"""Gates as people and machines of a CI read them: a table, a line, JUnit XML, a job summary."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

from robust.errors import InputError
from robust.files import write_atomically
from robust.records import Report
from robust.report.gates import GateResult, judge_gates
from robust.report.tables.gates import gate_table
from robust.report.text.format import counted, flat

JUNIT = "junit.xml"

_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 has no way to hold."""


def junit(title: str, results: Sequence[GateResult]) -> bytes:
    """A test suite with a test case a gate, as CI servers read it."""
    failures = [r for r in results if not r.passed]
    counts = {"tests": str(len(results)), "failures": str(len(failures)), "errors": "0"}
    root = ET.Element("testsuites", counts)
    suite = ET.SubElement(root, "testsuite", {"name": _legal(title), **counts, "skipped": "0"})
    for result in results:
        named = {"classname": "robust.gates", "name": _legal(result.name), "time": "0"}
        case = ET.SubElement(suite, "testcase", named)
        if not result.passed:
            said = {"message": _legal(result.why), "type": result.outcome}
            ET.SubElement(case, "failure", said).text = _legal(f"{result.name}: {result.why}")
    ET.indent(root)
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def write_junit(report: Report, folder: Path) -> Path:
    """junit.xml in the run directory, there as a whole or not at all."""
    path = folder / JUNIT
    write_atomically(path, junit(report.title, judge_gates(report)))
    return path


def job_summary(report: Report) -> str:
    """Markdown for the page of a CI job: what was found, gates, a verdict for each threat."""
    from robust.report.formats.markdown import render_markdown
    from robust.report.layout.blocks import DocumentSection, Tables
    from robust.report.layout.standard import verdict_blocks

    results = judge_gates(report)
    wrong = sum(not r.passed for r in results)
    title = (
        f"Gates: {wrong} of {counted(len(results), 'gate')} not passed" if wrong else "Gates passed"
    )
    text = render_markdown(
        report,
        lambda r: (
            DocumentSection("gates", title, (Tables((gate_table(results),)),)),
            DocumentSection("verdicts", "Verdict for each threat", verdict_blocks(r)),
        ),
    )
    return f"{text}\nThe whole report is report.html in the run directory.\n\n"


def append_summary(report: Report, path: Path) -> None:
    """Add the job summary to what other steps have put there; InputError."""
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(job_summary(report))
    except OSError as error:
        raise InputError(
            f"GITHUB_STEP_SUMMARY: {path} cannot be written: {error.strerror}"
        ) from None


def _legal(text: object) -> str:
    return _ILLEGAL.sub("\N{REPLACEMENT CHARACTER}", flat(text))
