"""What MLflow is told of an audit: parameters, metrics and tags, in names that it takes."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from robust.records import Report
from robust.report.formats.exchange.describe import content_digest, data_text, model_name
from robust.report.numbers import reported_numbers
from robust.report.text.format import condition, flat, plain
from robust.report.text.headline import headline

MOST_NAME, MOST_PARAMETER, MOST_TAG = 240, 6000, 8000
"""Characters of a name, and of the values, that MLflow takes."""
CONTENT, CASES = "robust.content", "robust.cases"
"""Tags by which a run that was logged before is found again."""
_NO_NAME = re.compile(r"[^\w\-. /]", re.ASCII)
"""Characters that MLflow's names may not have; a colon is not taken on Windows."""
_SPELLED = str.maketrans(
    {"∞": "inf", "°": " degrees", "%": " percent", "=": "is", ";": " -", ",": ""}
)


def tracked_parameters(report: Report) -> dict[str, str]:
    """The plan, flattened, as the report keeps it: without paths, filters and what is not set."""
    return _unique(
        (key, _cut(text, MOST_PARAMETER)) for key, text in _flattened(report.plan) if text
    )


def tracked_metrics(report: Report) -> dict[str, float]:
    """Each number of the report, and both ends of its interval where it has one.

    `robust_accuracy/worst case Linf 4_255` and, beside it, ` low` and ` high`.
    """
    found = _unique(_with_ends(report))
    sizes = {"cases": report.data.cases, "groups": report.data.groups}
    return {**found, **sizes, "warnings": len(report.flags)}


def _with_ends(report: Report) -> Iterator[tuple[str, float]]:
    for one in reported_numbers(report):
        name = f"{one.measure}/{name_part(one.place)}"
        yield name, one.estimate.value
        if (ends := one.estimate.interval) is not None:
            yield f"{name} low", ends[0]
            yield f"{name} high", ends[1]


def tracked_tags(report: Report, *, cases: bool) -> dict[str, str]:
    """What the audit is known by, its verdicts and warnings; a text for MLflow's page."""
    verdicts = zip(report.worst_cases, report.verdicts, strict=True)
    warnings = [plain(flag.name) for flag in report.flags]
    said = [*headline(report), *([f"Warnings: {', '.join(warnings)}."] if warnings else [])]
    known = {
        "mlflow.note.content": "\n\n".join(flat(sentence) for sentence in said),
        CONTENT: content_digest(report),
        CASES: "yes" if cases else "no",
        "robust.version": str(report.environment.get("robust", "")),
        "robust.model": model_name(report),
        "robust.weights_sha256": report.model.weights_sha256,
        "robust.data": f"{plain(report.data.source)}: {data_text(report)}",
        "robust.pixels_sha256": report.data.pixels_sha256,
        "robust.warnings": ", ".join(warnings),
        **{f"robust.verdict/{name_part(condition(row))}": plain(word) for row, word in verdicts},
    }
    return _unique((name, _cut(text, MOST_TAG)) for name, text in known.items() if text)


def milliseconds(date: str) -> int:
    """A date of a report in milliseconds, as MLflow counts time; 0 where it is not known."""
    return int(datetime.fromisoformat(date).timestamp() * 1000) if date else 0


def _flattened(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            part = name_part(str(key))
            yield from _flattened(inner, f"{name}.{part}" if name else part)
    elif isinstance(value, list | tuple) and any(isinstance(one, Mapping) for one in value):
        for place, inner in enumerate(value):
            yield from _flattened(inner, f"{name}.{place}")
    elif value is not None and value != [] and value != ():
        yield name, flat(value) if isinstance(value, str) else json.dumps(value)


def _unique(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """By a name that MLflow takes; the second of one name is called `NAME 2`."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        short = _shortened(name)
        known, number = short, 2
        while known in found:
            known, number = f"{short} {number}", number + 1
        found[known] = value
    return found


def name_part(text: str) -> str:
    """A part of a name: what MLflow does not take is spelled out or becomes an underscore."""
    spelled = _NO_NAME.sub("_", text.translate(_SPELLED)).replace("/", "_")
    return " ".join(spelled.split()).strip(". ") or "_"


def _shortened(name: str) -> str:
    """A long name ends in a part of its hash, so that no two become one."""
    if len(name) <= MOST_NAME:
        return name
    return f"{name[: MOST_NAME - 9]} {hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
