"""Which instances of a bag an attacker may touch: those that there are, or at most k of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from robust.errors import InputError
from robust.models.model_json import read_either
from robust.models.networks.bags import Tile, cut_instances, instance_pixels, present_instances
from robust.plan.paths import is_trained
from robust.plan.spec import AuditSpec, ModelSpec


@dataclass(frozen=True)
class BagLimits:
    """Instances of `tile` pixels, of which at most so many may be changed; None: all of them."""

    tile: Tile
    most: int | None = None

    def present(self, x: Tensor) -> Tensor:
        """Which tiles of clean bags `(n, c, h, w)` are instances: `(n, m)` bool."""
        return present_instances(cut_instances(x, self.tile))

    def region(self, x: Tensor) -> Tensor | None:
        """The pixels of instances `(n, 1, h, w)` bool; None where all are."""
        present = self.present(x)
        return None if bool(present.all()) else instance_pixels(present, x, self.tile)

    def changed(self, x_adv: Tensor, x: Tensor) -> Tensor:
        """Which tiles differ, `(n, m)` bool."""
        return cut_instances((x_adv != x).to(x), self.tile).flatten(2).any(2)

    def changed_pixels(self, x_adv: Tensor, x: Tensor) -> Tensor:
        """All pixels of the tiles that differ, `(n, 1, h, w)` bool."""
        return instance_pixels(self.changed(x_adv, x), x, self.tile)

    def violations(self, x_adv: Tensor, x: Tensor) -> list[str | None]:
        """For each bag in what an attack broke these limits, or None."""
        changed, present = self.changed(x_adv, x), self.present(x)
        beside = (changed & ~present).any(1).tolist()
        found: list[str | None] = []
        for count, outside in zip(changed.sum(1).tolist(), beside, strict=True):
            if outside:
                found.append("changed a blank tile, which is no instance of the bag")
            elif self.most is not None and count > self.most:
                found.append(f"changed {count} instances, allowed {self.most}")
            else:
                found.append(None)
        return found


def bag_limits(audit: AuditSpec, model: ModelSpec | None) -> BagLimits | None:
    """The limits of a plan; None where its model reads no bags. InputError for limits without bags.

    A folder of `robust train` says itself whether it reads bags.
    """
    tile = audit.tile
    if tile is None and model is not None and model.bag is not None:
        tile = model.bag.tile
    if tile is None and model is not None and model.folder is not None:
        if is_trained(folder := Path(model.folder)):
            kept = read_either(folder)[1].get("bag")
            tile = (kept["tile"][0], kept["tile"][1]) if kept else None
    if tile is None:
        if audit.instances is not None:
            raise InputError(
                "[audit] instances is for models that read bags, and [model] has no bag; remove "
                "it, or name the instances: bag = {tile = ...} in [model]"
            )
        return None
    return BagLimits((tile, tile) if isinstance(tile, int) else tile, audit.instances)
