"""Detector results: transfer matrix, null controls, adaptive attacks; imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from robust.records.copies import CopyPair
from robust.records.estimate import Estimate


@dataclass(frozen=True)
class ReferenceSet:
    """The clean images that detectors learn from; none of them is scored."""

    split: str
    """Split that the images come from."""
    cases: int
    """Number of images."""
    groups: int
    """Number of groups (patients, lesions)."""
    left_out: int
    """Images left out because they are copies or near copies of audited images."""
    source: str = ""
    """Where the images come from, as in `AuditedData.source`."""
    copies: tuple[CopyPair, ...] = ()
    """The first of those left out, each with the audited image that it shows."""


@dataclass(frozen=True)
class ImageSet:
    """One set of images that detectors score against clean images: an attack or a control."""

    kind: str
    """`attack`: successful adversarial images; `noise`: a random change of the same size;
    `change`: a benign transformation, such as JPEG. Controls are made of every case."""
    name: str
    """Name of the attack in the plan, or of the control."""
    norm: str
    """`Linf`, `L2`, `L2-slice`, `L1` or `L0`; empty for a benign transformation."""
    eps: float | None
    """As in `AttackResult`. None as well for a benign transformation, and for noise beside an
    attack without a bound: there each image moves as far as the attack moved it."""
    cases: int
    """Number of images in the set."""
    unfitted_reason: str = ""
    """Why no detector could be fitted on this attack; empty where one was."""


@dataclass(frozen=True)
class DetectorScore:
    """How well a detector, fitted on one attack, separates one image set from clean images."""

    detector: str
    """Name of the detector in the plan."""
    fitted_on: int | None
    """The attack that the detector is fitted on, as an index into `Detection.image_sets`; None for
    a detector that is not fitted on attacks."""
    image_set: int
    """The images scored, as an index into `Detection.image_sets`."""
    paired_auc: Estimate | None
    """AUC of this set against the clean images of the same cases; 0.5 is chance. It sees what was
    done to the images and nothing else, so that it is the figure to quote. None where the set is
    empty."""
    auc: Estimate | None
    """AUC of this set against all clean images. Of an attack it also counts which cases fall: those
    near the decision boundary, which may look suspicious without any attack. None where the set is
    empty."""
    selection_auc: Estimate | None
    """Selection control: AUC of the clean images of this set's cases against the clean images of
    all other cases. Nobody attacked either side, so that 0.5 is expected unless the cases that fall
    are special. None where the set is empty or shows every case."""
    detection_rates: Mapping[str, Estimate | None]
    """Share of the set above the threshold, by the false-alarm rate (`0.01`, `0.05`, `0.1`) that
    the threshold has on clean images. The threshold is itself an estimate, which the interval takes
    into account: it is left out below 368, 72 and 36 clean groups. None below 200, 40 and 20, and
    where the set is empty."""
    too_few: bool
    """Whether the set has fewer than 30 images: too few for a verdict."""
    explained_by_selection: bool
    """Whether the cases that fall explain `auc`: its interval excludes 0.5, `selection_auc` lies on
    the same side, significantly at 1 % after Holm's correction over all attacks, and `paired_auc`
    keeps less than half of the distance from 0.5. Then `auc` is no evidence of detection."""


@dataclass(frozen=True)
class NullControl:
    """The whole protocol on clean images alone, half of the groups labelled as attacked."""

    detector: str
    """Name of the detector in the plan."""
    fitted_on: int | None
    """The fitted detector that this control belongs to, as in `DetectorScore`."""
    auc: Estimate
    """Mean AUC over random draws of the half; 0.5 is expected, since there is nothing to find."""
    p_value: float
    """Two-sided p-value of a mean AUC this far from 0.5, before correction."""
    alarm: bool
    """Whether the mean AUC is more than 0.03 from 0.5 and significant at 1 % after Holm's
    correction over all null controls: then no figure of this detector can be trusted."""


@dataclass(frozen=True)
class ScoreCurves:
    """ROC curve and score histograms of one detector, fitted on the key attack."""

    detector: str
    """Name of the detector in the plan."""
    paired_roc: tuple[tuple[float, float], ...]
    """Points (share of the same cases' clean images above a threshold, detection rate), ascending
    from (0, 0) to (1, 1): the curve of `paired_auc`."""
    roc: tuple[tuple[float, float], ...]
    """The same with the share of all clean images, the false-alarm rate: the curve of `auc`."""
    bin_edges: tuple[float, ...]
    """Edges of the histogram's bins, ascending, in units of the detector's score; scores outside
    count in the outermost bins."""
    clean: tuple[int, ...]
    """Number of clean images in each bin."""
    clean_fallen: tuple[int, ...]
    """Number of clean images in each bin of the cases on which the key attack succeeded."""
    attacked: tuple[int, ...]
    """Number of successful images of the key attack in each bin."""
    noise: tuple[int, ...]
    """Number of images with noise of the key attack's size in each bin."""


@dataclass(frozen=True)
class FeatureMap:
    """Deep features in two dimensions (t-SNE): neighbours stay near, distances mean little."""

    image_set: int
    """The attack, as an index into `Detection.image_sets`."""
    clean: tuple[tuple[float, float], ...]
    """Coordinates (x, y) of clean images, without a unit."""
    attacked: tuple[tuple[float, float], ...]
    """Coordinates (x, y) of adversarial images, without a unit."""


@dataclass(frozen=True)
class AdaptiveResult:
    """A detector against adaptive attacks (attackers that know it), at the key attack's eps.

    For each case the least suspicious image that fools the classifier counts. It is confirmed on
    the classifier and on a detector fitted without that case. The key attack's own image is one of
    the candidates.
    """

    detector: str
    """Name of the detector in the plan."""
    attacks: Mapping[str, str]
    """The adaptive attacks by name, each with all its parameters, in the order of the first run."""
    fooled: Estimate
    """Share of cases for which some image fools the classifier, detected or not."""
    undetected_rates: Mapping[str, Estimate | None]
    """Of the cases for which some image fools the classifier, the share with one that raises no
    alarm, by the detector's false-alarm rate on clean images (`0.01`, `0.05`, `0.1`). None where no
    image fools the classifier."""
    static_undetected_rates: Mapping[str, Estimate | None]
    """Of the same cases' images of the key attack that fool the classifier, the share that raises
    no alarm. None where there is none."""
    paired_auc: Estimate | None
    """AUC of the images that count against the clean images of the same cases: the figure to quote,
    as in `DetectorScore`. None where no image fools the classifier."""
    static_paired_auc: Estimate | None
    """The same for the key attack, which does not know the detector, on the same cases."""
    auc: Estimate | None
    """AUC of the images that count against all clean images; None where no image fools the
    classifier."""
    static_auc: Estimate | None
    """The same AUC for the key attack, which does not know the detector, on the same cases."""
    selection_auc: Estimate | None
    """Selection control, as in `DetectorScore`: clean images of the cases that fell against the
    clean images of those that were attacked and did not fall. None where all or none fell."""
    static_selection_auc: Estimate | None
    """The same for the cases that fell to the key attack."""
    evasion_rates: Mapping[str, Estimate | None]
    """Share of all cases for which an image fools the classifier and raises no alarm, by the
    detector's false-alarm rate on clean images (`0.01`, `0.05`, `0.1`). With too few clean groups
    there is no interval, or None, as in `DetectorScore.detection_rates`."""
    static_evasion_rates: Mapping[str, Estimate | None]
    """The same share for the key attack, which does not know the detector."""
    cases_by_attack: Mapping[str, int]
    """Number of cases by the attack that found the image that counts."""
    too_few: bool
    """Whether there are fewer than 30 such images: too few for a verdict on any AUC."""
    explained_by_selection: bool
    """Whether the cases that fall explain `auc`, as in `DetectorScore`; the correction is over all
    detectors."""
    surrogate_agreement: float | None = None
    """For a detector without a gradient: Spearman's rank correlation, in [-1, 1], between the
    differentiable surrogate that was attacked and the detector, on images that the surrogate was
    not fitted on; the lowest of the folds. None where the detector has a gradient."""


@dataclass(frozen=True)
class Detection:
    """Whether detectors recognise attacks: the transfer matrix with its controls."""

    detectors: Mapping[str, str]
    """Each detector by its name in the plan, with all its parameters."""
    layers: tuple[str, ...]
    """Layers whose activations were read, from input to output."""
    reference: ReferenceSet
    """The clean images that detectors learned from."""
    cases: int
    """Number of clean images that detectors are evaluated on: correct without attack, at most as
    many as the plan allows."""
    groups: int
    """Number of groups (patients, lesions) among these images."""
    correct_cases: int
    """Number of all cases that are correct without attack."""
    folds: int
    """Number of folds of the cross-fitting, which are disjoint in groups."""
    key_attack: int | None
    """The attack that sentences and figures are about, as an index into `image_sets`: the strongest
    at the smallest eps with 30 successes. None where no attack succeeded."""
    image_sets: tuple[ImageSet, ...]
    """The attacks, then the controls."""
    detector_scores: tuple[DetectorScore, ...]
    """The transfer matrix: one entry for each detector, fitting and image set."""
    null_controls: tuple[NullControl, ...]
    """One for each detector and fitting."""
    score_curves: tuple[ScoreCurves, ...] = ()
    """One for each detector; empty where no attack succeeded."""
    feature_maps: tuple[FeatureMap, ...] = ()
    """One for each attack that is drawn; empty where no attack succeeded."""
    joined_by_features: int = 0
    """Number of pairs of evaluated images of two groups that are near copies to the network; their
    groups count as one here."""
    adaptive: tuple[AdaptiveResult, ...] = ()
    """One for each detector; empty where the plan asks for none, or where the key attack has no
    bound."""

    def score(self, detector: str, image_set: int | None) -> DetectorScore | None:
        """The score of a detector fitted on the key attack, if it needs fitting; None if absent."""
        fitted = (None, self.key_attack)
        scores = (
            s for s in self.detector_scores if s.detector == detector and s.fitted_on in fitted
        )
        return next((s for s in scores if s.image_set == image_set), None)

    def adaptive_result(self, detector: str) -> AdaptiveResult | None:
        """The result of the adaptive attacks on a detector; None where none were run."""
        return next((one for one in self.adaptive if one.detector == detector), None)

    def null_control(self, detector: str) -> NullControl | None:
        """The null control of a detector fitted on the key attack; None if absent."""
        fitted = (None, self.key_attack)
        controls = (
            n for n in self.null_controls if n.detector == detector and n.fitted_on in fitted
        )
        return next(controls, None)
