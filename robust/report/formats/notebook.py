"""Jupyter notebook: cells that load the report and show lead, tables and figures."""

from __future__ import annotations

import json
from typing import Any

from robust.records import Report
from robust.report.formats.markdown import escape_markdown
from robust.report.text.format import plain

_ABOUT = """# {title}

This notebook reads `{file}` beside it and shows the report, its numbers as a table, its figures
and its warnings. Run all cells, and go on from there. It needs robust (`import robust`) and asks
nothing of the network. Each number has its 95 % interval, resampled by group."""
_LOAD = """import pandas as pd
from IPython.display import SVG, Markdown, display

import robust
from robust.report.figures.every import report_figures

report = robust.load_report("{file}")
report"""
_NUMBERS = """# One row for each estimate; help(report.to_pandas) explains the columns.
numbers = report.to_pandas()
numbers"""
_WORST = """# Robust accuracy in the worst case over all attacks, beside noise of the same size.
noise = {result.attack for result in report.rows if result.baseline}
shown = numbers[
    (numbers["measure"] == "robust_accuracy")
    & (numbers["subgroup"] == "")
    & numbers["attack"].isin({"worst case", *noise})
]
shown[["attack", "norm", "eps", "value", "low", "high", "cases", "groups", "doubt"]]"""
_PLOT = """# The same as a plot of your own.
%matplotlib inline
import matplotlib.pyplot as plt

for norm, of_norm in shown[shown["eps"].notna()].groupby("norm"):
    figure, axes = plt.subplots(figsize=(6, 3.5))
    for attack, line in of_norm.sort_values("eps").groupby("attack"):
        axes.plot(line["eps"], line["value"], marker="o", label=attack)
        axes.fill_between(line["eps"], line["low"], line["high"], alpha=0.2)
    axes.set(xlabel=f"eps ({norm})", ylabel="robust accuracy", ylim=(0, 1.02))
    axes.legend(frameon=False)
    plt.show()"""
_FIGURES = """for figure in report_figures(report):
    display(SVG(figure.svg()))
    display(Markdown(figure.caption))"""
_WARNINGS = """pd.set_option("display.max_colwidth", None)
pd.DataFrame(
    [(flag.name, flag.observed, flag.why, flag.remedy) for flag in report.flags],
    columns=["warning", "observed", "why it matters", "what to do"],
)"""
_CASES = """# One row for each case and condition, if the table lies beside the report.
from pathlib import Path

table = Path("outcomes.parquet")
outcomes = pd.read_parquet(table) if table.exists() else pd.DataFrame()
outcomes.head()"""


def render_notebook(report: Report, file: str) -> str:
    """The notebook as JSON (nbformat 4.5); `file` is the report.json that lies beside it.

    The title is the only text of the report in it: the cells read all else.
    """
    title = escape_markdown(plain(report.title))
    cells = [
        _text(_ABOUT.format(title=title, file=file)),
        _code(_LOAD.format(file=file)),
        _text("## Numbers"),
        *map(_code, (_NUMBERS, _WORST, _PLOT)),
        _text("## Figures of the report"),
        _code(_FIGURES),
        _text("## Warnings"),
        _code(_WARNINGS),
    ]
    if not report.cut_short:
        cells += [_text("## Cases"), _code(_CASES)]
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    notebook = {
        "cells": cells,
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def _text(source: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "metadata": {}, "source": source}


def _code(source: str) -> dict[str, Any]:
    cell = {"cell_type": "code", "metadata": {}, "source": source}
    return {**cell, "execution_count": None, "outputs": []}
