"""The most damaging images for outlines: for the whole case, and for each structure (SEA, 2024).

Croce, Singh and Hein (2024, "Towards reliable evaluation and fast training of robust semantic
segmentation models", ECCV) take the worst of several attacks for every image and class.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from robust.metrics.arrays import Array, Mask
from robust.metrics.outlines.kept import KeptScores


def damage(kept: Array) -> Array:
    """How far the outline of a case is off `(n,)`: 1 less its Dice, in [0, 1]; `kept (n, a)`."""
    harm: Array = 1 - KeptScores(kept).case_dice
    return harm


def worst_by_structure(worst: Array, found: Iterable[tuple[Array, Mask]]) -> Array:
    """The scores of each structure in the image that hurts this structure most `(n, a)`.

    `worst (n, a)` are the scores in the worst image for the whole case, `found` those in the images
    of each attack `(n, a)`, and which of these count `(n,)`. The lowest Dice hurts most; of equal
    ones the lowest surface Dice, then the largest HD95, then the first. The scores of the whole
    case stay those of `worst`: no single image does all the harm at once.
    """
    chosen = KeptScores(worst.copy())
    for kept, within in found:
        new = KeptScores(kept)
        hurts = _hurts_more(new, chosen) & within[:, None]
        chosen.table[hurts] = new.table[hurts]
    return chosen.values


def _hurts_more(new: KeptScores, old: KeptScores) -> Mask:
    """Where a structure is worse `(n, structures)`; one without score is not hurt at all."""
    worse = np.zeros(new.dice.shape, bool)
    level = np.ones(new.dice.shape, bool)
    for one, other in zip(_harms(new), _harms(old), strict=True):
        worse |= level & (one > other)
        level &= one == other
    return worse


def _harms(kept: KeptScores) -> list[Array]:
    """Each `(n, structures)`, the most important first; more is worse."""
    harms = [1 - kept.dice, 1 - kept.surface_dice, kept.hd95]
    return [np.where(np.isnan(kept.dice), 0.0, harm) for harm in harms]
