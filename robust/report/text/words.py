"""The vocabulary of a report's task."""

from __future__ import annotations

from dataclasses import replace

from robust.records import Report
from robust.report.text.classification import CLASSIFICATION
from robust.report.text.segmentation import segmentation
from robust.report.text.vocabulary import Vocabulary, touched


def words(report: Report) -> Vocabulary:
    """What this report calls a right answer, an attacker's goal, a score."""
    task = report.task
    if task.is_segmentation:
        return segmentation(task)
    part = touched(task)
    return replace(CLASSIFICATION, where=part) if part else CLASSIFICATION
