"""The most damaging images for outlines: for the whole case, and for each structure (SEA, 2024).

Croce, Singh and Hein (2024, "Towards reliable evaluation and fast training of robust semantic
segmentation models", ECCV) take the worst of several attacks for every image and class.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from robust.metrics.arrays import Array, Mask
from robust.metrics.outlines.kept import CASE_COLUMNS, KeptScores, mean_of_structures


def damage(kept: Array) -> Array:
    """How far the outline of a case is off `(n,)`: 1 less its Dice, in [0, 1]; `kept (n, a)`."""
    harm: Array = 1 - KeptScores(kept).case_dice
    return harm


def worst_by_structure(clean: Array, attacked: Sequence[Array], inside: Sequence[Mask]) -> Array:
    """For each case and structure the scores of the image that hurts this structure most `(n, a)`.

    `clean (n, a)` are the scores without attack, `attacked` those under each attack, `inside (n,)`
    which of these images count. The lowest Dice hurts most; of equal ones the lowest surface Dice,
    then the largest HD95, then the first. The Dice of the case is the mean of the worst; of pixel
    accuracy the lowest counts, of the agreement with a target the highest.
    """
    worst = KeptScores(clean.copy())
    for kept, within in zip(attacked, inside, strict=True):
        new = KeptScores(kept)
        hurts = _hurts_more(new, worst) & within[:, None]
        worst.table[hurts] = new.table[hurts]
        worst.pixel_accuracy[within] = np.fmin(worst.pixel_accuracy, new.pixel_accuracy)[within]
        agreement = np.fmax(worst.target_agreement, new.target_agreement)
        worst.target_agreement[within] = agreement[within]
    place = CASE_COLUMNS.index("case_dice") - len(CASE_COLUMNS)
    worst.values[:, place] = mean_of_structures(worst.dice)
    return worst.values


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
