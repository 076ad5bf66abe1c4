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
    together: bool = False
    """As of `WithinRegion`: bags with the same chosen instances are attacked at once."""

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
        allowed = self.allowed
        if allowed is None:
            allowed = x.new_ones((len(x), 1, *x.shape[2:]), dtype=torch.bool)
        alone = self._alone(model, x, y, threat, streams, target, allowed)
        bags = []
        for row in torch.arange(len(x)).split(1):  # type: ignore[no-untyped-call]
            goal = None if target is None else target[row]
            bags.append(_Bag(model, x[row], y[row], goal, threat, self.limits, allowed[row]))
        chosen = [bag.best_of_both(alone[[row]]) for row, bag in enumerate(bags)]
        kept, images = (torch.cat(parts) for parts in zip(*chosen, strict=True))
        region = instance_pixels(kept, x, self.limits.tile) & allowed
        inside = WithinRegion(self.attack, region, self.together)
        x_adv = inside(model, x, y, threat, streams, target)
        if math.isinf(threat.eps):
            return x_adv
        ahead = [
            bool(bag.margins(images[[row]]) > bag.margins(x_adv[[row]]))
            for row, bag in enumerate(bags)
        ]
        better = torch.tensor(ahead, device=x.device).view(-1, 1, 1, 1)
        return torch.where(better, images, x_adv)

    def _alone(
        self,
        model: Model,
        x: Tensor,
        y: Tensor,
        threat: ThreatModel,
        streams: Streams,
        target: Tensor | None,
        allowed: Tensor,
    ) -> Tensor:
        """The bags with every instance attacked as a bag of its own."""
        height, width = self.limits.tile
        tiles = cut_instances(x, self.limits.tile)
        bag, place = self.limits.present(x).nonzero(as_tuple=True)
        region = cut_instances(allowed, self.limits.tile)[bag, place]
        goal = None if target is None else target[bag]
        attack = confined(
            self.attack, None if bool(region.all()) else region, together=self.together
        )
        moved = attack(model, tiles[bag, place], y[bag], threat, streams[bag], goal)
        tiles = tiles.index_put((bag, place), moved)
        rows, columns = x.shape[2] // height, x.shape[3] // width
        grid = tiles.view(len(x), rows, columns, -1, height, width)
        return grid.permute(0, 3, 1, 4, 2, 5).reshape(x.shape)


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

    def best_of_both(self, alone: Tensor) -> tuple[Tensor, Tensor]:
        """The better choice of instances attacked alone, or moved along the bag's gradient."""
        choices = [self.best_choice(moved) for moved in (alone, self.along_gradient())]
        return max(choices, key=lambda found: float(self.margins(found[1])))

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
    return FewInstances(attack, limits, region, together)
