"""Adaptive attacks (Tramer et al. 2020): classifier and detector attacked jointly, case by case."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from attacks import (
    AdaptiveAttack,
    Attack,
    AttackFunction,
    AutoAttack,
    ConfidencePGD,
    DetectorAccess,
    FeatureMatching,
    Guides,
    HierarchicalFeatureConstraint,
    JointPGD,
    Model,
    OrthogonalPGD,
    SelectivePGD,
)
from detectors import Features
from robust.cases.case import sample_rows
from robust.detection.adaptive.feature_likelihood import fit_feature_likelihood
from robust.detection.adaptive.joint_model import JointModel
from robust.detection.adaptive.surrogate_detector import (
    SurrogateDetector,
    fit_surrogate,
    rank_agreement,
)
from robust.detection.cross_fitting import (
    FALSE_ALARM_RATES,
    FeatureSet,
    FoldDetector,
    StatisticSet,
    fit_folds,
    score_folds,
)
from robust.detection.detection_run import DetectionRun
from robust.detection.feature_log import CLEAN, logged_cells
from robust.detection.selection import AttackAUC, attack_auc, explained_by_selection
from robust.engine.cells import Cell
from robust.engine.mixed_precision import cases_at_once
from robust.engine.run_memory import ADAPTIVE, AdaptiveFold
from robust.engine.run_store import Outcome
from robust.engine.verified_attack import AttackSetup, attack_batch
from robust.metrics.arrays import Array, Places
from robust.metrics.by_group import ByGroup
from robust.metrics.groups import folds_by_group
from robust.metrics.operating_point import GroupedScores, detection_rate, threshold
from robust.records import AdaptiveResult, Detection, Estimate
from robust.records.estimate import TOO_FEW
from robust.tasks.contract import Batch

KAPPAS = (0.25, 0.5, 1.0)
"""Confidences beyond 0 that are tried, as shares of the median margin of clean images."""
ALARM_RATE = FALSE_ALARM_RATES[1]
"""The false-alarm rate of the threshold that attacks try to stay below."""


@dataclass(frozen=True)
class BestEvasion:
    """The least suspicious image of one case that fools the classifier."""

    row: int
    score: float | None
    """The detector's score; None where no image fools the classifier."""
    attack: str
    """The attack that found the image; empty where there is none."""


@dataclass(frozen=True)
class _Defence:
    """One detector under attack: fitted for each fold, its scores and thresholds."""

    label: str
    folds: Sequence[FoldDetector]
    clean: Array
    """Scores of the clean images."""
    limits: Mapping[float, float]
    """Threshold by false-alarm rate."""
    static: Mapping[int, float]
    """By row the score of the key attack's image, where the key attack succeeded."""


def adaptive_attacks(steps: int, median_clean_margin: float) -> tuple[AdaptiveAttack, ...]:
    """The attacks in the order in which they run, each on the cases that still look suspicious.

    Kappa is swept up to the median margin by which clean images are ahead of the next class.
    """
    return (
        ConfidencePGD(steps=steps),
        SelectivePGD(steps=steps),
        JointPGD(steps=steps),
        OrthogonalPGD(steps=steps),
        FeatureMatching(steps=steps),
        HierarchicalFeatureConstraint(steps=steps),
        *(ConfidencePGD(steps=steps, kappa=share * median_clean_margin) for share in KAPPAS),
    )


def evaluate_adaptive(
    run: DetectionRun, cells: Sequence[Cell], detection: Detection
) -> tuple[AdaptiveResult, ...]:
    """Attack every detector of `detection` that is fitted on its key attack or needs no fitting.

    Attacks stay within the threat model of the key attack. Empty where the plan asks for none,
    where no attack succeeded, where the key attack has no bound, so that any image is allowed, and
    where its norm is L1 or L0, in which no adaptive attack works.
    """
    if detection.key_attack is None or not run.spec.adaptive:
        return ()
    key = logged_cells(cells)[detection.key_attack]
    if not math.isfinite(key.threat.eps) or key.threat.norm not in ConfidencePGD.norms:
        return ()
    fitted_on = (None, detection.key_attack)
    labels = [null.detector for null in detection.null_controls if null.fitted_on in fitted_on]
    evaluation = AdaptiveEvaluation(run, key)
    found = [evaluation.evaluate(label, place, len(labels)) for place, label in enumerate(labels)]
    judged = [one for one in found if not one.too_few]
    explained = explained_by_selection(
        [AttackAUC(one.auc, one.paired_auc, one.selection_auc) for one in judged]
    )
    doubted = [one.detector for one, doubt in zip(judged, explained, strict=True) if doubt]
    return tuple(replace(one, explained_by_selection=one.detector in doubted) for one in found)


class AdaptiveEvaluation:
    """Adaptive attacks on one detector after another, on the same cases, folds and start images."""

    def __init__(self, run: DetectionRun, cell: Cell) -> None:
        self.run, self.cell, self.runner = run, cell, run.runner
        self.clean, self.attacked = run.log.feature_set(CLEAN), run.log.feature_set(cell.key)
        spec, seed, population = run.spec, run.audit.seed, run.log.population
        self.rows = population.rows
        self.folds = folds_by_group(population.groups, seed)
        self.by_group = ByGroup(population.groups.tolist())
        entries, every = run.runner.cases.entries, range(len(self.rows))
        own = [entries[row] for row in self.rows]
        self.places = np.array(sample_rows(own, every, spec.adaptive, seed), np.int64)
        top = self.clean.features.logits.double().topk(2).values
        median_clean_margin = float((top[:, 0] - top[:, 1]).median())
        self.attacks = adaptive_attacks(spec.adaptive_steps, median_clean_margin)
        self.likelihood = fit_feature_likelihood(run.suite.reference, seed)
        self.search = AutoAttack(spec.adaptive_steps, queries=100)
        self._searched: dict[int, Tensor | None] = {}
        """By row an image that fools the classifier, for cases on which the key attack failed; None
        where the search found none. It does not depend on the detector."""

    def evaluate(self, label: str, place: int = 0, count: int = 1) -> AdaptiveResult:
        """One detector under all attacks; `place` of `count` detectors are already evaluated."""
        defence = self._defence(label)
        best: dict[int, BestEvasion] = {}
        agreements: list[float] = []
        for fold in range(len(defence.folds)):
            done = place + fold / len(defence.folds)
            self.runner.progress(done, count, f"adaptive attack on {label}")
            found, agreement = self._fold(defence, fold)
            best |= {one.row: one for one in found}
            agreements += [] if agreement is None else [agreement]
        return self._result(defence, best, min(agreements) if agreements else None)

    def _defence(self, label: str) -> _Defence:
        detector = self.run.suite.fitted[label]
        clean, attacked = self.clean.measure(detector), self.attacked.measure(detector)
        folds = fit_folds(detector, clean, attacked, self.folds)
        scores = self._scores(folds, clean)
        rows = [self.rows[place] for place in attacked.cases]
        return _Defence(
            label=label,
            folds=folds,
            clean=scores,
            limits={rate: threshold(scores, rate) for rate in FALSE_ALARM_RATES},
            static=dict(zip(rows, self._scores(folds, attacked), strict=True)),
        )

    def _scores(self, folds: Sequence[FoldDetector], images: StatisticSet) -> Array:
        """An image without a score counts as the most suspicious."""
        found = score_folds(folds, images, self.folds)
        return np.where(np.isnan(found), np.inf, found)

    def _fold(self, defence: _Defence, fold: int) -> tuple[list[BestEvasion], float | None]:
        """Every case of a fold, and the surrogate's agreement; from the store if done before."""
        store, memo = self.run.store, ADAPTIVE.of(defence.label, fold)
        if (stored := store.get(memo)) is not None:
            return [BestEvasion(*one) for one in stored.tries], stored.agreement
        own = self.places[self.folds[self.places] == fold]
        detector, surrogate, agreement = defence.folds[fold], None, None
        if not detector.detector.differentiable:
            surrogate, agreement = self._surrogate(detector, fold)
        reader = self.run.reader.only(self.run.suite.fitted[defence.label])
        joint = JointModel(reader, detector, defence.limits[ALARM_RATE], surrogate)
        low_enough = float(np.median(defence.clean))
        best = []
        for batch in self._batches(own):
            best += self._attack(joint, batch, low_enough, defence.static)
        plain = tuple((one.row, one.score, one.attack) for one in best)
        store.put(memo, AdaptiveFold(plain, agreement))
        return best, agreement

    def _surrogate(self, detector: FoldDetector, fold: int) -> tuple[SurrogateDetector, float]:
        """A surrogate fitted on the other folds, and its agreement on this one."""

        def part(images: FeatureSet, in_fold: bool) -> Features:
            return images.take((self.folds[images.cases] == fold) == in_fold).features

        clean, attacked = (part(images, False) for images in (self.clean, self.attacked))
        found = fit_surrogate(detector.suspicion, clean, attacked)
        unseen = Features.cat([part(images, True) for images in (self.clean, self.attacked)])
        return found, rank_agreement(found, detector.suspicion, unseen)

    def _batches(self, places: Places) -> Iterator[Batch]:
        rows = [self.rows[place] for place in places]
        # Detector and classifier keep two graphs where an attack on the classifier keeps one.
        size = max(1, min(cases_at_once(self.run.store) or 64, 64) // 2)
        for start in range(0, len(rows), size):
            yield from self.runner.load(rows[start : start + size])

    def _attack(
        self, joint: JointModel, batch: Batch, low_enough: float, static: Mapping[int, float]
    ) -> list[BestEvasion]:
        """One attack after another, on the cases whose best score is still above `low_enough`."""
        best = {row: BestEvasion(row, static.get(row), self.cell.label) for row in batch.rows}
        start = batch.x.clone()
        for i, image in self._start_images(batch, static):
            start[i] = image
        if not all(row in static for row in batch.rows):
            _update_best(best, type(self.search).__name__, self._successes(joint, start, batch))
        for attack in self.attacks:
            scores = [best[row].score for row in batch.rows]
            left = [i for i, score in enumerate(scores) if score is not None and score > low_enough]
            if not left:
                break
            found = self._run_adaptive(joint, attack, batch.take(left), start[left])
            _update_best(best, type(attack).__name__, found)
        return [
            one if one.score is not None else BestEvasion(one.row, None, "")
            for one in best.values()
        ]

    def _start_images(
        self, batch: Batch, static: Mapping[int, float]
    ) -> Iterator[tuple[int, Tensor]]:
        """Images that fool the classifier where the key attack did not, found by one search.

        Without them a detector would look better where the attack on the classifier is weak.
        """
        rows = batch.rows
        new = [i for i, row in enumerate(rows) if row not in static and row not in self._searched]
        if new:
            x_adv, outcomes = self._run_attack(self.search, self.search.stream_key, batch.take(new))
            for outcome, image in zip(outcomes, x_adv.cpu(), strict=True):
                self._searched[outcome.row] = image if outcome.success else None
        for i, row in enumerate(rows):
            if row not in static and (found := self._searched[row]) is not None:
                yield i, found.to(batch.x)

    def _run_attack(
        self, attack: AttackFunction, stream_key: str, batch: Batch, quick: Model | None = None
    ) -> tuple[Tensor, list[Outcome]]:
        task, seed = self.run.task, self.run.audit.seed
        setup = AttackSetup(attack, stream_key, self.cell.threat, task, seed)
        return attack_batch(self.runner.logits, setup, batch, quick)

    def _run_adaptive(
        self, joint: JointModel, attack: AdaptiveAttack, batch: Batch, start: Tensor
    ) -> Iterable[tuple[int, float]]:
        """Row and score of the cases on which one adaptive attack fools the classifier."""
        features = self.run.suite.reference.features
        access = DetectorAccess(
            suspicion=joint.suspicion,
            start=start,
            guides=Guides(
                joint.deep,
                features.deep.to(batch.x),
                features.logits.argmax(1).to(batch.x.device),
            ),
            likelihood=lambda x: self.likelihood(joint.features(x)),
        )
        key = f"{joint.detector.detector!r} {attack.stream_key}"
        x_adv, _ = self._run_attack(partial(attack, access=access), key, batch, joint.logits)
        return self._successes(joint, x_adv, batch)

    def _successes(
        self, joint: JointModel, x_adv: Tensor, batch: Batch
    ) -> Iterator[tuple[int, float]]:
        """Row and detector score of the images that fool the classifier, without any surrogate."""
        with torch.no_grad():
            fooled = self.run.task.success(self.runner.logits(x_adv), batch)
            suspicion = joint.detector.suspicion(joint.features(x_adv))
        scores = suspicion.double().cpu().tolist()
        for row, good, score in zip(batch.rows, fooled.tolist(), scores, strict=True):
            if good and math.isfinite(score):
                yield row, score

    def _result(
        self, defence: _Defence, best: Mapping[int, BestEvasion], agreement: float | None
    ) -> AdaptiveResult:
        own = self.by_group.at(self.places)
        found = [best[self.rows[place]] for place in self.places]
        adaptive = np.array([np.inf if one.score is None else one.score for one in found])
        static = np.array([defence.static.get(one.row, np.inf) for one in found])
        by_name = self._attacks_by_name()
        counts = {
            name: sum(one.attack == name for one in found) for name in (self.cell.label, *by_name)
        }

        clean = GroupedScores(defence.clean, self.by_group.at(self.clean.cases).codes)

        def passing(scores: Array, groups: Places) -> dict[str, Estimate | None]:
            attacked = GroupedScores(scores, groups)
            seen = {rate: detection_rate(clean, attacked, rate) for rate in defence.limits}
            return {f"{rate:g}": one and one.complement for rate, one in seen.items()}

        def undetected(scores: Array) -> dict[str, Estimate | None]:
            fooled = np.isfinite(scores)
            return passing(scores[fooled], own.codes[fooled])

        areas, static_areas = (self._auc(defence.clean, scores) for scores in (adaptive, static))
        return AdaptiveResult(
            detector=defence.label,
            attacks={name: "; ".join(map(repr, every)) for name, every in by_name.items()},
            fooled=_require(own.rate(np.isfinite(adaptive))),
            undetected_rates=undetected(adaptive),
            static_undetected_rates=undetected(static),
            paired_auc=areas.paired,
            static_paired_auc=static_areas.paired,
            auc=areas.all_clean,
            static_auc=static_areas.all_clean,
            selection_auc=areas.selection,
            static_selection_auc=static_areas.selection,
            evasion_rates=passing(adaptive, own.codes),
            static_evasion_rates=passing(static, own.codes),
            cases_by_attack={name: count for name, count in counts.items() if count},
            too_few=int(np.isfinite(adaptive).sum()) < TOO_FEW,
            explained_by_selection=False,  # judged over all detectors
            surrogate_agreement=agreement,
        )

    def _attacks_by_name(self) -> dict[str, list[Attack]]:
        found: dict[str, list[Attack]] = {}
        attacks: tuple[Attack, ...] = (self.search, *self.attacks)
        for attack in attacks:
            found.setdefault(type(attack).__name__, []).append(attack)
        return found

    def _auc(self, clean: Array, attacked: Array) -> AttackAUC:
        """Of the attacked images that fool the classifier."""
        fooled = np.isfinite(attacked)
        cases = self.clean.cases, self.places[fooled]
        return attack_auc(clean, attacked[fooled], *cases, self.by_group, self.places)


def _update_best(
    best: dict[int, BestEvasion], name: str, found: Iterable[tuple[int, float]]
) -> None:
    """Replace the best evasions that are more suspicious than those that an attack found."""
    for row, score in found:
        known = best[row].score
        if known is None or score < known:
            best[row] = BestEvasion(row, score, name)


def _require(estimate: Estimate | None) -> Estimate:
    assert estimate is not None  # there are cases
    return estimate
