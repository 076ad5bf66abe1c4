"""LaTeX: the tables of a report for a paper, with booktabs, one table environment each."""

from __future__ import annotations

import re

from robust.records import Report
from robust.report.tables.adaptive import adaptive_table
from robust.report.tables.calibration import calibration_table
from robust.report.tables.certificates import certificate_table, certified_table
from robust.report.tables.classes import confusion_tables, recall_table, subgroup_table
from robust.report.tables.corruptions import corruption_size_table, kind_table, severity_table
from robust.report.tables.detection import detector_table
from robust.report.tables.model import NO_INTERVAL, Table, TableCell
from robust.report.tables.outlines import size_table, structure_table
from robust.report.tables.results import difficulty_table, results_table
from robust.report.tables.scenarios import scenario_table
from robust.report.tables.storage import storage_table
from robust.report.tables.twin import direct_table, shown_table
from robust.report.tables.verdicts import verdict_table
from robust.report.tables.visibility import visibility_table
from robust.report.text.format import flat, plain
from robust.report.text.opening import opening_facts

HEAD = """\
% Made by robust from report.json. In the preamble: \\usepackage{booktabs,graphicx}
% Names in other scripts than Latin need LuaLaTeX or XeLaTeX and a font that has them.
"""

_ESCAPES = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "`": r"\textasciigrave{}",
    "'": r"\textquotesingle{}",
    "-": r"{-}",
    "[": r"{[}",  # after \\ a bracket would open an argument; a star would be one
    "*": r"{*}",
    "∞": r"$_\infty$",
    "–": "--",  # noqa: RUF001
    "…": r"\ldots{}",
    "†": r"\textdagger{}",
    "\N{REPLACEMENT CHARACTER}": "?",
}
_SPECIAL = re.compile("|".join(re.escape(mark) for mark in _ESCAPES))


def render_latex(report: Report) -> str:
    """The opening, then each table but gates and transfer matrices; empty ones are left out."""
    chosen = [
        verdict_table(report),
        visibility_table(report),
        results_table(report),
        difficulty_table(report),
        structure_table(report),
        size_table(report),
        certified_table(report),
        certificate_table(report),
        calibration_table(report),
        severity_table(report),
        kind_table(report),
        corruption_size_table(report),
        storage_table(report),
        detector_table(report),
        adaptive_table(report),
        scenario_table(report),
        shown_table(report),
        direct_table(report),
        recall_table(report),
        *confusion_tables(report),
    ]
    if (subgroups := subgroup_table(report)) is not None:
        chosen.append(subgroups)
    title = report.title
    if not report.is_finished:
        title += f" (not finished; missing: {report.missing_text})"
    tables = [_table(table, title) for table in chosen if table.rows]
    return HEAD + "\n".join([_opening(report), *tables])


def escape_latex(text: object) -> str:
    """Text in which no character has a meaning for LaTeX."""
    return _SPECIAL.sub(lambda found: _ESCAPES[found[0]], flat(text))


def _opening(report: Report) -> str:
    """Dates, model, intended use, limits and next steps, as a table of two columns of text."""
    lines = [
        rf"{escape_latex(name)} & {escape_latex(' '.join(texts))} \\"
        for name, texts in opening_facts(report)
    ]
    return "\n".join(
        (
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{escape_latex(plain(report.title))}. About this audit.}}",
            r"\label{tab:robust-about}",
            r"\begin{tabular}{p{0.24\linewidth}p{0.7\linewidth}}",
            r"\toprule",
            *lines,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        )
    )


def _table(table: Table, title: str) -> str:
    columns = "l" + "r" * (len(table.columns) - 1)
    header = " & ".join(escape_latex(column.title) for column in table.columns)
    body: list[str] = []
    for row in table.rows:
        if row.opens and body:
            body.append(r"\addlinespace")
        cells = [_cell(cell, row.strong) for cell in row.cells]
        body.append(" & ".join(cells) + r" \\")
    note = f" {escape_latex(table.whole_note)}" if table.whole_note else ""
    caption = f"{escape_latex(plain(title))}. {escape_latex(table.title)}.{note}"
    return "\n".join(
        (
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{caption}}}",
            rf"\label{{tab:robust-{table.name}}}",
            r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            rf"{header} \\",
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}}",
            r"\end{table}",
            "",
        )
    )


def _cell(cell: TableCell, strong: bool) -> str:
    text = escape_latex(cell.text + cell.mark)
    if strong:
        text = rf"\textbf{{{text}}}"
    # A cell must not begin with a bracket: the \\ before it would take it as its argument.
    interval = r"\textdagger" if cell.interval == NO_INTERVAL else cell.interval
    return rf"{text} {{\scriptsize {interval}}}" if interval else text
