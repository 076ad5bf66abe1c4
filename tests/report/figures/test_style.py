"""Figures for a phone: the same content, narrow, with nothing left out."""

from __future__ import annotations

import re

import pytest

from robust.report.figures.every import report_figures
from robust.report.figures.style import NARROW, ReportFigure, narrowed
from robust.report.figures.training import training_figure
from tests.report.detected import many, report_on

HISTORY = [
    {"epoch": i, "train_loss": 1 / i, "val_loss": 1 / i, "val_auc": 0.9, "val_accuracy": 0.8}
    for i in range(1, 30)
]
FIGURES = [*report_figures(report_on(many(), drawn=True)), training_figure(HISTORY, 3)]


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.name)
def test_a_narrow_figure_shows_all_that_the_broad_one_does(figure: ReportFigure) -> None:
    broad, narrow = figure.draw(), narrowed(figure.draw())
    assert narrow.get_figwidth() == NARROW and len(narrow.axes) == len(broad.axes)
    for one, other in zip(broad.axes, narrow.axes, strict=True):
        assert len(one.lines) == len(other.lines) and one.get_title() == other.get_title()
        assert one.get_xlabel() == other.get_xlabel()
    named = (
        {text.get_text() for axes in broad.axes for text in axes.get_legend().get_texts()}
        if (all(axes.get_legend() for axes in broad.axes))
        else set()
    )
    assert named <= {text.get_text() for key in narrow.legends for text in key.get_texts()}
    edge = re.search(r'viewBox="0 0 ([\d.]+) ', figure.svg(narrow=True))
    assert edge is not None and float(edge[1]) <= 72 * NARROW + 1
    narrow.draw_without_rendering()
    for axes in narrow.axes:
        box = axes.get_tightbbox()
        assert box is not None and box.x0 >= -1 and box.x1 <= narrow.bbox.width + 1
        assert axes.get_window_extent().height > 60
