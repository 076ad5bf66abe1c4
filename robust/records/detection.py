"""Records of whether detectors notice; part of the Report. Standard library alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from robust.records.estimate import Estimate


@dataclass(frozen=True)
class ImageSet:
    """What detectors were shown beside clean images: those of one attack, or of a control."""

    kind: str
    """`attack`: its successes; `noise`: random change of the same size; `change`: what an image
    meets in daily life, such as JPEG. Controls show every case."""
    name: str
    """The attack's name in the plan, or what was changed."""
    norm: str
    eps: float | None
    """As in `Row`; for noise beside an attack without a bound each image moves as far as the
    attack moved it. None as well for a change of daily life."""
    cases: int
    empty: str = ""
    """Why no detector could be fitted on this attack."""


@dataclass(frozen=True)
class DetectorScore:
    """What a detector fitted on one attack is worth against one attack or control."""

    detector: str
    """Its name in the plan."""
    fitted: int | None
    """The attack fitted on, as a place in `Detection.shown`; None where nothing is fitted."""
    shown: int
    """As a place in `Detection.shown`."""
    auc: Estimate | None
    """Clean against shown; below 0.5 the shown images look more harmless than clean ones."""
    seen: Mapping[str, Estimate | None]
    """By share of false alarms (`0.01`, `0.05`, `0.1`): the share of shown images above the
    threshold, which is set on clean images alone."""
    few: bool
    """Too few images shown (below 30) for a verdict."""


@dataclass(frozen=True)
class NullControl:
    """The whole pipeline on clean images, half of whose groups play the attacked ones."""

    detector: str
    fitted: int | None
    """The fitting that it stands beside, as in `DetectorScore`."""
    auc: Estimate
    """Mean over draws of who plays; 0.5 where there is nothing to find."""
    p: float
    """Two-sided, of a mean this far from 0.5."""
    alarm: bool
    """Further than 0.03 from 0.5, at 1 % after Holm's correction over all null controls: then no
    figure of this detector is to be believed."""


@dataclass(frozen=True)
class ScoreCurves:
    """Scores of one detector, fitted on the key attack, image by image."""

    detector: str
    roc: tuple[tuple[float, float], ...]
    """(share of false alarms, share seen), ascending from (0, 0) to (1, 1)."""
    edges: tuple[float, ...]
    """Of the histogram's bins; what lies outside counts in the outermost."""
    clean: tuple[int, ...]
    """Images in each bin."""
    attacked: tuple[int, ...]
    noise: tuple[int, ...]
    """Noise of the key attack's size."""


@dataclass(frozen=True)
class FeatureMap:
    """Deep features in two dimensions (t-SNE): neighbours stay near, distances mean little."""

    shown: int
    """The attack, as a place in `Detection.shown`."""
    clean: tuple[tuple[float, float], ...]
    attacked: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class AdaptiveResult:
    """What a detector is worth against an attacker who knows of it, in the ball of the key attack.

    Of each case counts the least suspicious image that fools the classifier, confirmed on the
    classifier and on a detector fitted without that case. The key attack's own image is one of
    those to choose from.
    """

    detector: str
    attacks: Mapping[str, str]
    """Each by its name, with every parameter, in the order in which they ran first."""
    fooled: Estimate
    """Cases for which some image fools the classifier."""
    auc: Estimate | None
    """Clean images against those that count; None where there is none."""
    static_auc: Estimate | None
    """The same of the key attack, which knows nothing of the detector, on the same cases."""
    passes: Mapping[str, Estimate]
    """By share of false alarms (`0.01`, `0.05`, `0.1`): of all cases, those for which an image
    fools the classifier and raises no alarm."""
    static: Mapping[str, Estimate]
    """The same of the key attack."""
    found_by: Mapping[str, int]
    """Cases by the attack that found the image that counts."""
    few: bool
    """Too few such images (below 30) for either AUC to carry a verdict."""
    follows: float | None = None
    """Where the detector has no gradient: how well the stand-in that was attacked ranks images as
    the detector does, on images it was not fitted to (Spearman; of the folds, the least)."""


@dataclass(frozen=True)
class Detection:
    """Whether detectors notice: the transfer matrix with its controls."""

    detectors: Mapping[str, str]
    """Each by its name in the plan, with every parameter."""
    layers: tuple[str, ...]
    """Whose activations were read, from input to output."""
    reference: Mapping[str, Any]
    """What detectors learned from: `split`, `cases`, `groups`, and `left_out`: images that are
    copies of judged ones."""
    cases: int
    """Judged on: right when clean, at most as many as the plan allows."""
    groups: int
    of: int
    """Cases that are right when clean."""
    folds: int
    key: int | None
    """The attack that sentences and figures are about, as a place in `shown`: the strongest at the
    smallest eps with 30 successes. None where no attack succeeded."""
    shown: tuple[ImageSet, ...]
    sightings: tuple[DetectorScore, ...]
    nulls: tuple[NullControl, ...]
    traces: tuple[ScoreCurves, ...] = ()
    scatters: tuple[FeatureMap, ...] = ()
    adaptive: tuple[AdaptiveResult, ...] = ()
    """Empty where the plan asks for none, or where the key attack has no bound."""

    def sighting(self, detector: str, shown: int | None) -> DetectorScore | None:
        """Of a detector fitted on the key attack, where it needs fitting; None if there is none."""
        fitted = (None, self.key)
        found = (s for s in self.sightings if s.detector == detector and s.fitted in fitted)
        return next((s for s in found if s.shown == shown), None)

    def evasion(self, detector: str) -> AdaptiveResult | None:
        """What became of a detector, where an attacker who knows of it tried."""
        return next((one for one in self.adaptive if one.detector == detector), None)

    def null(self, detector: str) -> NullControl | None:
        """That of a detector fitted on the key attack."""
        fitted = (None, self.key)
        own = (n for n in self.nulls if n.detector == detector and n.fitted in fitted)
        return next(own, None)
