"""Scores of the outlines of one set of cases: shares outlined well, means by structure and size."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from robust.metrics.arrays import Array, Mask
from robust.metrics.by_group import FEWEST, ByGroup
from robust.metrics.outlines.kept import KeptScores
from robust.metrics.outlines.worst import damage, worst_by_structure
from robust.metrics.scores import Condition
from robust.records import Estimate, Scores
from robust.records.scores import OutlineScores, SizeGroup

ROUNDING = 1e-9
"""How far Dice may lie beyond a limit by rounding."""


@dataclass(frozen=True)
class OutlineStandard:
    """When a case counts as outlined well."""

    dice: float
    """Least Dice of the case."""
    drop: float = 1.0
    """How far an attack may lower it."""

    def met(self, case_dice: Array, clean_dice: Array) -> Mask:
        """Which cases are outlined well `(n,)`, from their Dice and that without attack."""
        well: Mask = (case_dice >= self.dice - ROUNDING) & (
            clean_dice - case_dice <= self.drop + ROUNDING
        )
        return well


@dataclass(frozen=True)
class OutlineScorer:
    """Scores conditions of one set of cases; all numbers share the same groups."""

    by_group: ByGroup
    """Groups of the cases."""
    clean: Array
    """`(n, a)`: what is kept of each case without attack."""
    structures: tuple[str, ...]
    """Names of the structures that count, in the order of the kept scores."""
    standard: OutlineStandard
    """When a case counts as outlined well."""

    def damage(self, kept: Array) -> Array:
        """How far the outlines are off `(n,)`: 1 less the Dice of the case, in [0, 1]."""
        return damage(kept)

    def errors(self, kept: Array) -> Array:
        """The same, 1 less the Dice of the case."""
        return damage(kept)

    def error(self, errors: Array) -> Estimate:
        """Their mean: 1 less the mean Dice."""
        found = self.by_group.mean(errors, np.ones(len(errors), bool))
        assert found is not None  # there are cases
        return found

    def score(
        self, condition: Condition, populations: Sequence[Mask], pushed: Array | None = None
    ) -> list[Scores]:
        """The scores of each population `(n,)` bool; there is no AUC to be `pushed`."""
        kept = KeptScores(condition.kept)
        well = self.standard.met(kept.case_dice, KeptScores(self.clean).case_dice)
        return [self._population(condition, kept, well, who) for who in populations]

    def pushed(self, clean: Condition, found: Iterable[tuple[Array, Mask]]) -> None:
        """There is no AUC."""
        return None

    def by_part(self, worst: Condition, found: Iterable[tuple[Array, Mask]]) -> Condition:
        """The worst case, each structure as in the image that hurts it most."""
        return replace(worst, kept=worst_by_structure(worst.kept, found))

    def confusion(self, condition: Condition) -> tuple[tuple[int, ...], ...]:
        """A case has no single class."""
        return ()

    def _population(self, condition: Condition, kept: KeptScores, well: Mask, who: Mask) -> Scores:
        counted, attacked = condition.countable & who, condition.evaluated & who
        broken = condition.success & attacked
        return Scores(
            accuracy=self.by_group.rate(well, counted),
            robust_accuracy=self.by_group.rate(well, attacked),
            success=self.by_group.rate(condition.success, attacked),
            median_l2=self.by_group.median(condition.l2, broken),
            median_linf=self.by_group.median(condition.linf, broken),
            median_l1=self.by_group.median(condition.l1, broken),
            median_l0=self.by_group.median(condition.l0, broken),
            dice=self.by_group.mean(kept.case_dice, counted),
            outlines={
                name: self._structure(kept, place, counted, who)
                for place, name in enumerate(self.structures)
            },
        )

    def _structure(self, kept: KeptScores, place: int, counted: Mask, who: Mask) -> OutlineScores:
        """One structure, over the cases in `counted`; thirds by size are those of `who`."""
        dice, true = kept.dice[:, place], kept.true_volume[:, place]
        predicted = kept.predicted_volume[:, place]
        present = true > 0
        scored = counted & ~np.isnan(dice)
        distance = np.minimum(kept.hd95[:, place], kept.diagonal)
        error = np.minimum(np.abs(kept.volume_error[:, place]), 1.0)
        farthest = float(kept.diagonal.max(initial=1.0))
        mean, rate = self.by_group.mean, self.by_group.rate
        return OutlineScores(
            cases=int((counted & present).sum()),
            dice=mean(dice, scored),
            iou=mean(kept.iou[:, place], scored),
            surface_dice=mean(kept.surface_dice[:, place], scored),
            hd95=mean(distance, scored, farthest),
            volume_error=mean(error, counted & present),
            missed=rate(predicted == 0, counted & present),
            invented=rate(predicted > 0, counted & ~present),
            by_size=self._thirds(dice, true, counted, who & present),
        )

    def _thirds(
        self, dice: Array, volume: Array, counted: Mask, who: Mask
    ) -> tuple[SizeGroup, ...]:
        """Dice by thirds of the true volume; none where a third has too few cases."""
        if not who.any():
            return ()
        cuts = np.quantile(volume[who], (1 / 3, 2 / 3))
        third = np.searchsorted(cuts, volume, "left")
        parts = [who & (third == k) for k in range(3)]
        if min(int(part.sum()) for part in parts) < FEWEST:
            return ()
        return tuple(
            SizeGroup(
                name=name,
                cases=int((part & counted).sum()),
                smallest=float(volume[part].min()),
                largest=float(volume[part].max()),
                dice=self.by_group.mean(dice, part & counted),
            )
            for name, part in zip(("small", "medium", "large"), parts, strict=True)
        )
