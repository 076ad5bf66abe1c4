"""The vocabulary of a report's task."""

from __future__ import annotations

from robust.records import Report
from robust.report.text.classification import CLASSIFICATION
from robust.report.text.segmentation import segmentation
from robust.report.text.vocabulary import Vocabulary


def words(report: Report) -> Vocabulary:
    """What this report calls a right answer, an attacker's goal, a score."""
    return segmentation(report.task) if report.task.is_segmentation else CLASSIFICATION
