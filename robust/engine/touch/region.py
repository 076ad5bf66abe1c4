"""Attacks that may touch a part of each image only: inside or outside its mask, or a box."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from attacks import AttackFunction, Model, Streams, ThreatModel


@dataclass(frozen=True)
class WithinRegion:
    """An attack whose changes count inside a region alone, `(n, 1, *space)` bool.

    The model shows the clean image outside the region, so that gradients vanish there, and random
    draws have no spread there: no part of an L2 budget is spent on pixels that may not change.

    Cases are attacked one by one, since an attack may drop cases from its batch and the model would
    not know whose region is meant. Where all share one region they stay `together`, for an attack
    that keeps pixels without gradient still: these are then the clean ones anyway.
    """

    attack: AttackFunction
    region: Tensor
    together: bool = False

    def __call__(
        self,
        model: Model,
        x: Tensor,
        y: Tensor,
        threat: ThreatModel,
        streams: Streams,
        target: Tensor | None = None,
    ) -> Tensor:
        """The attack's images inside the region, the clean ones outside."""
        if self.together and bool((self.region == self.region[:1]).all()):
            inside = self.region[:1]

            def blind(z: Tensor) -> Tensor:
                return model(torch.where(inside, z, z.detach()))

            x_adv = self.attack(blind, x, y, threat, streams.within(inside[0]), target)
            return torch.where(self.region, x_adv, x)
        found = []
        for i in range(len(x)):
            own, inside = slice(i, i + 1), self.region[i : i + 1]
            goal = None if target is None else target[own]

            def shown(z: Tensor, own: slice = own, inside: Tensor = inside) -> Tensor:
                return torch.where(inside, z, x[own])

            def limited(z: Tensor, shown: Model = shown) -> Tensor:
                return model(shown(z))

            draws = streams[[i]].within(inside[0])
            found.append(shown(self.attack(limited, x[own], y[own], threat, draws, goal)))
        return torch.cat(found)


def confined(
    attack: AttackFunction, region: Tensor | None, *, together: bool = False
) -> AttackFunction:
    """The attack within that region; as it is where there is none."""
    return attack if region is None else WithinRegion(attack, region, together)
