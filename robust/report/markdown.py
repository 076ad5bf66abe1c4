"""The report as Markdown, for a pull request."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from robust.records import Report, Row
from robust.report.words import (
    condition,
    decimal,
    distance,
    eps_text,
    headline,
    norm_text,
    percent,
)

_HEADER = (
    *("condition", "accuracy", "robust accuracy", "misses", "false alarms"),
    *("sensitivity", "specificity", "AUC", "median distance"),
)


def render_markdown(report: Report) -> str:
    """The whole report as text; names are escaped so that they stay text."""
    parts = [f"# {escape(report.title)}", " ".join(headline(report))]
    if report.flags:
        parts.append("## Doubts")
        parts.append(
            "\n".join(
                f"- **{escape(f.name)}**: {escape(f.seen)}. Why it matters: {escape(f.why)}. "
                f"What to do: {escape(f.remedy)}."
                for f in report.flags
            )
        )
    parts.append("## Results")
    rows = [report.clean, *report.rows, *report.worst_cases]
    parts.append(_table(_HEADER, (_line(row) for row in rows)))
    parts.append(
        "Values in brackets are 95 % intervals, resampled by group. Accuracy counts all cases; "
        "robust accuracy those that are right when clean and were attacked."
    )
    parts.append("## Attack difficulty")
    parts.append(
        _table(
            ("attack", "least eps with at least 99 % success"),
            (
                (
                    escape(d.attack),
                    "not reached"
                    if d.eps is None
                    else f"{norm_text(d.norm)} {eps_text(d.eps, d.norm)}",
                )
                for d in report.difficulty
            ),
        )
    )
    parts += _by_class(report) + _by_subgroup(report) + _how(report)
    return "\n\n".join(parts) + "\n"


def escape(text: object) -> str:
    """Text in a Markdown table or paragraph: no HTML, no cell border, no line break."""
    out = str(text).replace("\\", "\\\\").replace("&", "&amp;").replace("<", "&lt;")
    for mark in ("|", "*", "_", "`", "["):
        out = out.replace(mark, "\\" + mark)
    return " ".join(out.split())


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [" | ".join(header), " | ".join("---" for _ in header)]
    lines += [" | ".join(row) for row in rows]
    return "\n".join(f"| {line} |" for line in lines)


def _line(row: Row) -> tuple[str, ...]:
    s = row.scores
    moved = s.median_linf if row.norm == "Linf" else s.median_l2
    return (
        escape(condition(row)),
        percent(s.accuracy),
        percent(s.robust_accuracy),
        percent(s.misses),
        percent(s.false_alarms),
        percent(s.sensitivity),
        percent(s.specificity),
        decimal(s.auc),
        distance(moved, row.norm),
    )


def _by_class(report: Report) -> list[str]:
    classes = list(report.clean.scores.recall)
    rows = [report.clean, *report.worst_cases]
    lines = [
        (escape(condition(row)), *(percent(row.scores.recall[name]) for name in classes))
        for row in rows
    ]
    return ["## Recall by class", _table(("condition", *map(escape, classes)), lines)]


def _by_subgroup(report: Report) -> list[str]:
    if not report.clean.subgroups:
        return []
    lines = []
    for row in (report.clean, *report.worst_cases):
        for part in row.subgroups:
            lines.append(
                (
                    escape(condition(row)),
                    escape(f"{part.column} = {part.value}"),
                    str(part.cases),
                    percent(part.scores.accuracy),
                    percent(part.scores.robust_accuracy),
                    percent(part.scores.sensitivity),
                    percent(part.scores.specificity),
                )
            )
    header = ("condition", "subgroup", "cases", "accuracy", "robust accuracy")
    return ["## Subgroups", _table((*header, "sensitivity", "specificity"), lines)]


def _how(report: Report) -> list[str]:
    data, model = report.data, report.model
    facts = [
        f"Data: {data['source']}, split {data['split']}, {data['cases']} cases of "
        f"{data['groups']} groups, {data['skipped_broken']} broken files skipped",
        f"Pixels: SHA-256 {data['pixels_sha256']}",
        f"Model: head {model['head']}, threshold {model['threshold']:g}, weights SHA-256 "
        f"{model['weights_sha256']}",
        f"Per-case table: outcomes.csv, SHA-256 {report.table_sha256}",
        "Made with " + ", ".join(f"{k} {v}" for k, v in report.environment.items()),
    ]
    return ["## How it was made", "\n".join(f"- {escape(fact)}" for fact in facts)]
