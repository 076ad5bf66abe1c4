"""Target report.json: a report that comes from anybody, read and shown in every form."""

from __future__ import annotations

import dataclasses
import io
import json
import random
import zlib
from pathlib import Path

from rich.console import Console

from robust.auditing import audit_plan
from robust.plan.load import make_plan
from robust.records import Report
from robust.report import TEMPLATES, read_report, write_report
from robust.report.formats.terminal import print_report
from tests.fuzz.machine import Files, Subject, promise
from tests.fuzz.runs import small_plan
from tests.fuzz.texts import damage_text
from tests.records.test_report import report
from tests.report.detected import SCENARIO_REPORT, detection, evaded, report_on
from tests.report.hostile import hostile_report

GATED = {
    "gates": {
        "clean_accuracy": 0.5,
        "robust_accuracy": {"1/255": 0.2, "L2 0.5": 0.1},
        "detector_auc": 0.7,
        "withstands": {"LID": 0.3},
        "no_flags": ["few groups"],
    }
}


def prepare_report(home: Path) -> Subject:
    """Drawn reports with detectors, scenarios and hostile names, and one of a real audit."""
    drawn = (
        *(report(), hostile_report(), report_on(evaded(detection()))),
        *(report_on(drawn=True), SCENARIO_REPORT),
    )
    real = audit_plan(small_plan(home), device="cpu")
    texts = [made.to_json() for made in (*map(_completed, drawn), real)]

    def damage(files: Files, rng: random.Random) -> Files:
        return {"report.json": damage_text(files["report.json"], rng, json.loads, json.dumps)}

    return Subject([{"report.json": text.encode()} for text in texts], damage, _use)


def _completed(drawn: Report) -> Report:
    """With a whole plan, and with every class that a result names."""
    rows = (drawn.clean, *drawn.rows, *drawn.worst_cases)
    names = dict.fromkeys(name for row in rows for name in row.scores.recall)
    data = dataclasses.replace(
        drawn.data, classes={**drawn.data.classes, **dict.fromkeys(names, 4)}
    )
    return dataclasses.replace(drawn, data=data, plan=make_plan(GATED).model_dump(mode="json"))


def _use(folder: Path) -> None:
    """As text, as JSON, and in one other form, which the file itself chooses: pages take long."""
    found = read_report(folder)
    print_report(found, Console(file=io.StringIO(), width=80))
    other = zlib.crc32((folder / "report.json").read_bytes()) % 4
    format, template = ("html", "html", "md", "latex")[other], TEMPLATES[other % len(TEMPLATES)]
    write_report(found, folder, format, "json", template=template)
    promise(read_report(folder).to_json() == found.to_json(), "read back otherwise")
