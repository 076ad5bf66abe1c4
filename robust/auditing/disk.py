"""Estimates the bytes of a run directory from its plan, its cases and its network."""

from __future__ import annotations

from collections.abc import Sequence

from robust.auditing.cost import RunSize
from robust.cases import Cases
from robust.detection.benign_changes import BENIGN_CHANGES
from robust.detection.feature_log import logged_cells
from robust.engine.cells import Cell, running_order
from robust.plan.spec import Plan

_EVERY_RUN = 700_000
"""Bytes of the reports and the tables of results, whatever their size."""
_CELL = 6_000
"""Of a cell in report.json, report.html and the memory of the run."""
_IMAGE = 5_100
"""Of an image: its clean prediction, its file's hash, and the thumbnail that finds copies."""
_OUTCOME = 310
"""Of an image and a cell: the outcome, how it survives storage, and its row in both tables."""
_LOGIT = 28
"""Of a class in an outcome: 8 bytes in the run file, and its columns in both tables."""
_DETECTION = 1_500_000
"""Of the results of detectors, in the reports and the run file."""
_SHOWN = 6
"""Example images by default."""
_PIXEL = 7
"""Of a pixel in an example: the image, the change, the attacked image, as PNG."""


def estimate_bytes(
    plan: Plan,
    cases: Cases,
    cells: Sequence[Cell],
    size: RunSize,
    shape: Sequence[int],
    features: int,
) -> int:
    """Bytes of a finished run: results by case, reports, features and example images.

    `shape` is that of an image, `features` the values that detectors read of one.
    """
    own = running_order(cells)
    total = _EVERY_RUN + _CELL * len(own)
    total += _IMAGE * size.cases
    total += (_OUTCOME + _LOGIT * len(cases.classes)) * size.cases * len(own)
    if size.pictures and (plan.report.gallery or cases.showable):
        shown = _SHOWN if plan.report.gallery is None else plan.report.gallery
        total += shown * _PIXEL * shape[-1] * shape[-2]
    if size.detectors:
        scored = min(size.cases, plan.detection.cases)
        learned = min(size.reference, plan.detection.reference_cases)
        sets = 1 + 2 * len(logged_cells(cells)) + len(BENIGN_CHANGES)
        total += _DETECTION + _IMAGE * learned + 4 * features * (learned + sets * scored)
    return total
