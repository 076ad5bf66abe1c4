"""Paired AUC and selection control: how much of a detection AUC comes from which cases fall.

An attack succeeds first on cases near the decision boundary, and many detectors give such cases a
high score before anybody attacks them. The AUC of successful adversarial images against all clean
images mixes both: with a share `s` of the clean images whose case fell, it is

    s * paired + (1 - s) * (attacked images against the clean images of all other cases),

and without any change to any image it would be `s / 2 + (1 - s) * selection`. The paired AUC sees
the attack alone, since both of its sides are the same cases.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats as scipy_stats

from robust.metrics.arrays import Array, Places
from robust.metrics.by_group import ByGroup
from robust.metrics.multiple_tests import holm
from robust.records import Estimate

SIGNIFICANCE = 0.01
"""Level of the test that selection controls differ from 0.5, over all of them (Holm)."""
SHARE_LEFT = 0.5
"""The figure is explained by selection where less than this share of its distance from 0.5 is left
in the paired AUC."""


@dataclass(frozen=True)
class AttackAUC:
    """The AUC of one detector on one image set, taken apart; None where a side is empty."""

    all_clean: Estimate | None
    """Positives against all clean images."""
    paired: Estimate | None
    """Positives against the clean images of the same cases."""
    selection: Estimate | None
    """Clean images of the cases of the positives against all other clean images: no attack."""


def attack_auc(
    clean: Array,
    positive: Array,
    clean_cases: Places,
    positive_cases: Places,
    by_group: ByGroup,
    attacked_cases: Places | None = None,
) -> AttackAUC:
    """AUCs of scores `clean (n,)` and `positive (m,)`, with the case of each and their groups.

    `attacked_cases` are those that could have fallen, without it all: only they are in the
    selection control, since a case that nobody attacked might have fallen as well.
    """
    if not len(positive):
        return AttackAUC(None, None, None)
    scores = np.concatenate([clean, positive])
    attacked = np.arange(len(scores)) >= len(clean)
    cases = np.concatenate([clean_cases, positive_cases])
    fell = np.isin(cases, positive_cases)
    own = by_group.at(cases)
    every = own.auc(scores, attacked, np.ones(len(scores), bool))
    if fell.all():
        return AttackAUC(every, every, None)
    tried = np.isin(cases, cases if attacked_cases is None else attacked_cases)
    return AttackAUC(
        every, own.auc(scores, attacked, fell), own.auc(scores, fell, tried & ~attacked)
    )


def explained_by_selection(found: Sequence[AttackAUC]) -> list[bool]:
    """Whether selection explains the AUC, for each of the figures that are judged together.

    It does where all of this holds: the interval of the AUC excludes 0.5; the selection control
    lies on the same side of 0.5, significantly after Holm's correction over all of `found`; and
    the paired AUC keeps less than half of the AUC's distance from 0.5.
    """
    significant = holm([_p_value(one) for one in found], SIGNIFICANCE)
    return [_explains(one) and beyond for one, beyond in zip(found, significant, strict=True)]


def _explains(one: AttackAUC) -> bool:
    """Whether the figures say so, significance of the selection control aside."""
    if one.all_clean is None or one.paired is None or one.selection is None:
        return False
    side = 1 if one.all_clean.value > 0.5 else -1
    if not (one.all_clean.is_below(0.5) or (one.all_clean.low or 0.0) > 0.5):
        return False
    left = side * (one.paired.value - 0.5)
    whole = side * (one.all_clean.value - 0.5)
    return side * (one.selection.value - 0.5) > 0 and left < SHARE_LEFT * whole


def _p_value(one: AttackAUC) -> float:
    """Two-sided p-value of a selection control of 0.5; 1 where there is none.

    From its interval (Altman and Bland 2011, BMJ 343 d2304), whose arm towards 0.5 counts, by a t
    distribution with the groups of the rarer side: the interval of few groups is too sure for the
    small p-values that a correction asks for.
    """
    control, paired = one.selection, one.paired
    if control is None or paired is None or control.interval is None or control.value == 0.5:
        return 1.0
    low, high = control.interval
    arm = control.value - low if control.value > 0.5 else high - control.value
    error = max(arm, 1e-9) / scipy_stats.norm.ppf(0.975)
    rarer = min(paired.groups, control.groups - paired.groups)
    return float(2 * scipy_stats.t.sf(abs(control.value - 0.5) / error, max(1, rarer - 1)))
