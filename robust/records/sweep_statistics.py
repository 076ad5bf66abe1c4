"""Statistics over the models of a sweep: spread by source, paired differences, learning curves."""

from __future__ import annotations

from dataclasses import dataclass

from robust.records.estimate import Estimate


@dataclass(frozen=True)
class VarianceComponent:
    """How much of the spread of a number comes from one source."""

    source: str
    """Name of the axis that varies: `seed`, `fold`, `data`, `machine`; `residual` for what no
    source explains, the noise of a finite number of test cases included."""
    levels: int
    """Number of different levels of the source; 0 for the residual."""
    variance: float
    """In squared units of the measure; never below 0."""
    share: float
    """Part of the total variance, in [0, 1]; all components together make 1, or 0 without any
    variance."""
    low: float | None
    """Lower end of the 95 % interval of `variance`; None where there is no interval."""
    high: float | None
    """Upper end of the 95 % interval of `variance`; None where there is no interval."""
    why_no_interval: str
    """`3 seeds: an interval needs at least 5`; empty where there is an interval."""


@dataclass(frozen=True)
class Spread:
    """The spread of one measure over the models of a sweep, split by source."""

    measure: str
    """Name of the measure, as in `SweepNumber`."""
    condition: str
    """Attack, threat or detector that the measure belongs to; empty for clean images."""
    components: tuple[VarianceComponent, ...]
    """Random sources in the order of the axes, then what is left."""
    method: str
    """How variances and intervals were computed, in one line."""
    notes: tuple[str, ...]
    """What a reader has to know about these components, a sentence each."""


@dataclass(frozen=True)
class PairedDifference:
    """What one level of an axis changes, over pairs of models that agree in all other axes."""

    measure: str
    """Name of the measure, as in `SweepNumber`."""
    condition: str
    """Attack, threat or detector that the measure belongs to; empty for clean images."""
    baseline: str
    """The level, or model, that is subtracted."""
    other: str
    """The level, or model, that it is subtracted from."""
    difference: Estimate | None
    """Other minus baseline; None where the two cannot be compared."""
    equal: bool
    """Whether both sides agree in every case, so that the difference is 0 and not merely small."""
    why_not: str
    """Why there is no difference, or none with an interval; empty otherwise."""


@dataclass(frozen=True)
class CurvePoint:
    """The models trained on one number of images."""

    images: int
    """Number of training images."""
    estimate: Estimate
    """Mean of the measure over these models; the interval is that of the mean over training runs,
    None with a single model."""
    models: int
    """Number of models."""


@dataclass(frozen=True)
class BandPoint:
    """A fitted learning curve at one number of training images."""

    images: float
    """Number of training images."""
    value: float
    """The fitted curve, in units of the measure."""
    low: float | None
    """Lower end of its 95 % interval; None where there is no interval."""
    high: float | None
    """Upper end of its 95 % interval; None where there is no interval."""


@dataclass(frozen=True)
class FittedValue:
    """A constant of a fitted learning curve."""

    value: float
    """Best fit."""
    low: float | None
    """Lower end of the 95 % interval; None where there is no interval."""
    high: float | None
    """Upper end of the 95 % interval; None where it is open, or where there is no interval."""


@dataclass(frozen=True)
class WantedAccuracy:
    """The number of training images at which a wanted value of the measure is expected."""

    value: float
    """The wanted value, in units of the measure."""
    images: float | None
    """Training images at which the fitted curve reaches it; None where it does not."""
    low: float | None
    """Lower end of the 95 % interval of `images`; None where there is no interval."""
    high: float | None
    """Upper end of the 95 % interval of `images`; None where more images may never suffice, or
    where there is no interval."""
    why_not: str
    """Why no number is given, or what forbids to rely on it; empty otherwise."""


@dataclass(frozen=True)
class LearningCurve:
    """A measure against the number of training images: 1 - measure = a + b n^-c (Cho et al. 2015).

    n is the number of training images.
    """

    measure: str
    """Name of the measure, as in `SweepNumber`."""
    condition: str
    """Attack, threat or detector that the measure belongs to; empty for clean images."""
    series: str
    """Levels of the other axes, as `architecture small_cnn, hardened no`; empty where there are no
    others."""
    points: tuple[CurvePoint, ...]
    """What was measured, in ascending number of images."""
    band: tuple[BandPoint, ...]
    """The fitted curve in ascending number of images; empty where nothing was fitted."""
    asymptote: FittedValue | None
    """a: what is left of 1 - measure with any number of images, in [0, 1]; None where nothing was
    fitted."""
    scale: FittedValue | None
    """b, not below 0."""
    exponent: FittedValue | None
    """c, above 0."""
    wanted: tuple[WantedAccuracy, ...]
    """Wanted values of the measure, as asked for."""
    misfit: str
    """What contradicts the law, or why nothing was fitted; empty where nothing speaks against it.
    By chance it contradicts 5 to 8 of 100 curves that follow the law."""
    undecided: str = ""
    """What the numbers are too few to tell, for which the intervals allow; empty where they
    tell."""
