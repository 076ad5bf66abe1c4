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
    not know whose region is meant. Those that share a region stay `together`, for an attack that
    keeps pixels without gradient still: these are then the clean ones anyway.
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
        found, groups = [], self._groups()
        for rows in groups:
            own, inside = x[rows], self.region[rows[:1]]
            goal = None if target is None else target[rows]

            def limited(z: Tensor, own: Tensor = own, inside: Tensor = inside) -> Tensor:
                return model(torch.where(inside, z, z.detach() if self.together else own))

            draws = streams[rows].within(inside[0])
            moved = self.attack(limited, own, y[rows], threat, draws, goal)
            found.append(torch.where(inside, moved, own))
        return torch.cat(found)[torch.cat(groups).argsort()]

    def _groups(self) -> list[Tensor]:
        """Rows of the cases that are attacked at once."""
        if not self.together:
            return list(torch.arange(len(self.region)).split(1))  # type: ignore[no-untyped-call]
        flat = self.region.flatten(1)
        kinds = flat.unique(dim=0, return_inverse=True)[1].cpu()  # type: ignore[no-untyped-call]
        return [(kinds == kind).nonzero().flatten() for kind in range(int(kinds.max()) + 1)]


def confined(
    attack: AttackFunction, region: Tensor | None, *, together: bool = False
) -> AttackFunction:
    """The attack within that region; as it is where there is none."""
    return attack if region is None else WithinRegion(attack, region, together)
