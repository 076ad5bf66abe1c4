"""A figure is drawn once, and is to the bit the one that matplotlib saves, which draws it twice."""

from __future__ import annotations

import io

import matplotlib
import pytest
from matplotlib.figure import Figure

from robust.report.figures.every import report_figures
from tests.report.detected import many, report_on


def test_a_figure_is_drawn_once(monkeypatch: pytest.MonkeyPatch) -> None:
    (shown,) = (f for f in report_figures(report_on(many(), drawn=True)) if "scores" in f.name)
    passes: list[Figure] = []
    real = Figure.draw

    def counted(figure: Figure, renderer: object) -> None:
        passes.append(figure)
        real(figure, renderer)  # type: ignore[arg-type]

    monkeypatch.setattr(Figure, "draw", counted)
    svg, png = shown.svg(), shown.png(60)
    assert len(passes) == 2
    text, data = io.StringIO(), io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": shown.name, "svg.fonttype": "path"}):
        shown.draw().savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    shown.draw().savefig(data, format="png", dpi=60, metadata={"Software": None})
    assert svg in text.getvalue() and png == data.getvalue()
    assert len(passes) == 6
