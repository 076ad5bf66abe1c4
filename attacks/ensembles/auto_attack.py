"""Parameter-free ensemble after AutoAttack: Croce and Hein 2020 (arXiv 2003.01690)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from torch import Tensor

from attacks._starts import random_start
from attacks._tracking import ActiveCases, BestSoFar
from attacks.apgd import APGD
from attacks.contract import (
    Attack,
    AttackTraits,
    Knowledge,
    Model,
    require_fit,
    require_positive,
)
from attacks.dense import is_dense
from attacks.line_search import FURTHER_PASSES, LOCAL_PASSES, search_lines
from attacks.losses import MAX_TARGETS, likeliest_wrong, margin
from attacks.margin_pgd import MarginPGD
from attacks.minimum_norm.fab import FAB
from attacks.pgd import PGD
from attacks.repeated_passes import JUDGING_PASSES, PASSES, MeanOfPasses, is_random
from attacks.square import Square
from attacks.streams import Streams, call_text
from attacks.threat import ThreatModel

WIDER = (2.0, 1.4)
"""Radii, in units of eps, of the balls that APGD narrows from an image outside to within eps."""
PROBED = 4
"""Images of which several passes tell whether the network's outputs are random."""
NEARER = 0.95
"""Of the distance from which APGD has begun already: from further away it does not begin again."""
FINAL: tuple[Attack, ...] = (
    PGD(step_size=0.05, schedule="constant", start="image", stop=True),
    PGD(step_size=0.1, schedule="constant", start="image", loss="margin", stop=True),
    PGD(stop=True),
)
"""An audit's usual attacks, with which an ensemble must keep up: BIM, MarginPGD and PGD."""


@dataclass(frozen=True)
class AutoAttack:
    """APGD, FAB, Square and shorter searches in turn, each on the cases that are still robust.

    Use it for the final number within an eps, with any number of classes, two included: it has
    budgets (`steps`, `queries`) and nothing to tune. Where gradients near the image vanish, FAB,
    which also starts far away, often finds an image outside the ball, and APGD goes on from there
    through narrowing balls. Targeted runs and DLR need three classes; with two, where the gradients
    of all losses are parallel, further starts replace them. At the end come the usual attacks of 20
    steps and a search along lines: they may find what the others pass over.

    A search of a case ends where its own progress, extended generously, would not reach the
    boundary: cases that stand far away cost a fraction of the budget, near ones all of it. Square
    ends only where it also lies behind the attacks with gradients, so that it keeps its budget
    where these are masked. `full` switches this off.

    On dense logits it runs APGD on cross-entropy, on Dice and on their sum, then the usual attacks
    of 20 steps and, on images, Square; of each case the most damaging image of all is kept, by mean
    hard Dice over the structures. There FAB, targeted runs and lines have no place. Square is left
    out on volumes, and it and FAB in L2-slice.

    A network whose outputs are random is attacked by the mean gradient of several passes
    (expectation over transformation), and a case is done when every pass of its image is misread.
    """

    norms: ClassVar[tuple[str, ...]] = ("Linf", "L2", "L2-slice")
    minimum_norm: ClassVar[bool] = False
    knowledge: ClassVar[Knowledge] = "gradients and scores"

    steps: int = 100
    """Gradient steps of each run of APGD and FAB."""
    queries: int = 5000
    """Queries of Square per case."""
    full: bool = False
    """Spend the whole budget on every case that stands, whatever its searches' progress."""
    eot: int = field(default=PASSES, repr=False)
    """Passes in the mean that it climbs where outputs are random; an audit sets its own."""

    def __post_init__(self) -> None:
        require_positive(self, "steps", "queries", "eot")

    @property
    def stream_key(self) -> str:
        """As the first release wrote it, which called the ensemble Standard."""
        longer: dict[str, object] = {"full": True} if self.full else {}
        if self.eot != PASSES:
            longer["eot"] = self.eot
        return call_text("Standard", steps=self.steps, queries=self.queries, **longer)

    @property
    def traits(self) -> AttackTraits:
        """It always stops early."""
        return AttackTraits(
            steps=self.steps, dense=True, averaging=lambda passes: replace(self, eot=passes)
        )

    @property
    def passes(self) -> int:
        """Those of all stages, and of the APGD runs after each run of FAB."""
        stages = list(self._stages(MAX_TARGETS + 1, False))
        fab_runs = sum(attack.minimum_norm for attack in stages)
        closing = self._search.passes + len(WIDER) * self._approach.passes
        usual = 3 + sum(attack.passes + 1 for attack in stages) + fab_runs * closing
        stages = list(self._stages_on_means())
        means = sum(attack.passes for attack in stages)
        return max(
            usual + LOCAL_PASSES + FURTHER_PASSES,
            3 + self.eot * means + JUDGING_PASSES * len(stages),
        )

    @property
    def _search(self) -> APGD:
        return APGD(self.steps, loss="dlr", stop=True, give_up=not self.full)

    @property
    def _approach(self) -> APGD:
        return APGD(max(self.steps // 4, 1), loss="dlr")

    def _stages(self, classes: int, targeted: bool) -> Iterator[Attack]:
        """From cheap to costly."""
        yield APGD(self.steps, stop=True, give_up=not self.full)
        if classes == 2 or targeted:
            yield replace(self._search, start="image", restarts=8)
            yield FAB(self.steps, restarts=5)
        else:
            targets = min(classes - 1, MAX_TARGETS)
            yield replace(self._search, targets=targets)
            yield FAB(self.steps, restarts=3)
            yield FAB(self.steps, targets=targets)
        yield Square(self.queries)
        yield from FINAL

    def _stages_on_means(self) -> Iterator[Attack]:
        """For a network with random outputs; none stops at a success that may be luck."""
        yield PGD(self.steps, step_size=max(4 / self.steps, 0.05))
        yield APGD(self.steps, start="image")
        yield APGD(self.steps, loss="dlr")
        yield MarginPGD()
        yield Square(max(self.queries // self.eot, 1))

    def _dense_stages(self, usual: Sequence[Attack], queries: int) -> Iterator[Attack]:
        """For dense logits, where no loss is the best on every case."""
        for loss in ("cross_entropy", "dice", "cross_entropy_dice"):
            yield APGD(self.steps, loss=loss, stop=True)
        yield from usual
        if queries:
            yield Square(queries)

    def __call__(
        self,
        model: Model,
        x: Tensor,
        y: Tensor,
        threat: ThreatModel,
        streams: Streams,
        target: Tensor | None = None,
    ) -> Tensor:
        """The image with the largest margin that any stage found within eps."""
        require_fit(self, threat, y.ndim > 1)
        best_so_far, batch = BestSoFar(x), ActiveCases.of(x, y, streams, target)
        with torch.no_grad():
            logits = model(x)
        if is_random(model, x if self.full else x[:PROBED]):
            return self._attack_means(model, batch, threat)
        batch = batch.take(~best_so_far.offer(batch, x, logits))
        closest = torch.full_like(best_so_far.margin, torch.inf)
        dense = is_dense(logits)
        if dense:
            stages = self._dense_stages(FINAL, self.queries if x.ndim == 4 else 0)
        else:
            stages = self._stages(logits.shape[1], target is not None)
        for attack in stages:
            if not len(batch.rows):
                break
            if threat.norm not in attack.norms:
                continue
            if isinstance(attack, FAB):
                batch = self._from_outside(
                    attack, model, best_so_far, batch, threat, target, closest
                )
                continue
            if isinstance(attack, APGD) and attack.targets and not self.full:
                batch = _towards_labels(attack, model, best_so_far, batch, threat)
                continue
            goal = batch.x, batch.y, threat, batch.streams, batch.target
            if isinstance(attack, Square) and not self.full and not dense:
                x_adv = attack.search(model, *goal, reached=best_so_far.margin[batch.rows])
            else:
                x_adv = attack(model, *goal)
            with torch.no_grad():
                batch = batch.take(~best_so_far.offer(batch, x_adv, model(x_adv)))
        if len(batch.rows) and not dense:
            x_adv = search_lines(model, batch.x, batch.y, threat, batch.streams, batch.target).x_adv
            with torch.no_grad():
                best_so_far.offer(batch, x_adv, model(x_adv))
        return best_so_far.x_adv

    def _attack_means(self, model: Model, batch: ActiveCases, threat: ThreatModel) -> Tensor:
        """The image with the largest mean margin, for a network with random outputs."""
        mean, best_so_far = MeanOfPasses(model, self.eot), BestSoFar(batch.x)
        dense, images = batch.y.ndim > 1, batch.x.ndim == 4
        queries = max(self.queries // self.eot, 1) if images else 0
        by_margin = FINAL[1:2]  # no more: each of its passes costs `eot`
        stages = self._dense_stages(by_margin, queries) if dense else self._stages_on_means()
        for attack in stages:
            if not len(batch.rows):
                break
            if threat.norm not in attack.norms:
                continue
            x_adv = attack(mean, batch.x, batch.y, threat, batch.streams, batch.target)
            worst = torch.full_like(best_so_far.margin[batch.rows], torch.inf)

            def judged(z: Tensor, part: ActiveCases = batch, worst: Tensor = worst) -> Tensor:
                logits = model(z)
                value = margin(logits, part.y, part.target)
                torch.minimum(worst, value.to(worst), out=worst)
                return logits

            with torch.no_grad():
                logits = MeanOfPasses(judged, JUDGING_PASSES, seed=1)(x_adv)
            best_so_far.offer(batch, x_adv, logits)
            batch = batch.take(worst <= 0)
        return best_so_far.x_adv

    def _from_outside(
        self,
        attack: FAB,
        model: Model,
        best_so_far: BestSoFar,
        batch: ActiveCases,
        threat: ThreatModel,
        target: Tensor | None,
        closest: Tensor,
    ) -> ActiveCases:
        """The nearest images of FAB; APGD from those outside the ball.

        `closest (n,)`: the distances from which APGD has begun already.
        """
        free = ThreatModel(threat.norm, math.inf)
        goal = batch.x, batch.y, free, batch.streams, batch.target
        x_adv = (
            attack(model, *goal)
            if self.full
            else attack.search(model, *goal, within=threat.eps).x_adv
        )
        inside = threat.project(x_adv, batch.x)
        with torch.no_grad():
            success = best_so_far.offer(batch, inside, model(inside))
        batch, x_adv = batch.take(~success), x_adv[~success]
        distance = threat.distance(x_adv, batch.x)
        nearer = distance < NEARER * closest[batch.rows]
        nearer |= self.full
        closest[batch.rows[nearer]] = distance[nearer]
        if bool(nearer.any()):
            part = batch.take(nearer)
            left = self._close_in(model, best_so_far, part, x_adv[nearer], threat, target)
            kept = ~nearer
            kept[nearer] = torch.isin(batch.rows[nearer], left.rows)
            batch = batch.take(kept)
        return batch

    def _close_in(
        self,
        model: Model,
        best_so_far: BestSoFar,
        batch: ActiveCases,
        x_adv: Tensor,
        threat: ThreatModel,
        target: Tensor | None,
    ) -> ActiveCases:
        """APGD from the nearest images found, first in wider balls, so that it keeps succeeding."""
        for width in WIDER:
            wide = ThreatModel(threat.norm, width * threat.eps)
            outside = BestSoFar(batch.x)
            every = ActiveCases.of(batch.x, batch.y, batch.streams, batch.target)
            start = wide.project(x_adv, batch.x)
            self._approach.run_from(start, model, every, outside, wide, batch.target)
            x_adv = outside.x_adv
        x_adv = threat.project(x_adv, batch.x)
        return self._search.run_from(x_adv, model, batch, best_so_far, threat, target)


def _towards_labels(
    attack: APGD, model: Model, best_so_far: BestSoFar, batch: ActiveCases, threat: ThreatModel
) -> ActiveCases:
    """APGD towards each label, from the likeliest on the most damaging image so far."""
    ranked = likeliest_wrong(model, best_so_far.x_adv[batch.rows], batch.y)[:, : attack.targets]
    labels = ranked.new_zeros(len(best_so_far.margin), ranked.shape[1])
    labels[batch.rows] = ranked
    for label in labels.T:
        start = random_start(batch.x, threat, batch.streams)
        batch = attack.run_from(start, model, batch, best_so_far, threat, label)
        if not len(batch.rows):
            break
    return batch
