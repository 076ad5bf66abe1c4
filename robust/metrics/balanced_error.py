"""Balanced error, the mean over classes of the share that is misread, with its interval by group.

Each class has its own interval, that of a rate or of a mean, and they are joined by MOVER (Zou and
Donner 2008, "Construction of confidence limits about effect measures: a general approach",
Statistics in Medicine 27): the reach of each class to either side is squared, weighted and summed.
So a rare class of which nothing is misread still counts with all that its few groups leave open,
which the variance of the mean alone would take for certainty. Where groups have cases of several
classes, the reaches are correlated as the rates are by jackknife over groups; where few groups
disagree, as far as they would be if images of a group were all alike. `experiments/coverage` holds
the simulations.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from robust.metrics.arrays import Array, Places
from robust.metrics.by_group import FEWEST, ByGroup, rate_precision
from robust.records import Estimate


def balanced_error(
    by_group: ByGroup, errors: npt.ArrayLike, labels: npt.NDArray[np.int64]
) -> Estimate:
    """Mean over the classes present of the mean of `errors (n,)`, each in [0, 1], n at least 1.

    An error is 0 or 1, or a mean of such over several looks at the case. The means of several
    conditions share the groups: pass the mean of their errors case by case.
    """
    values = np.asarray(errors, np.float64)
    classes, place = np.unique(labels, return_inverse=True)
    masks = [place == k for k in range(len(classes))]
    whole = bool(np.isin(values, (0.0, 1.0)).all())
    each = (
        by_group.rates([(values, mask) for mask in masks])
        if whole
        else [by_group.mean(values, mask) for mask in masks]
    )
    rates = [found for found in each if found]
    value = float(np.mean([rate.value for rate in rates]))
    cases, groups = len(values), len(np.unique(by_group.codes))
    rarest = min(rate.groups for rate in rates)
    ends = [rate.interval for rate in rates]
    if rarest < FEWEST or None in ends:
        needed = math.ceil(groups * FEWEST / rarest)
        return Estimate(value, None, None, cases, groups, needed)
    alike = _correlations(by_group.codes, values, place)
    reach = np.array(
        [[rate.value - end[0], end[1] - rate.value] for rate, end in zip(rates, ends) if end]
    )
    below, above = (float(np.sqrt(side @ alike @ side)) / len(rates) for side in reach.T)
    return Estimate(value, max(value - below, 0.0), min(value + above, 1.0), cases, groups)


def _correlations(codes: Places, values: Array, place: Places) -> Array:
    """Of the rates of classes `(k, k)`, none below 0; `place (n,)` is the class of each case."""
    shape = int(codes.max()) + 1, int(place.max()) + 1
    sizes, hits = np.zeros(shape), np.zeros(shape)
    np.add.at(sizes, (codes, place), 1.0)
    np.add.at(hits, (codes, place), values)
    without = (hits.sum(0) - hits) / (sizes.sum(0) - sizes)
    seen, shared = _cosines(without - without.mean(0)), _cosines(sizes)
    doubts = np.array(
        [rate_precision(h[n > 0], n[n > 0]).doubt for h, n in zip(hits.T, sizes.T, strict=True)]
    )
    doubt = np.maximum(doubts[:, None], doubts)
    found: Array = (1 - doubt) * np.maximum(seen, 0.0) + doubt * shared
    np.fill_diagonal(found, 1.0)
    return found


def _cosines(columns: Array) -> Array:
    """Cosines of the angles between columns `(g, k)`; 0 where a column is 0."""
    lengths = np.sqrt((columns**2).sum(0))
    scaled = columns / np.where(lengths > 0, lengths, 1.0)
    found: Array = scaled.T @ scaled
    return found
