"""Prints a comparison on a terminal, as Markdown and as JSON."""

from __future__ import annotations

import dataclasses
import json

from rich.console import Console
from rich.table import Table
from rich.text import Text

from robust.records import Estimate
from robust.report.comparison.compare import EQUAL, Change, Comparison
from robust.report.comparison.judges import ROBUST_SCORES
from robust.report.formats.markdown import escape_markdown
from robust.report.text.format import bracket, counted, plain

TITLE = "Two runs side by side"
LEGEND = (
    "In percent of cases. NEW - OLD with its 95 % interval, paired by groups. Equal: the same on "
    "every case. Better or worse: the whole interval lies on one side of 0; otherwise no "
    "difference is shown. Each interval is for one number: of twenty, one may miss the true value "
    "by chance."
)
"""How to read the table."""

TOLERANCE_LEGEND = (
    "Tolerance {0:g}, for clean accuracy and the robust accuracy of the worst case. Lost more: the "
    "whole interval shows a larger loss. Kept: the whole interval shows no larger loss. Undecided: "
    "the interval allows both; the command does not fail on it. No verdict: a warning of a run "
    "voids the answer; the command fails on it."
)
"""How to read the column of the tolerance."""

_BRIEF = {"no difference shown": "none shown", EQUAL: "equal"}
"""For a narrow terminal."""
_STYLES = {"better": "green", "worse": "red"}


def print_comparison(comparison: Comparison, tolerance: float | None, console: Console) -> None:
    """Print the table with its caveats; of each attack the robust accuracy alone."""
    for line in comparison_lead(comparison):
        console.print(Text(line))
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("", max_width=24)
    for i, title in enumerate(_titles(tolerance)[2:]):
        table.add_column(title, justify="right" if i < 3 else "left", no_wrap=True)
    before = ""
    for change in comparison.changes:
        if not change.overall and change.score not in ROBUST_SCORES:
            continue
        if change.condition != before:
            table.add_row(Text(change.condition, "bold"))
            before = change.condition
        cells = _cells(change, tolerance)[2:]
        texts = [
            f"  {change.score}",
            *cells[:3],
            _brief(change.result),
            *map(_brief, cells[4:]),
        ]
        table.add_row(*(Text(text, _STYLES.get(change.result, "")) for text in texts))
    console.print(table)
    for line in _closing(comparison, tolerance):
        console.print(Text(line, style="dim"))


def _brief(result: str) -> str:
    """A result without the reason why there is no verdict: that is among the notes."""
    return _BRIEF.get(result, result.split(":")[0])


def as_markdown(comparison: Comparison, tolerance: float | None) -> str:
    """The table as Markdown, for a pull request."""
    titles = _titles(tolerance)
    lines = [titles, ["---"] * len(titles)]
    lines += [
        [
            escape_markdown(text) if i < 2 else text
            for i, text in enumerate(_cells(change, tolerance))
        ]
        for change in comparison.changes
    ]
    rows = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    opening = [escape_markdown(line) for line in comparison_lead(comparison)]
    closing = [escape_markdown(line) for line in _closing(comparison, tolerance)]
    return "\n\n".join([f"# {TITLE}", *opening, rows, *closing]) + "\n"


def as_json(comparison: Comparison, tolerance: float | None) -> str:
    """Everything as JSON for programs, in shares of 1."""
    raw = dataclasses.asdict(comparison)
    raw["tolerance"] = tolerance
    for entry, change in zip(raw["changes"], comparison.changes, strict=True):
        entry["result"] = change.result
        if tolerance is not None and change.tolerance_applies:
            entry["against tolerance"] = change.tolerance_result(tolerance)
    return json.dumps(raw, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def comparison_lead(comparison: Comparison) -> list[str]:
    """The two runs, whether they agree on every case, and the caveats of the comparison."""
    cases, groups = counted(comparison.cases, "case"), counted(comparison.groups, "group")
    names = f"OLD {plain(comparison.old)}, NEW {plain(comparison.new)}"
    first = f"{names}: {cases} of {groups} in both runs."
    differ = f"The two runs differ on {comparison.differ} of {cases}."
    agree = "The two runs agree on every case." if comparison.agree else differ
    return [first, agree, *(f"Note: {plain(note)}." for note in comparison.notes)]


def _closing(comparison: Comparison, tolerance: float | None) -> list[str]:
    return [LEGEND] if tolerance is None else [LEGEND, TOLERANCE_LEGEND.format(tolerance)]


def _titles(tolerance: float | None) -> list[str]:
    titles = ["score", "condition", "OLD", "NEW", "NEW - OLD", "result"]
    return titles if tolerance is None else [*titles, "tolerance"]


def _cells(change: Change, tolerance: float | None) -> list[str]:
    d = change.difference
    cells = [
        change.score,
        change.condition,
        _share(change.old),
        _share(change.new),
        f"{100 * d.value:+.1f} {bracket(d)}",
        change.result,
    ]
    if tolerance is not None:
        cells.append(tolerance_text(change, tolerance))
    return cells


def tolerance_text(change: Change, tolerance: float) -> str:
    """What a tolerance says of a change; empty where it does not apply."""
    return change.tolerance_result(tolerance) if change.tolerance_applies else ""


def _share(estimate: Estimate) -> str:
    return f"{100 * estimate.value:.1f}"
