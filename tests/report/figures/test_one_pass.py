"""A figure whose layout pass draws nothing is, to the bit, the one that matplotlib draws twice."""

from __future__ import annotations

import matplotlib.figure
import pytest
from matplotlib.backend_bases import RendererBase

from robust.report.figures.every import report_figures
from robust.report.figures.style import Figure
from tests.report.detected import many, report_on


def test_the_pass_for_the_layout_need_not_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    (shown,) = (f for f in report_figures(report_on(many(), drawn=True)) if "scores" in f.name)
    passes: list[RendererBase] = []

    def twice(figure: Figure, renderer: RendererBase) -> None:
        passes.append(renderer)
        matplotlib.figure.Figure.draw(figure, renderer)

    def files() -> list[object]:
        return [shown.svg(), shown.svg(themed=True, narrow=True), shown.png(60)]

    ours = files()
    monkeypatch.setattr(Figure, "draw", twice)
    assert files() == ours
    assert len(passes) == 2 * len(ours)
