"""LaTeX: the tables of a report for a paper, with booktabs, one table environment each."""

from __future__ import annotations

import re

from robust.records import Report, stages_text
from robust.report.tables.adaptive import adaptive_table
from robust.report.tables.classes import confusion_tables, recall_table, subgroup_table
from robust.report.tables.detection import detector_table
from robust.report.tables.model import Table, TableCell
from robust.report.tables.results import difficulty_table, results_table
from robust.report.tables.scenarios import scenario_table
from robust.report.tables.storage import storage_table
from robust.report.tables.verdicts import verdict_table
from robust.report.text.format import flat, plain

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
    "\N{REPLACEMENT CHARACTER}": "?",
}
_SPECIAL = re.compile("|".join(re.escape(mark) for mark in _ESCAPES))


def render_latex(report: Report) -> str:
    """Every table but the gates and the transfer matrices; empty tables are left out."""
    chosen = [
        verdict_table(report),
        results_table(report),
        difficulty_table(report),
        storage_table(report),
        detector_table(report),
        adaptive_table(report),
        scenario_table(report),
        recall_table(report),
        *confusion_tables(report),
    ]
    if (subgroups := subgroup_table(report)) is not None:
        chosen.append(subgroups)
    title = report.title
    if not report.is_finished:
        title += f" (not finished; missing: {stages_text(report.missing_stages) or 'attacks'})"
    return HEAD + "\n".join(_table(table, title) for table in chosen if table.rows)


def escape_latex(text: object) -> str:
    """Text in which no character has a meaning for LaTeX."""
    return _SPECIAL.sub(lambda found: _ESCAPES[found[0]], flat(text))


def _table(table: Table, title: str) -> str:
    columns = "l" + "r" * (len(table.columns) - 1)
    header = " & ".join(escape_latex(column.title) for column in table.columns)
    body: list[str] = []
    for row in table.rows:
        if row.opens and body:
            body.append(r"\addlinespace")
        cells = [_cell(cell, row.strong) for cell in row.cells]
        body.append(" & ".join(cells) + r" \\")
    note = f" {escape_latex(table.note)}" if table.note else ""
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
    return rf"{text} {{\scriptsize {cell.interval}}}" if cell.interval else text
