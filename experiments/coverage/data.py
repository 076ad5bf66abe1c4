"""Groups of images with a known truth: readings, scores and distances that are alike in a group."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from robust.metrics.arrays import Array, Mask, Places

MOST_IMAGES = 6
"""Images of a group: 1 to this many, equally often."""


@dataclass(frozen=True)
class Readings:
    """Two readings of the same images, right or wrong."""

    groups: Places
    first: Mask
    second: Mask


@dataclass(frozen=True)
class Scored:
    """Scores of positive and negative images; higher is more likely positive."""

    groups: Places
    scores: Array
    positive: Mask


def images(rng: np.random.Generator, groups: int) -> Places:
    """The group of each image."""
    return np.repeat(np.arange(groups), rng.integers(1, MOST_IMAGES + 1, groups))


def chances(
    rng: np.random.Generator, shape: int | tuple[int, ...], rate: float, alike: float
) -> Array:
    """For each group the chance of a hit; `alike` is the correlation of two images of a group."""
    if alike == 0:
        return np.full(shape, rate)
    if alike == 1:
        return (rng.random(shape) < rate).astype(float)
    odds = (1 - alike) / alike
    return rng.beta(rate * odds, (1 - rate) * odds, shape)


def readings(
    rng: np.random.Generator, groups: int, rates: tuple[float, float], alike: float
) -> Readings:
    """Two readings with these rates of hits; images and groups that are hard are hard in both.

    Hits follow from one hidden ease per image, so that the second reading agrees with the first as
    far as the rates allow, but for one image in five that is read anew.
    """
    of = images(rng, groups)
    shared, own = rng.normal(size=groups)[of], rng.normal(size=len(of))
    again = np.where(rng.random(len(of)) < 0.2, rng.normal(size=len(of)), own)
    ease = [np.sqrt(alike) * shared + np.sqrt(1 - alike) * part for part in (own, again)]
    cut = [stats.norm.ppf(rate) for rate in rates]
    return Readings(of, ease[0] < cut[0], ease[1] < cut[1])


def scored(
    rng: np.random.Generator, groups: int, area: float, prevalence: float, kind: str, alike: float
) -> Scored:
    """Normal scores with this AUC.

    `kind`: `group`, all images of a group have one label; `image`, each its own; `twin`, negatives
    are clean images and positives the same images attacked, as far as the attack succeeds.
    """
    of = images(rng, groups)
    if kind == "twin":
        fell = rng.random(len(of)) < prevalence
        of = np.concatenate([of, of[fell]])
        positive = np.arange(len(of)) >= len(fell)
        own = rng.normal(size=len(fell))
        shared = (rng.normal(size=groups)[of] + np.concatenate([own, own[fell]])) / np.sqrt(2)
    else:
        drawn = rng.random(groups if kind == "group" else len(of)) < prevalence
        positive = drawn[of] if kind == "group" else drawn
        shared = rng.normal(size=groups)[of]
    shift = np.sqrt(2) * stats.norm.ppf(area) * positive
    noise = np.sqrt(alike) * shared + np.sqrt(1 - alike) * rng.normal(size=len(of))
    return Scored(of, shift + noise, positive)


def distances(
    rng: np.random.Generator, groups: int, alike: float
) -> tuple[Places, npt.NDArray[np.float64]]:
    """Log-normal distances, such as a minimum-norm attack needs; the true median is 1."""
    of = images(rng, groups)
    noise = np.sqrt(alike) * rng.normal(size=groups)[of]
    return of, np.exp(0.7 * (noise + np.sqrt(1 - alike) * rng.normal(size=len(of))))


MARGINS = {
    "well": (0.02, 20.0, 3.0, 0.0),
    "skewed": (0.1, 6.0, 1.5, 0.0),
    "attacked": (0.5, 1.5, 2.5, 0.0),
    "rarely missed": (0.05, 60.0, 4.0, 0.0),
    "never missed": (0.0, 60.0, 6.0, 0.0),
    "distances": (0.0, 1.0, 25.0, 0.05),
}
"""Distributions of values in [0, 1]: the share that is 0, the two parameters of the Beta
distribution of the others, and the share that is 1 (the distance of what is missed)."""


def mean_value(kind: str) -> float:
    """The true mean."""
    zero, a, b, one = MARGINS[kind]
    return (1 - zero - one) * a / (a + b) + one


def overlaps(
    rng: np.random.Generator, groups: int, kind: str, alike: float
) -> tuple[Places, npt.NDArray[np.float64]]:
    """Dice or the like of each image; one hidden ease per image, alike within a group."""
    of = images(rng, groups)
    ease = np.sqrt(alike) * rng.normal(size=groups)[of]
    place = stats.norm.cdf(ease + np.sqrt(1 - alike) * rng.normal(size=len(of)))
    zero, a, b, one = MARGINS[kind]
    between = stats.beta.ppf(np.clip((place - zero) / (1 - zero - one), 0, 1), a, b)
    return of, np.where(place < zero, 0.0, np.where(place > 1 - one, 1.0, between))


BALANCED = {
    "even": ((0.1, 0.1), (0.5, 0.5)),
    "half": ((0.5, 0.5), (0.7, 0.3)),
    "rare class": ((0.3, 0.05), (0.9, 0.1)),
    "near 0": ((0.01, 0.01), (0.8, 0.2)),
    "near 1": ((0.99, 0.95), (0.8, 0.2)),
    "collapsed": ((0.02, 0.9), (0.6, 0.4)),
    "five classes": ((0.3, 0.9, 0.5, 0.6, 0.8), (0.44, 0.1, 0.23, 0.17, 0.06)),
    "five classes, one hard": ((0.02, 0.02, 0.02, 0.02, 0.3), (0.3, 0.3, 0.2, 0.1, 0.1)),
}
"""By name the errors of the classes, and the shares that they have of images or groups."""
REPEATED = 0.6
"""Correlation of two looks at an image within its group: two severities of one corruption."""


@dataclass(frozen=True)
class Misread:
    """Images of several classes, and how often each is misread over some looks."""

    groups: Places
    errors: Array
    labels: Places
    truth: float
    """The mean of the classes' true errors."""
    complete: bool
    """Whether every class occurs."""


def misread(
    rng: np.random.Generator, groups: int, kind: str, alike: float, labelled: str, looks: int
) -> Misread:
    """`labelled`: `group`, all images of a group have one class; `image`, each its own."""
    of = images(rng, groups)
    errors, shares = BALANCED[kind]
    drawn = rng.choice(len(shares), groups if labelled == "group" else len(of), p=shares)
    labels = drawn[of] if labelled == "group" else drawn
    shared, own = rng.normal(size=groups)[of], rng.normal(size=len(of))
    cut = stats.norm.ppf(errors)[labels]
    count = np.zeros(len(of))
    for _ in range(looks):
        again = np.sqrt(1 - REPEATED) * rng.normal(size=len(of))
        part = own if looks == 1 else np.sqrt(REPEATED) * own + again
        count += np.sqrt(alike) * shared + np.sqrt(1 - alike) * part < cut
    complete = len(np.unique(labels)) == len(shares)
    return Misread(of, count / looks, labels, float(np.mean(errors)), complete)


CALIBRATION = {
    "calibrated": (2.0, 1.0, 0.0),
    "sure and calibrated": (6.0, 1.0, 0.0),
    "too sure": (3.0, 0.5, 0.0),
    "far too sure": (8.0, 0.1, 0.0),
    "not sure enough": (1.0, 3.0, 0.0),
    "attacked": (4.0, 0.5, -3.0),
}
"""By name: mean margin of the logits, factor from them to the true log odds, and what is added."""


@dataclass(frozen=True)
class Judged:
    """Logits of two classes, and the labels."""

    groups: Places
    logits: Array
    labels: Places


def judged(rng: np.random.Generator, groups: int, kind: str, alike: float) -> Judged:
    """`alike`: correlation of margins, and of what makes predictions right, within a group."""
    of = images(rng, groups)
    margin, factor, shift = CALIBRATION[kind]

    def ease() -> Array:
        own = np.sqrt(1 - alike) * rng.normal(size=len(of))
        both: Array = np.sqrt(alike) * rng.normal(size=groups)[of] + own
        return both

    odds = np.abs(margin + margin / 2 * ease())
    right = stats.norm.cdf(ease()) < 1 / (1 + np.exp(-(factor * odds + shift)))
    said = rng.integers(0, 2, len(of))
    logits = np.zeros((len(of), 2))
    logits[np.arange(len(of)), said] = odds
    return Judged(of, logits, np.where(right, said, 1 - said))


@functools.cache
def calibration_truth(kind: str) -> tuple[float, float]:
    """Calibration error in 15 bins of equal width and Brier score of all images there could be."""
    margin, factor, shift = CALIBRATION[kind]
    places = (np.arange(200_000) + 0.5) / 200_000
    odds = np.abs(margin + margin / 2 * stats.norm.ppf(places))
    said, true = 1 / (1 + np.exp(-odds)), 1 / (1 + np.exp(-(factor * odds + shift)))
    gaps = np.bincount((15 * said).astype(int).clip(max=14), said - true)
    brier = 2 * (true * (1 - said) ** 2 + (1 - true) * said**2)
    return float(np.abs(gaps).sum() / len(said)), float(brier.mean())
