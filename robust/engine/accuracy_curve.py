"""Robust accuracy over all eps, from the distances that minimum-norm attacks needed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from robust.engine.cells import Cell
from robust.engine.summary import Summary
from robust.metrics.arrays import Array
from robust.records import AccuracyCurve

MAX_POINTS = 64
"""Most points of a curve, spread over the distances at which it falls."""


def accuracy_curves(cells: Sequence[Cell], summary: Summary) -> tuple[AccuracyCurve, ...]:
    """Robust accuracy over eps, one curve for each norm in which a minimum-norm attack ran."""
    norms = dict.fromkeys(cell.threat.norm for cell in cells if cell.attack.minimum_norm)
    return tuple(curve for norm in norms if (curve := _curve(cells, summary, norm)))


def thinned_out(values: Array) -> Array:
    """At most `MAX_POINTS` of these values, evenly spread over their places, both ends included."""
    places = np.unique(np.linspace(0, len(values) - 1, MAX_POINTS).round().astype(int))
    chosen: Array = values[places]
    return chosen


def _curve(cells: Sequence[Cell], summary: Summary, norm: str) -> AccuracyCurve | None:
    """The curve of one norm; None where no attack succeeded."""
    minimal = [
        cell
        for cell in cells
        if cell.attack.minimum_norm and cell.threat.norm == norm and cell.same_as is None
    ]
    nearest = np.full(len(summary.rows), np.inf)
    evaluated = np.zeros(len(summary.rows), bool)
    for cell in minimal:
        condition = summary.condition(cell.key)
        distance = condition.distance(norm)
        fooled = condition.success & ~condition.failed
        nearest = np.where(fooled, np.fmin(nearest, distance), nearest)
        evaluated |= condition.evaluated
    reached = np.unique(nearest[evaluated & np.isfinite(nearest)])
    if not len(reached):
        return None
    eps = [0.0, *thinned_out(reached).tolist()]
    rates = summary.by_group.rates([(nearest > size, evaluated) for size in eps])
    points = [(size, rate) for size, rate in zip(eps, rates, strict=True) if rate is not None]
    return AccuracyCurve(
        attacks=tuple(dict.fromkeys(cell.label for cell in minimal)),
        norm=norm,
        eps=tuple(size for size, _ in points),
        robust_accuracy=tuple(rate for _, rate in points),
    )
