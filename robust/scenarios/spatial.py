"""Spatial attack: the worst rotation and shift of a grid, with a random one as control."""

from __future__ import annotations

import numpy as np
import torch

from attacks import Streams
from attacks.spatial import SpatialGrid, turned_and_shifted
from robust.engine.run_memory import SpatialResult
from robust.errors import InputError
from robust.metrics.arrays import Places
from robust.plan.spec import SpatialSpec
from robust.records import Scenario
from robust.scenarios.holdout import Holdout, Memoise


def grid_of(spec: SpatialSpec) -> SpatialGrid:
    """The grid that a plan asks for."""
    return SpatialGrid(spec.rotation, spec.shift, spec.angles, spec.shifts)


def spatial(holdout: Holdout, grid: SpatialGrid, memoise: Memoise[SpatialResult]) -> Scenario:
    """Try every move of the grid on each case; a case has fallen at the first that fools.

    The control is one random rotation and shift of each image, within the same range.
    """
    if holdout.batch.x.ndim != 4:
        raise InputError("[scenarios] spatial is for images, and the cases are volumes; remove it")
    hits, control = holdout.no_cases(), holdout.no_cases()
    for number, places in enumerate(holdout.chunks()):
        found = memoise(number, lambda places=places: _try(holdout, grid, places))  # type: ignore[misc]
        hits[places], control[places] = found.fooled, found.control
    return Scenario(
        name="spatial",
        attack=repr(grid),
        budget=grid.count,
        size=grid.rotation,
        norm=None,
        shift=grid.shift,
        fooled=holdout.rate(hits),
        control=holdout.rate(control),
    )


def _try(holdout: Holdout, grid: SpatialGrid, places: Places) -> SpatialResult:
    batch = holdout.batch.take(places.tolist())
    left = np.arange(len(places))
    for move in grid.moves():
        part = batch.take(left.tolist())
        moves = part.x.new_tensor(move).expand(len(left), 3)
        left = left[~holdout.reached(turned_and_shifted(part.x, moves), part)]
        if not len(left):
            break
    streams = Streams.of(holdout.seed, [case.id for case in batch.cases], "spatial control")
    with torch.no_grad():
        drawn = turned_and_shifted(batch.x, grid.random(batch.x, streams))
    fooled = np.ones(len(places), bool)
    fooled[left] = False
    return SpatialResult(fooled.tolist(), holdout.reached(drawn, batch).tolist())
