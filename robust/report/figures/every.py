"""All figures of a report, in the order of its sections."""

from __future__ import annotations

from robust.records import Report
from robust.report.figures.accuracy import (
    dice_figures,
    robust_accuracy_figures,
    sensitivity_figures,
)
from robust.report.figures.certificates import certificate_figures
from robust.report.figures.corruptions import corruption_figures
from robust.report.figures.detection import detection_figures
from robust.report.figures.style import ReportFigure


def report_figures(report: Report) -> list[ReportFigure]:
    """Accuracy under attack, Dice, certificates, sensitivity, corruptions, detectors."""
    figures = [*robust_accuracy_figures(report), *dice_figures(report)]
    figures += [*certificate_figures(report), *sensitivity_figures(report)]
    figures += corruption_figures(report)
    return figures if report.detection is None else [*figures, *detection_figures(report.detection)]
