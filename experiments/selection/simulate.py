"""How often selection is said to explain detection: where cases fall by chance, and by nearness.

Run: `python -m experiments.selection.simulate [REPEATS]` (about twenty minutes on one CPU core).
Writes `results/simulation.csv`. Each repeat draws cases with a distance to the decision boundary,
which of them fall, and the scores of eight detectors; the doubt is judged over the eight, as an
audit judges it. With `selection` 0 cases fall by chance, and any doubt is a false alarm; else those
near the boundary fall, and clean scores rise with nearness by so many deviations.
"""

from __future__ import annotations

import csv
import sys
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np

from robust.detection.selection import attack_auc, explained_by_selection
from robust.metrics.arrays import Array
from robust.metrics.by_group import ByGroup
from robust.records.estimate import TOO_FEW

RESULTS = Path(__file__).parent / "results"
DETECTORS = 8


@dataclass(frozen=True)
class World:
    """What is drawn in each repeat."""

    groups: int
    per_group: int
    fall: float
    """Share of the cases that fall."""
    selection: float
    """How much of a clean score is nearness to the boundary, in deviations; 0: nothing."""
    shift: float
    """By how much an attack moves a score, in deviations."""
    alike: float
    """Correlation of the scores of two detectors."""


def draw(world: World, rng: np.random.Generator) -> tuple[Array, Array, Array, Array]:
    """Clean scores `(8, n)`, attacked ones `(8, m)`, the cases that fell, all groups."""
    n = world.groups * world.per_group
    groups = np.repeat(np.arange(world.groups), world.per_group)
    near = _grouped(rng, groups, world.groups)
    shared = _grouped(rng, groups, world.groups)
    own = np.stack([_grouped(rng, groups, world.groups) for _ in range(DETECTORS)])
    clean = np.sqrt(world.alike) * shared + np.sqrt(1 - world.alike) * own
    clean = clean + world.selection * near
    ease = near if world.selection else _grouped(rng, groups, world.groups)
    fell = np.sort(np.argsort(-(ease + 0.3 * rng.normal(size=n)))[: max(1, round(world.fall * n))])
    moved = rng.normal(0, 0.5, (DETECTORS, len(fell)))
    return clean, clean[:, fell] + world.shift + moved, fell, groups


def _grouped(rng: np.random.Generator, groups: Array, count: int) -> Array:
    """A standard normal number for each case, correlated by one half within groups."""
    return (rng.normal(size=count)[groups] + rng.normal(size=len(groups))) / np.sqrt(2)


def doubts(world: World, seed: int) -> list[bool]:
    """Which detectors are doubted in one repeat."""
    rng = np.random.default_rng(seed)
    clean, attacked, fell, groups = draw(world, rng)
    by_group = ByGroup(groups.tolist())
    every = np.arange(clean.shape[1])
    return explained_by_selection(
        [attack_auc(c, a, every, fell, by_group) for c, a in zip(clean, attacked, strict=True)]
    )


def worlds() -> list[World]:
    """Without selection at every size; with it at three strengths."""
    none = [
        World(groups, per, fall, 0.0, shift, alike)
        for (groups, per), fall, shift, alike in product(
            ((50, 1), (50, 3), (200, 1)), (0.2, 0.6, 0.95), (0.0, 0.5), (0.0, 0.8)
        )
        if groups * per * fall >= TOO_FEW and not (shift and alike)
    ]
    some = [
        World(groups, 1, fall, strength, shift, 0.5)
        for groups, fall, strength, shift in product(
            (150, 300), (0.2, 0.6), (0.5, 2.0), (0.0, 0.3, 3.0)
        )
    ]
    return none + some


def main(repeats: int) -> None:
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / "simulation.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        fields = ("groups", "per_group", "fall", "selection", "shift", "alike")
        table.writerow([*fields, "repeats", "any_doubted", "detectors_doubted"])
        for world in worlds():
            count = repeats if not world.selection else max(20, repeats // 10)
            found = [doubts(world, seed) for seed in range(count)]
            line = [getattr(world, name) for name in fields]
            shares = np.mean([any(one) for one in found]), np.mean(found)
            table.writerow([*line, count, *(f"{share:.3f}" for share in shares)])
            file.flush()
            print(*line, *(f"{share:.3f}" for share in shares), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300)
