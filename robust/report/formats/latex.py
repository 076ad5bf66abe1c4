"""The tables of a report for a paper: LaTeX with booktabs, one table environment each."""

from __future__ import annotations

import re

from robust.records import Report
from robust.report.tables import detection as noticed_tables
from robust.report.tables import results as tables
from robust.report.tables.adaptive import adaptive_table
from robust.report.tables.model import Table, TableCell
from robust.report.tables.scenarios import scenario_table
from robust.report.tables.storage import survival_table
from robust.report.text.format import flat, plain

HEAD = """\
% Made by robust from report.json. In the preamble: \\usepackage{booktabs,graphicx}
% Names in scripts that pdfLaTeX does not know need LuaLaTeX or XeLaTeX and a font that has them.
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
    "[": r"{[}",  # after \\ it would open an argument, and a star would be its own
    "*": r"{*}",
    "∞": r"$_\infty$",
    "–": "--",  # noqa: RUF001
    "…": r"\ldots{}",
    "\N{REPLACEMENT CHARACTER}": "?",
}
_SPECIAL = re.compile("|".join(re.escape(mark) for mark in _ESCAPES))


def render_latex(report: Report) -> str:
    """Verdicts, results, difficulty, detectors, classes, confusions and subgroups."""
    chosen = [
        tables.verdict_table(report),
        tables.results(report),
        tables.difficulty(report),
        survival_table(report),
        noticed_tables.summary(report),
        adaptive_table(report),
        scenario_table(report),
        tables.recall(report),
        *tables.confusions(report),
    ]
    if (parts := tables.subgroups(report)) is not None:
        chosen.append(parts)
    return HEAD + "\n".join(_table(table, report.title) for table in chosen if table.lines)


def escape(text: object) -> str:
    """Text in which no character means anything to LaTeX."""
    return _SPECIAL.sub(lambda found: _ESCAPES[found[0]], flat(text))


def _table(table: Table, title: str) -> str:
    columns = "l" + "r" * (len(table.columns) - 1)
    header = " & ".join(escape(column.title) for column in table.columns)
    body: list[str] = []
    for line in table.lines:
        if line.opens and body:
            body.append(r"\addlinespace")
        cells = [_cell(cell, line.strong) for cell in line.cells]
        body.append(" & ".join(cells) + r" \\")
    note = f" {escape(table.note)}" if table.note else ""
    caption = f"{escape(plain(title))}. {escape(table.title)}.{note}"
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
    text = escape(cell.text + cell.mark)
    if strong:
        text = rf"\textbf{{{text}}}"
    # A cell must not begin with a bracket, which \\ before it would take for its argument.
    return rf"{text} {{\scriptsize {cell.interval}}}" if cell.interval else text
