"""Detection rate at a fixed false-alarm rate, where the threshold is estimated from clean images.

Two things are uncertain: the rate at the threshold that was found, and the threshold. The first has
a Wilson interval on the effective sample size of the groups (Korn and Graubard 1998), the second a
distribution-free one, between two order statistics of the clean scores (Wilks 1941). MOVER (Zou and
Donner 2008, "Construction of confidence limits about effect measures") adds their distances in
quadrature. `experiments/coverage/detection.py` counts how often the interval holds the truth.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special, stats

from robust.errors import InputError
from robust.metrics.arrays import Array, Places
from robust.metrics.by_group import FEWEST
from robust.metrics.intervals import LEVEL, equal_groups
from robust.records import Estimate

EXPECTED_ALARMS = 2
"""Fewest false alarms expected among the clean groups for any rate to be given: below, a single
image would set the threshold."""

STABLE_RATE = 0.1
"""The effective sample size of the clean images is read at this false-alarm rate or above: among
fewer alarms chance decides whether two fall into one group."""

_TAIL = (1 - LEVEL) / 2


@dataclass(frozen=True)
class GroupedScores:
    """A detector's scores with the group of each image; one without a score (NaN) is above all.

    Groups of clean and of attacked images are numbered alike.
    """

    scores: Array
    """`(n,)`, higher is more suspicious."""
    groups: Places
    """`(n,)`, numbers from 0."""

    def above(self, limit: float) -> npt.NDArray[np.bool_]:
        """Which images are flagged at a threshold `(n,)`."""
        return ~(self.scores <= limit)


def threshold(clean: Array, false_alarm_rate: float) -> float:
    """The score that at most this share of the clean images exceeds; NaN counts as infinite."""
    return float(_descending(clean)[_alarms(len(clean), false_alarm_rate)])


def groups_needed_for(false_alarm_rate: float) -> int:
    """Fewest clean groups that bound a threshold from above (Wilks 1941): 72 at 5 %, 368 at 1 %.

    With fewer, the highest clean score may well lie below it, so that there is no interval. Groups
    of unequal size count as fewer equal ones.
    """
    return math.ceil(math.log(_TAIL) / math.log1p(-false_alarm_rate))


def fewest_groups_for(false_alarm_rate: float) -> int:
    """Fewest clean groups for any figure at this false-alarm rate: 40 at 5 %, 200 at 1 %."""
    return math.ceil(EXPECTED_ALARMS / false_alarm_rate - 1e-9)


def detection_rate(
    clean: GroupedScores, positive: GroupedScores, false_alarm_rate: float
) -> Estimate | None:
    """Share of `positive` above the threshold of this false-alarm rate, with its interval.

    The interval is one for the rate at the threshold whose false-alarm rate is exact. It is left
    out below `groups_needed_for` clean groups, and below `FEWEST` groups of positives. None below
    `fewest_groups_for` clean groups, and where there is nothing to detect.
    """
    count, units = len(positive.scores), _equal_groups(clean.groups)
    if not count or units < fewest_groups_for(false_alarm_rate) - 1e-9:
        return None
    ordered = _descending(clean.scores)
    limit = float(ordered[_alarms(len(ordered), false_alarm_rate)])
    found = positive.above(limit)
    value, groups = float(found.mean()), _occupied(positive.groups)
    needed = groups_needed_for(false_alarm_rate)
    if units < needed - 1e-9:
        about = math.ceil(needed * _occupied(clean.groups) / units)
        return Estimate(value, None, None, count, groups, about)
    if groups < FEWEST:
        return Estimate(value, None, None, count, groups, FEWEST)
    low, high = _wilson(value, _rate_size(found, positive.groups))
    few, many = _alarm_range(clean, ordered, false_alarm_rate)
    down, up = (_rate_with_alarms(ordered, positive, alarms) for alarms in (few, many))
    shared = _correlation(clean.above(limit), clean.groups, found, positive.groups)
    return Estimate(
        value,
        max(0.0, value - _quadrature(value - low, value - down, shared)),
        min(1.0, value + _quadrature(high - value, up - value, shared)),
        count,
        groups,
    )


@dataclass(frozen=True)
class FalseAlarms:
    """What is known of the false-alarm rate of a threshold that n clean images have set.

    Above the k-th highest of n scores lies a share of all further images that is distributed as
    Beta(k, n + 1 - k), whatever the distribution of the scores (Wilks 1941). Groups make n smaller;
    where scores are equal, k lies between two numbers.
    """

    fewest: float
    """The smallest k, as a number of independent images."""
    most: float
    """The largest k."""
    images: float
    """n + 1."""

    @property
    def expected(self) -> float:
        """Mean false-alarm rate over all sets of clean images that could have set the threshold."""
        return self.most / self.images

    @property
    def interval(self) -> tuple[float, float]:
        """Where the false-alarm rate of this threshold lies, 95 %."""
        fewest, most, n = self.fewest, self.most, self.images
        low = float(special.betaincinv(fewest, n - fewest, _TAIL)) if fewest else 0.0
        return low, float(special.betaincinv(most, n - most, 1 - _TAIL))

    def count_interval(self, further: int) -> tuple[int, int]:
        """How many of so many further clean images are flagged, 95 %: images of one patient each.

        The quantiles of a beta-binomial distribution.
        """
        fewest, most, n = self.fewest, self.most, self.images
        low = stats.betabinom.ppf(_TAIL, further, fewest, n - fewest) if fewest else 0
        return int(low), int(stats.betabinom.ppf(1 - _TAIL, further, most, n - most))


def conformal_threshold(clean: GroupedScores, share: float) -> float:
    """Threshold that a new clean image exceeds with probability at most `share` (split conformal).

    The probability is over the draw of all images; the plain quantile would be exceeded a little
    more often. Images of one group count as fewer. InputError where there are too few for a share.
    """
    count, ordered = len(clean.scores), _descending(clean.scores)
    size = _clean_size(clean, ordered, share)
    alarms = share * (size + 1) - 1 + 1e-9
    if alarms < 0:
        raise InputError(
            f"{count} clean images in {_occupied(clean.groups)} groups are left to set the "
            f"threshold; {share:.3g} false alarms need {math.ceil(1 / share - 1 - 1e-9)} groups or "
            f"more: allow more, or give more images"
        )
    return float(ordered[math.floor(alarms * count / size)])


def known_false_alarms(clean: GroupedScores, limit: float) -> FalseAlarms:
    """What is known of the false-alarm rate of a threshold that is one of the clean scores."""
    count, above = len(clean.scores), int(clean.above(limit).sum())
    tied = int((clean.scores == limit).sum()) > 1
    size = _clean_size(clean, _descending(clean.scores), above / count)
    alarms = above * size / count
    return FalseAlarms(alarms if tied else alarms + 1, alarms + 1, size + 1)


def effective_size(hits: npt.NDArray[np.bool_], groups: Places) -> float:
    """Independent images that would give a share as precise as these grouped ones.

    Between the number of groups (of equal size) and the number of images.
    """
    equal, variance = _equal_groups(groups), _variance(hits, groups)
    share = float(hits.mean())
    size = share * (1 - share) / variance if variance > 0 else equal
    return float(np.clip(size, equal, len(hits)))


def _descending(scores: Array) -> Array:
    found: Array = -np.sort(-np.where(np.isnan(scores), np.inf, scores))
    return found


def _alarms(images: int, rate: float) -> int:
    """How many of the clean images may lie above the threshold, at most this share."""
    return images - 1 - math.ceil((images - 1) * (1 - rate))


def _clean_size(clean: GroupedScores, ordered: Array, rate: float) -> float:
    """Effective size of the clean images near a threshold."""
    limit = float(ordered[_alarms(len(ordered), max(rate, STABLE_RATE))])
    return effective_size(clean.above(limit), clean.groups)


def _equal_groups(groups: Places) -> float:
    """As many groups of equal size as would weigh the same, at most their number (Kish 1965)."""
    return equal_groups(np.bincount(groups).astype(np.float64))


def _occupied(groups: Places) -> int:
    """Number of groups with an image."""
    return int(np.count_nonzero(np.bincount(groups)))


def _variance(hits: npt.NDArray[np.bool_], groups: Places) -> float:
    """Of a share, between groups; 0 for a single group."""
    occupied = _occupied(groups)
    if occupied < 2:
        return 0.0
    residuals = _residuals(hits, groups, int(groups.max()) + 1)
    return float(occupied / (occupied - 1) * (residuals**2).sum() / len(hits) ** 2)


def _residuals(hits: npt.NDArray[np.bool_], groups: Places, count: int) -> Array:
    """By group, how many more hits than the mean share would give `(count,)`."""
    sizes = np.bincount(groups, minlength=count)
    found: Array = np.bincount(groups, hits, count) - hits.mean() * sizes
    return found


def _rate_size(hits: npt.NDArray[np.bool_], groups: Places) -> float:
    """Effective sample size of a rate, less what a few groups leave unknown of it (Student's t)."""
    occupied = _occupied(groups)
    share, variance = float(hits.mean()), _variance(hits, groups)
    size = share * (1 - share) / variance if variance > 0 else float(occupied)
    size = min(size, float(len(hits)))
    student = special.stdtrit(max(occupied - 1, 1), 1 - _TAIL)
    return max(1.0, size * float(special.ndtri(1 - _TAIL) / student) ** 2)


def _wilson(share: float, size: float) -> tuple[float, float]:
    z = float(special.ndtri(1 - _TAIL))
    centre, scale = share + z * z / (2 * size), 1 + z * z / size
    half = z * math.sqrt(share * (1 - share) / size + (z / (2 * size)) ** 2)
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)


def _alarm_range(clean: GroupedScores, ordered: Array, rate: float) -> tuple[float, float]:
    """Fewest and most false alarms among the clean images that the true threshold may give.

    Mid-P limits of the binomial distribution, fractional.
    """
    size = _clean_size(clean, ordered, rate)
    scale = len(ordered) / size
    few = float(special.bdtrik(_TAIL, size, rate)) + 0.5
    many = float(special.bdtrik(1 - _TAIL, size, rate)) + 0.5
    return few * scale, min(many * scale, float(len(ordered)))


def _rate_with_alarms(ordered: Array, positive: GroupedScores, alarms: float) -> float:
    """Share of the positives above the score that so many clean images exceed, interpolated."""
    fewer = math.floor(alarms)
    limits = np.r_[ordered, -np.inf][[fewer, min(fewer + 1, len(ordered))]]
    few, more = (float(positive.above(limit).mean()) for limit in limits)
    return few + (alarms - fewer) * (more - few)


def _correlation(
    alarms: npt.NDArray[np.bool_], clean: Places, found: npt.NDArray[np.bool_], positive: Places
) -> float:
    """Between the groups' false alarms and detections, at least 0: twins err together."""
    count = int(max(clean.max(), positive.max())) + 1
    a, b = _residuals(alarms, clean, count), _residuals(found, positive, count)
    size = math.sqrt(float((a**2).sum() * (b**2).sum()))
    return max(0.0, float((a * b).sum()) / size) if size > 0 else 0.0


def _quadrature(rate: float, limit: float, shared: float) -> float:
    """Distance from the value to an end, from those of its two parts, none below 0."""
    rate, limit = max(rate, 0.0), max(limit, 0.0)
    return math.sqrt(max(0.0, rate**2 + limit**2 - 2 * shared * rate * limit))
