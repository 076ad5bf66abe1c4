"""Figures of detectors show each detector and every point."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from robust.report import write_report
from robust.report.figures.every import report_figures
from tests.report.detected import report_on


def test_figures_show_each_detector_and_every_point(tmp_path: Path) -> None:
    shown = report_on(drawn=True)
    found = shown.detection
    assert found is not None
    drawn = {f.name: f for f in report_figures(shown) if f.name.startswith("detectors")}
    assert list(drawn) == ["detectors-roc", "detectors-scores", "detectors-features"]
    figure = drawn["detectors-roc"].draw()
    paired, every = figure.axes
    (legend,) = figure.legends
    assert [t.get_text() for t in legend.get_texts()] == list(found.detectors)
    for axes, curve in ((paired, "paired_roc"), (every, "roc")):
        for line, trace in zip(axes.get_lines()[2:], found.score_curves, strict=True):
            np.testing.assert_allclose(line.get_xydata() / 100, getattr(trace, curve))
    panels = drawn["detectors-scores"].draw().axes
    assert [a.get_title() for a in panels] == list(found.detectors)
    maps = drawn["detectors-features"].draw().axes
    assert [a.get_title() for a in maps] == ["FGSM, L∞ 1/255", "PGD, L∞ 1/255"]
    assert [len(line.get_xdata()) for a in maps for line in a.get_lines()] == [12, 12, 61, 61]
    for name in found.detectors:
        assert name in drawn["detectors-roc"].described
    paths = {p.name for p in write_report(shown, tmp_path, "svg", "png")}
    assert {f"{name}.{kind}" for name in drawn for kind in ("svg", "png")} <= paths
