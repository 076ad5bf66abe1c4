"""Attacks on at most k instances of a bag: which ones, and then the attack on these alone.

A group-sparse attack whose groups are the instances, as frames are in Wei et al. 2019 (arXiv
1803.02536).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from attacks import AttackFunction, Model, Streams, ThreatModel
from attacks.losses import margin
from robust.engine.touch.region import WithinRegion, confined
from robust.models.networks.bags import cut_instances, instance_pixels
from robust.tasks.bags import BagLimits
from robust.tasks.contract import Batch, Task

MOST_SUBSETS = 64
"""So many choices of instances are all tried; of more the best is approached greedily."""
AT_ONCE = 16
"""Bags in a pass that compares choices."""


@dataclass(frozen=True)
class FewInstances:
    """An attack that changes at most `limits.most` instances of each bag.

    Each instance is attacked as a bag of its own, and moved along the gradient of the whole bag.
    Of both, the instances are chosen that move the bag's margin furthest when they are exchanged:
    of all choices where there are few, else one instance after the other, which is exact where
    instances add up (mean pooling of a linear model) and for max pooling. The attack itself then
    runs inside the chosen ones. The better of both images is returned.
    """

    attack: AttackFunction
    limits: BagLimits
    allowed: Tensor | None = None
    """Pixels `(n, 1, h, w)` bool that may change at all; None: every one."""

    def __call__(
        self,
        model: Model,
        x: Tensor,
        y: Tensor,
        threat: ThreatModel,
        streams: Streams,
        target: Tensor | None = None,
    ) -> Tensor:
        """The attacked bags."""
        found = []
        for i in range(len(x)):
            own = slice(i, i + 1)
            goal = None if target is None else target[own]
            where = x.new_ones((1, 1, *x.shape[2:]), dtype=torch.bool)
            where = where if self.allowed is None else self.allowed[own]
            bag = _Bag(model, x[own], y[own], goal, threat, self.limits, where)
            found.append(self._on(bag, streams[[i]]))
        return torch.cat(found)

    def _on(self, bag: _Bag, streams: Streams) -> Tensor:
        moved = [self._alone(bag, streams), bag.along_gradient()]
        kept, image = max(
            (bag.best_choice(one) for one in moved), key=lambda found: float(bag.margins(found[1]))
        )
        region = instance_pixels(kept, bag.x, self.limits.tile) & bag.allowed
        inside = WithinRegion(self.attack, region)
        x_adv = inside(bag.model, bag.x, bag.y, bag.threat, streams, bag.target)
        if math.isinf(bag.threat.eps):
            return x_adv
        return image if bool(bag.margins(image) > bag.margins(x_adv)) else x_adv

    def _alone(self, bag: _Bag, streams: Streams) -> Tensor:
        """The bag with every instance attacked as a bag of its own."""
        height, width = self.limits.tile
        tiles = cut_instances(bag.x, self.limits.tile)[0]
        places = bag.present.nonzero()[:, 1]
        some = tiles[places]
        region = cut_instances(bag.allowed, self.limits.tile)[0, places]
        count = len(places)
        goal = None if bag.target is None else bag.target.expand(count)
        attack = confined(self.attack, None if bool(region.all()) else region)
        draws = streams[[0] * count]
        moved = attack(bag.model, some, bag.y.expand(count), bag.threat, draws, goal)
        tiles = tiles.index_put((places,), moved)
        rows, columns = bag.x.shape[2] // height, bag.x.shape[3] // width
        grid = tiles.view(rows, columns, -1, height, width)
        return grid.permute(2, 0, 3, 1, 4).reshape(bag.x.shape)


@dataclass(frozen=True)
class _Bag:
    """One bag under attack; `x (1, c, h, w)`."""

    model: Model
    x: Tensor
    y: Tensor
    target: Tensor | None
    threat: ThreatModel
    limits: BagLimits
    allowed: Tensor

    @property
    def present(self) -> Tensor:
        return self.limits.present(self.x)

    def margins(self, images: Tensor) -> Tensor:
        """How far the attacker is ahead on images `(m, c, h, w)` of this bag: `(m,)`."""
        with torch.no_grad():
            parts = torch.split(images, AT_ONCE)
            logits = torch.cat([self.model(part) for part in parts])
        goal = None if self.target is None else self.target.expand(len(images))
        return margin(logits, self.y.expand(len(images)), goal)

    def along_gradient(self) -> Tensor:
        """The bag after the largest step along the gradient of its margin, instance by instance."""
        step = 1.0 if math.isinf(self.threat.eps) else self.threat.eps
        with torch.enable_grad():
            z = self.x.detach().requires_grad_()
            ahead = margin(self.model(z), self.y, self.target)
            (gradient,) = torch.autograd.grad(ahead.sum(), z, allow_unused=True)
        if gradient is None:
            return self.x
        gradient = torch.where(self.allowed, gradient, 0.0)
        size = 1.0 if self.threat.norm == "L0" else step
        return (self.x + size * self.threat.steepest(gradient)).clamp(0, 1)

    def best_choice(self, moved: Tensor) -> tuple[Tensor, Tensor]:
        """The instances `(1, m)` bool to take from `moved`, and the bag with these exchanged."""
        present, most = self.present, self.limits.most or 0
        if int(present.sum()) <= most:
            return present, self._exchanged(moved, present)
        places = present[0].nonzero().flatten().tolist()
        if math.comb(len(places), most) <= MOST_SUBSETS:
            return self._best_of(moved, map(list, itertools.combinations(places, most)))
        chosen: list[int] = []
        for _ in range(most):
            rest = [place for place in places if place not in chosen]
            kept, _ = self._best_of(moved, ([*chosen, place] for place in rest))
            chosen = kept[0].nonzero().flatten().tolist()
        return kept, self._exchanged(moved, kept)

    def _best_of(self, moved: Tensor, choices: Iterator[list[int]]) -> tuple[Tensor, Tensor]:
        kept = torch.stack([self._at(places) for places in choices])
        images = torch.cat([self._exchanged(moved, one[None]) for one in kept])
        best = int(self.margins(images).argmax())
        return kept[best : best + 1], images[best : best + 1]

    def _at(self, places: list[int]) -> Tensor:
        kept = torch.zeros_like(self.present[0])
        kept[places] = True
        return kept

    def _exchanged(self, moved: Tensor, kept: Tensor) -> Tensor:
        where = instance_pixels(kept, self.x, self.limits.tile)
        return self.threat.project(torch.where(where, moved, self.x), self.x)


def within_limits(
    task: Task, attack: AttackFunction, batch: Batch, *, together: bool = False
) -> AttackFunction:
    """The attack within the pixels and the number of instances that a task lets it touch."""
    region, limits = task.region(batch), task.bags
    if limits is None or limits.most is None:
        return confined(attack, region, together=together)
    return FewInstances(attack, limits, region)
