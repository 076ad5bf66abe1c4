"""JUnit XML: each gate as a test case, for CI servers."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

from robust.files import write_atomically
from robust.records import Report
from robust.report.gates import GateResult, judge_gates
from robust.report.text.format import flat

JUNIT = "junit.xml"

_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 does not allow."""


def junit(title: str, results: Sequence[GateResult]) -> bytes:
    """A test suite with one test case for each gate; of an unfinished run all fail and say why."""
    failures = [r for r in results if not r.passed]
    counts = {"tests": str(len(results)), "failures": str(len(failures)), "errors": "0"}
    root = ET.Element("testsuites", counts)
    suite = ET.SubElement(root, "testsuite", {"name": _legal(title), **counts, "skipped": "0"})
    for result in results:
        named = {"classname": "robust.gates", "name": _legal(result.name), "time": "0"}
        case = ET.SubElement(suite, "testcase", named)
        if not result.passed:
            attributes = {"message": _legal(result.why), "type": result.outcome}
            ET.SubElement(case, "failure", attributes).text = _legal(f"{result.name}: {result.why}")
    ET.indent(root)
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def write_junit(report: Report, folder: Path) -> Path:
    """Write junit.xml into the run directory, whole or not at all."""
    path = folder / JUNIT
    write_atomically(path, junit(report.title, judge_gates(report)))
    return path


def _legal(text: object) -> str:
    return _ILLEGAL.sub("\N{REPLACEMENT CHARACTER}", flat(text))
