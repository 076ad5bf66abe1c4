"""Robust accuracy over all eps, from the distances that minimum-norm attacks needed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from robust.engine.cells import Cell
from robust.engine.summary import Summary
from robust.records import AccuracyCurve

POINTS = 64
"""Of a curve at most; it falls by one case at a time."""


def accuracy_curves(cells: Sequence[Cell], summary: Summary) -> tuple[AccuracyCurve, ...]:
    """Robust accuracy over eps, one curve for each norm in which a minimum-norm attack ran."""
    norms = dict.fromkeys(cell.threat.norm for cell in cells if cell.attack.minimum_norm)
    return tuple(found for norm in norms if (found := _curve(cells, summary, norm)))


def _curve(cells: Sequence[Cell], summary: Summary, norm: str) -> AccuracyCurve | None:
    """None where no attack succeeded."""
    minimal = [
        cell
        for cell in cells
        if cell.attack.minimum_norm and cell.threat.norm == norm and cell.same_as is None
    ]
    nearest = np.full(len(summary.rows), np.inf)
    judged = np.zeros(len(summary.rows), bool)
    for cell in minimal:
        one = summary.condition(cell.key)
        distance = one.linf if norm == "Linf" else one.l2
        fooled = one.success & ~one.failed
        nearest = np.where(fooled, np.fmin(nearest, distance), nearest)
        judged |= one.attacked & ~one.failed
    reached = np.unique(nearest[judged & np.isfinite(nearest)])
    if not len(reached):
        return None
    places = np.unique(np.linspace(0, len(reached) - 1, POINTS).round().astype(int))
    eps = [0.0, *reached[places].tolist()]
    rates = summary.bootstrap.rates([(nearest > size, judged) for size in eps])
    kept = [(size, rate) for size, rate in zip(eps, rates, strict=True) if rate is not None]
    return AccuracyCurve(
        attacks=tuple(dict.fromkeys(cell.label for cell in minimal)),
        norm=norm,
        eps=tuple(size for size, _ in kept),
        robust_accuracy=tuple(rate for _, rate in kept),
    )
