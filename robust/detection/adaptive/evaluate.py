"""The attacker who knows: each detector attacked together with the classifier, case by case."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from attacks import (
    Attack,
    AutoAttack,
    ConfidencePGD,
    FeatureMatching,
    HierarchicalFeatureConstraint,
    JointPGD,
    OrthogonalPGD,
    SelectivePGD,
)
from detectors import Features, Reference
from robust.cases.case import spread
from robust.detection.adaptive.feature_likelihood import fit_likelihood
from robust.detection.adaptive.joint_model import JointModel
from robust.detection.adaptive.surrogate_detector import SurrogateDetector, agreement, fit_surrogate
from robust.detection.cross_fitting import (
    FALSE_ALARMS,
    FEW,
    Array,
    FeatureSet,
    FittedDetector,
    StatisticSet,
    fit_folds,
    score_folds,
    threshold,
)
from robust.detection.feature_log import CLEAN, FeatureLog
from robust.engine.batch import Batch
from robust.engine.cells import Cell
from robust.engine.goal import Goal
from robust.engine.run_store import Outcome
from robust.engine.verified_attack import attack_batch
from robust.metrics.bootstrap import Bootstrap
from robust.metrics.groups import Places, folds_by_group
from robust.records import AdaptiveResult, Estimate

KAPPAS = (0.25, 0.5, 1.0)
"""Beyond 0, in parts of the median margin of clean images."""


@dataclass(frozen=True)
class BestEvasion:
    """What an attacker who knows the detector made of one case."""

    row: int
    score: float | None
    """Of the least suspicious image that fools the classifier; None where none does."""
    attack: str
    """That found it."""


def adaptive_attacks(steps: int, sure: float) -> tuple[Attack, ...]:
    """In the order in which they run, each on the cases that still look suspicious.

    Kappa is swept up to `sure`, how far ahead clean images are of the next class.
    """
    return (
        ConfidencePGD(steps=steps),
        SelectivePGD(steps=steps),
        JointPGD(steps=steps),
        OrthogonalPGD(steps=steps),
        FeatureMatching(steps=steps),
        HierarchicalFeatureConstraint(steps=steps),
        *(ConfidencePGD(steps=steps, kappa=share * sure) for share in KAPPAS),
    )


def evaluate_adaptive(
    watch: FeatureLog, reference: Reference, cell: Cell, goal: Goal, judged: Sequence[str]
) -> tuple[AdaptiveResult, ...]:
    """The detectors of these labels against attackers who know of them, in the ball of `cell`.

    Each is fitted on `cell`, which was watched and has successes in two folds or more, unless none
    of them has a head. Nobody tries where the ball has no bound: then any image is allowed.
    """
    if not math.isfinite(cell.threat.eps) or not watch.plan.detection.adaptive:
        return ()
    arena = AdaptiveEvaluation(watch, reference, cell, goal)
    return tuple(arena.judge(label, place / len(judged)) for place, label in enumerate(judged))


class AdaptiveEvaluation:
    """What all detectors share: the cases, their folds, and the images of the known attack."""

    def __init__(self, watch: FeatureLog, reference: Reference, cell: Cell, goal: Goal) -> None:
        self.watch, self.reference, self.cell, self.goal = watch, reference, cell, goal
        self.clean, self.known = watch.side(CLEAN), watch.side(cell.key)
        seed = watch.plan.audit.seed
        self.folds = folds_by_group(watch.groups, seed)
        self.bootstrap = Bootstrap(watch.groups.tolist(), seed=seed)
        wanted = watch.plan.detection.adaptive
        self.places = np.array(spread(range(len(watch.rows)), wanted), np.int64)
        ahead = self.clean.features.logits.double().topk(2).values
        sure = float((ahead[:, 0] - ahead[:, 1]).median())
        self.attacks = adaptive_attacks(watch.plan.detection.adaptive_steps, sure)
        self.likelihood = fit_likelihood(reference, seed)
        self.search = AutoAttack(watch.plan.detection.adaptive_steps, queries=100)
        self.ways: dict[int, Tensor | None] = {}
        """By row an image that fools the classifier, of those on which the known attack failed;
        None where there is none to be found, whatever the detector."""

    def judge(self, label: str, done: float) -> AdaptiveResult:
        detector = self.watch.detectors[label]
        clean, known = self.clean.measured(detector), self.known.measured(detector)
        fitted = fit_folds(detector, clean, known, self.folds)
        scores = self._scores(fitted, clean)
        limits = {share: threshold(scores, share) for share in FALSE_ALARMS}
        rows = [self.watch.rows[place] for place in known.cases]
        before = dict(zip(rows, self._scores(fitted, known), strict=True))
        tries: dict[int, BestEvasion] = {}
        agreed: list[float] = []
        for fold, one in enumerate(fitted):
            self.watch.runner.progress(done, 1.0, f"attacking {label} as well")
            found, agrees = self._fold(label, fold, one, scores, limits[FALSE_ALARMS[1]], before)
            tries |= {t.row: t for t in found}
            agreed += [] if agrees is None else [agrees]
        return self._figures(label, scores, limits, before, tries, agreed)

    def _scores(self, fitted: Sequence[FittedDetector], side: StatisticSet) -> Array:
        """What has no score counts as the most suspicious."""
        found = score_folds(fitted, side, self.folds)
        return np.where(np.isnan(found), np.inf, found)

    def _fold(
        self,
        label: str,
        fold: int,
        fitted: FittedDetector,
        clean: Array,
        limit: float,
        before: dict[int, float],
    ) -> tuple[list[BestEvasion], float | None]:
        """Every case of a fold, from the store where it was tried before."""
        store = self.watch.runner.store
        name = f"adaptive|{label}|{fold}"
        if (kept := store.get_json(name)) is not None:
            return [BestEvasion(*one) for one in kept["tries"]], kept["agrees"]
        own = self.places[self.folds[self.places] == fold]
        suspect = JointModel(self.watch.look, fitted, limit)
        agrees = None
        if not fitted.detector.differentiable:
            suspect.follower, agrees = self._follower(suspect, fold)
        tries = []
        for batch in self._batches(own):
            tries += self._attack(suspect, batch, float(np.median(clean)), before)
        plain = [dataclasses.astuple(one) for one in tries]
        store.put_json(name, {"tries": plain, "agrees": agrees})
        return tries, agrees

    def _follower(self, suspect: JointModel, fold: int) -> tuple[SurrogateDetector, float]:
        """Fitted on the other folds, tried on this one."""
        sides: list[tuple[FeatureSet, FeatureSet]] = []
        for inside in (False, True):
            mine = [(self.folds[s.cases] == fold) == inside for s in (self.clean, self.known)]
            sides.append((self.clean.take(mine[0]), self.known.take(mine[1])))
        (clean, known), own = sides
        found = fit_surrogate(suspect.score, clean.features, known.features)
        seen = Features.cat([side.features for side in own])
        return found, agreement(found, suspect.score, seen)

    def _batches(self, places: Places) -> Iterator[Batch]:
        runner = self.watch.runner
        rows = [self.watch.rows[place] for place in places]
        # Detector and classifier keep two graphs where an attack on the classifier keeps one.
        most = max(1, min(runner.store.get_json("cases at once") or 64, 64) // 2)
        for start in range(0, len(rows), most):
            yield from runner.load(rows[start : start + most], self.goal)

    def _attack(
        self, suspect: JointModel, batch: Batch, low: float, before: dict[int, float]
    ) -> list[BestEvasion]:
        """One attack after another, until a case looks no more suspicious than half the clean."""
        best = {row: BestEvasion(row, before.get(row), self.cell.label) for row in batch.rows}
        known = torch.tensor([row in before for row in batch.rows], device=batch.x.device)
        begin = batch.x.clone()
        for i, way in self._ways(batch, before):
            begin[i] = way
        if not bool(known.all()):
            self._keep(best, type(self.search).__name__, self._judged(suspect, begin, batch))
        for attack in self.attacks:
            scores = [best[row].score for row in batch.rows]
            left = [i for i, score in enumerate(scores) if score is not None and score > low]
            if not left:
                break
            found = self._run(suspect, attack, batch.take(left), begin[left])
            self._keep(best, type(attack).__name__, found)
        return [
            one if one.score is not None else BestEvasion(one.row, None, "")
            for one in best.values()
        ]

    @staticmethod
    def _keep(best: dict[int, BestEvasion], name: str, found: Iterable[tuple[int, float]]) -> None:
        for row, score in found:
            known = best[row].score
            if known is None or score < known:
                best[row] = BestEvasion(row, score, name)

    def _ways(self, batch: Batch, before: dict[int, float]) -> Iterator[tuple[int, Tensor]]:
        """Images that fool the classifier where the known attack did not, searched for once.

        Without them a detector would be taken for what is the weakness of an attack on the
        classifier.
        """
        rows = batch.rows
        new = [i for i, row in enumerate(rows) if row not in before and row not in self.ways]
        if new:
            part = batch.take(new)
            x_adv, outcomes = self._attacked(self.search, part)
            for outcome, image in zip(outcomes, x_adv.cpu(), strict=True):
                self.ways[outcome.row] = image if outcome.success else None
        for i, row in enumerate(rows):
            if row not in before and (way := self.ways[row]) is not None:
                yield i, way.to(batch.x)

    def _attacked(
        self, attack: Attack, batch: Batch, **options: Any
    ) -> tuple[Tensor, list[Outcome]]:
        runner, seed = self.watch.runner, self.watch.plan.audit.seed
        return attack_batch(
            runner.logits, attack, self.cell.threat, batch, self.goal, seed, **options
        )

    def _run(
        self, suspect: JointModel, attack: Attack, batch: Batch, begin: Tensor
    ) -> Iterable[tuple[int, float]]:
        """What `attack`, which knows the detector, makes of these cases."""
        own: dict[str, object] = {"suspicion": suspect.suspicion, "begin": begin}
        if isinstance(attack, FeatureMatching):
            features = self.reference.features
            own |= {
                "features": suspect.deep,
                "guides": features.deep.to(batch.x),
                "labels": features.logits.argmax(1).to(batch.x.device),
            }
        if isinstance(attack, HierarchicalFeatureConstraint):
            own["likelihood"] = lambda x: self.likelihood(suspect.features(x))
        named = f"{suspect.fitted.detector!r} {attack!r}"
        ready = replace(attack, **own)  # type: ignore[type-var]
        x_adv, _ = self._attacked(ready, batch, quick=suspect.logits, named=named)
        return self._judged(suspect, x_adv, batch)

    def _judged(
        self, suspect: JointModel, x_adv: Tensor, batch: Batch
    ) -> Iterator[tuple[int, float]]:
        """The real scores of images that the real classifier is fooled by."""
        with torch.no_grad():
            logits = self.watch.runner.logits(x_adv)
            scores = suspect.score(self.watch.look(x_adv)).double().cpu().tolist()
        fooled = self.goal.reached(logits.argmax(1), batch.y) & logits.isfinite().all(1)
        for row, good, score in zip(batch.rows, fooled.tolist(), scores, strict=True):
            if good and math.isfinite(score):
                yield row, score

    def _figures(
        self,
        label: str,
        clean: Array,
        limits: dict[float, float],
        before: dict[int, float],
        tries: dict[int, BestEvasion],
        agreed: Sequence[float],
    ) -> AdaptiveResult:
        own = self.bootstrap.at(self.places)
        found = [tries[self.watch.rows[place]] for place in self.places]
        after = np.array([np.inf if t.score is None else t.score for t in found])
        static = np.array([before.get(t.row, np.inf) for t in found])
        fooled = np.isfinite(after)
        counts = {
            name: sum(t.attack == name for t in found)
            for name in {self.cell.label: None, **self._by_name()}
        }
        return AdaptiveResult(
            detector=label,
            attacks={name: "; ".join(map(repr, every)) for name, every in self._by_name().items()},
            fooled=_sure(own.rate(fooled)),
            auc=self._auc(clean, after),
            static_auc=self._auc(clean, static),
            evasion_rates={
                f"{s:g}": _sure(own.rate(after <= limit)) for s, limit in limits.items()
            },
            static_evasion_rates={
                f"{s:g}": _sure(own.rate(static <= limit)) for s, limit in limits.items()
            },
            cases_by_attack={name: count for name, count in counts.items() if count},
            too_few=int(fooled.sum()) < FEW,
            surrogate_agreement=min(agreed) if agreed else None,
        )

    def _by_name(self) -> dict[str, list[Attack]]:
        found: dict[str, list[Attack]] = {}
        for attack in (self.search, *self.attacks):
            found.setdefault(type(attack).__name__, []).append(attack)
        return found

    def _auc(self, clean: Array, attacked: Array) -> Estimate | None:
        """All clean images against the attacked ones that fool the classifier."""
        shown = np.isfinite(attacked)
        scores = np.concatenate([clean, attacked[shown]])
        positive = np.arange(len(scores)) >= len(clean)
        own = self.bootstrap.at(np.concatenate([self.clean.cases, self.places[shown]]))
        return own.auc(scores, positive, np.ones(len(scores), bool))


def _sure(estimate: Estimate | None) -> Estimate:
    assert estimate is not None  # there are cases
    return estimate
