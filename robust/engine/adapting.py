"""The attacker who knows: each detector attacked together with the classifier, case by case."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from attacks import (
    Attack,
    FeatureMatching,
    HierarchicalFeatureConstraint,
    JointPGD,
    KappaPGD,
    OrthogonalPGD,
    SelectivePGD,
)
from detectors import Features, Reference
from robust.engine.cells import Cell
from robust.engine.follower import Follower, agreement, follow
from robust.engine.goals import Goal
from robust.engine.likelihood import fit_likelihood
from robust.engine.looking import spread
from robust.engine.protocol import (
    FALSE_ALARMS,
    FEW,
    Array,
    Fitted,
    Measured,
    Places,
    Side,
    fit_folds,
    folds_by_group,
    score_folds,
    threshold,
)
from robust.engine.suspicion import Suspect
from robust.engine.verify import Batch, attack_batch
from robust.engine.watching import CLEAN, Watch
from robust.sightings import Adaptive, Estimate
from robust.stats import Bootstrap

KAPPAS = (0.25, 0.5, 1.0)
"""Beyond 0, in parts of the median margin of clean images."""


@dataclass(frozen=True)
class Try:
    """What an attacker who knows the detector made of one case."""

    row: int
    score: float | None
    """Of the least suspicious image that fools the classifier; None where none does."""
    attack: str
    """That found it."""


def attacks_that_know(steps: int, sure: float) -> tuple[Attack, ...]:
    """In the order in which they run, each on the cases that still look suspicious.

    Kappa is swept up to `sure`, how far ahead clean images are of the next class.
    """
    return (
        KappaPGD(steps=steps),
        SelectivePGD(steps=steps),
        JointPGD(steps=steps),
        OrthogonalPGD(steps=steps),
        FeatureMatching(steps=steps),
        HierarchicalFeatureConstraint(steps=steps),
        *(KappaPGD(steps=steps, kappa=share * sure) for share in KAPPAS),
    )


def adapt(
    watch: Watch, reference: Reference, cell: Cell, goal: Goal, judged: Sequence[str]
) -> tuple[Adaptive, ...]:
    """The detectors of these labels against attackers who know of them, in the ball of `cell`.

    Each is fitted on `cell`, which was watched and has successes in two folds or more, unless none
    of them has a head. Nobody tries where the ball has no bound: then any image is allowed.
    """
    if not math.isfinite(cell.threat.eps) or not watch.plan.detection.adaptive:
        return ()
    arena = _Arena(watch, reference, cell, goal)
    return tuple(arena.judge(label, place / len(judged)) for place, label in enumerate(judged))


class _Arena:
    """What all detectors share: the cases, their folds, and the images of the known attack."""

    def __init__(self, watch: Watch, reference: Reference, cell: Cell, goal: Goal) -> None:
        self.watch, self.reference, self.cell, self.goal = watch, reference, cell, goal
        self.clean, self.known = watch.side(CLEAN), watch.side(cell.key)
        seed = watch.plan.audit.seed
        self.folds = folds_by_group(watch.groups, seed)
        self.bootstrap = Bootstrap(watch.groups.tolist(), seed=seed)
        wanted = watch.plan.detection.adaptive
        self.places = np.array(spread(range(len(watch.rows)), wanted), np.int64)
        ahead = self.clean.features.logits.double().topk(2).values
        sure = float((ahead[:, 0] - ahead[:, 1]).median())
        self.attacks = attacks_that_know(watch.plan.detection.adaptive_steps, sure)
        self.likelihood = fit_likelihood(reference, seed)
        self.firm: set[int] = set()
        """Rows on which nothing fools the classifier, whatever the detector."""

    def judge(self, label: str, done: float) -> Adaptive:
        detector = self.watch.detectors[label]
        clean, known = self.clean.measured(detector), self.known.measured(detector)
        fitted = fit_folds(detector, clean, known, self.folds)
        scores = self._scores(fitted, clean)
        limits = {share: threshold(scores, share) for share in FALSE_ALARMS}
        rows = [self.watch.rows[place] for place in known.cases]
        before = dict(zip(rows, self._scores(fitted, known), strict=True))
        tries: dict[int, Try] = {}
        agreed: list[float] = []
        for fold, one in enumerate(fitted):
            self.watch.runner.progress(done, 1.0, f"attacking {label} as well")
            found, agrees = self._fold(label, fold, one, scores, limits[FALSE_ALARMS[1]], before)
            tries |= {t.row: t for t in found}
            self.firm |= {t.row for t in found if t.score is None}
            agreed += [] if agrees is None else [agrees]
        return self._figures(label, scores, limits, before, tries, agreed)

    def _scores(self, fitted: Sequence[Fitted], side: Measured) -> Array:
        """What has no score counts as the most suspicious."""
        found = score_folds(fitted, side, self.folds)
        return np.where(np.isnan(found), np.inf, found)

    def _fold(
        self,
        label: str,
        fold: int,
        fitted: Fitted,
        clean: Array,
        limit: float,
        before: dict[int, float],
    ) -> tuple[list[Try], float | None]:
        """Every case of a fold, from the store where it was tried before."""
        store = self.watch.runner.store
        name = f"adaptive|{label}|{fold}"
        if (kept := store.get_json(name)) is not None:
            return [Try(*one) for one in kept["tries"]], kept["agrees"]
        own = self.places[self.folds[self.places] == fold]
        suspect = Suspect(self.watch.look, fitted, limit)
        agrees = None
        if not fitted.detector.differentiable:
            suspect.follower, agrees = self._follower(suspect, fold)
        tries = []
        for batch in self._batches(own):
            tries += self._attack(suspect, batch, float(np.median(clean)), before)
        plain = [dataclasses.astuple(one) for one in tries]
        store.put_json(name, {"tries": plain, "agrees": agrees})
        return tries, agrees

    def _follower(self, suspect: Suspect, fold: int) -> tuple[Follower, float]:
        """Fitted on the other folds, tried on this one."""
        sides: list[tuple[Side, Side]] = []
        for inside in (False, True):
            mine = [(self.folds[s.cases] == fold) == inside for s in (self.clean, self.known)]
            sides.append((self.clean.take(mine[0]), self.known.take(mine[1])))
        (clean, known), own = sides
        found = follow(suspect.score, clean.features, known.features)
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
        self, suspect: Suspect, batch: Batch, low: float, before: dict[int, float]
    ) -> list[Try]:
        """One attack after another, until a case looks no more suspicious than half the clean.

        Until the classifier is fooled, they all climb its margin: where the first one never gets
        there, neither would the next, nor the first with another detector beside it.
        """
        best = {
            row: Try(row, before.get(row), self.cell.label if row in before else "")
            for row in batch.rows
        }
        for number, attack in enumerate(self.attacks):
            left = [
                i
                for i, row in enumerate(batch.rows)
                if row not in self.firm
                and (number == 0 if (score := best[row].score) is None else score > low)
            ]
            if not left:
                break
            rest = batch.take(left)
            for row, score in self._run(suspect, attack, rest):
                known = best[row].score
                if known is None or score < known:
                    best[row] = Try(row, score, type(attack).__name__)
        return list(best.values())

    def _run(self, suspect: Suspect, attack: Attack, batch: Batch) -> Iterator[tuple[int, float]]:
        """The real scores of images that the real classifier is fooled by."""
        own: dict[str, object] = {"suspicion": suspect.suspicion}
        if isinstance(attack, FeatureMatching):
            features = self.reference.features
            own |= {
                "features": suspect.deep,
                "guides": features.deep.to(batch.x),
                "labels": features.logits.argmax(1).to(batch.x.device),
            }
        if isinstance(attack, HierarchicalFeatureConstraint):
            own["likelihood"] = lambda x: self.likelihood(suspect.features(x))
        ready = replace(attack, **own)  # type: ignore[type-var]
        runner = self.watch.runner
        x_adv, outcomes = attack_batch(
            runner.logits,
            ready,
            self.cell.threat,
            batch,
            self.goal,
            self.watch.plan.audit.seed,
            quick=suspect.logits,
            named=f"{suspect.fitted.detector!r} {attack!r}",
        )
        with torch.no_grad():
            scores = suspect.score(self.watch.look(x_adv)).double().cpu().tolist()
        for outcome, score in zip(outcomes, scores, strict=True):
            if outcome.success and math.isfinite(score):
                yield outcome.row, score

    def _figures(
        self,
        label: str,
        clean: Array,
        limits: dict[float, float],
        before: dict[int, float],
        tries: dict[int, Try],
        agreed: Sequence[float],
    ) -> Adaptive:
        own = self.bootstrap.at(self.places)
        found = [tries[self.watch.rows[place]] for place in self.places]
        after = np.array([np.inf if t.score is None else t.score for t in found])
        static = np.array([before.get(t.row, np.inf) for t in found])
        fooled = np.isfinite(after)
        counts = {name: sum(t.attack == name for t in found) for name in self._names()}
        return Adaptive(
            detector=label,
            attacks={
                name: "; ".join(repr(one) for one in self.attacks if type(one).__name__ == name)
                for name in self._names()[1:]
            },
            fooled=_sure(own.rate(fooled)),
            auc=self._auc(clean, after),
            static_auc=self._auc(clean, static),
            passes={f"{s:g}": _sure(own.rate(after <= limit)) for s, limit in limits.items()},
            static={f"{s:g}": _sure(own.rate(static <= limit)) for s, limit in limits.items()},
            found_by={name: count for name, count in counts.items() if count},
            few=int(fooled.sum()) < FEW,
            follows=min(agreed) if agreed else None,
        )

    def _names(self) -> list[str]:
        own = [self.cell.label, *(type(one).__name__ for one in self.attacks)]
        return list(dict.fromkeys(own))

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
