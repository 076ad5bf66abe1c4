"""Criteria by name, and how a user joins them: `entropy,distance`, `entropy+margin`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from robust.errors import InputError, did_you_mean
from robust.ranking.combine import SHORTLIST, RankSum, TwoStages
from robust.ranking.contract import Criterion
from robust.ranking.criteria.adversarial_distance import AdversarialDistance
from robust.ranking.criteria.entropy import PredictiveEntropy
from robust.ranking.criteria.feature_distance import FeatureDistance
from robust.ranking.criteria.margin import ProbabilityMargin
from robust.ranking.criteria.mean_distance import MeanDistance
from robust.ranking.criteria.random_order import RandomOrder

O_MEDAL = "o-medal"
"""Short for `entropy+mean-distance`, the criterion of O-MedAL."""

_MAKERS: dict[str, Callable[[int], Criterion]] = {
    "distance": lambda seed: AdversarialDistance(),
    "margin": lambda seed: ProbabilityMargin(),
    "entropy": lambda seed: PredictiveEntropy(),
    "feature-distance": lambda seed: FeatureDistance(),
    "mean-distance": lambda seed: MeanDistance(),
    "random": RandomOrder,
}
CRITERIA = (*_MAKERS, O_MEDAL)
"""Names that `make_criterion` knows; they can be joined."""


def make_criterion(
    names: Sequence[str], *, shortlist: float = SHORTLIST, least: int = 0, seed: int = 0
) -> Criterion:
    """The criterion of one name, or the sum of ranks of several; `a+b` orders a shortlist.

    A shortlist is a share of the images, and never fewer than `least`.
    InputError for an unknown name, a name given twice, or a shortlist that is no share.
    """
    if not 0 < shortlist <= 1:
        raise InputError(f"shortlist must be above 0 and at most 1, not {shortlist:g}")
    if not names:
        raise InputError(f"name a criterion: {', '.join(CRITERIA)}")
    if twice := [name for i, name in enumerate(names) if name in names[:i]]:
        raise InputError(f"criterion {twice[0]!r} is named twice; name it once")
    made = tuple(_one(name, shortlist, least, seed) for name in names)
    return made[0] if len(made) == 1 else RankSum(made)


def single_criteria(criterion: Criterion) -> list[Criterion]:
    """The criteria that a combination is made of, in the order in which they are named.

    The second of two stages counts as the two together: it looks at the shortlist alone.
    """
    if isinstance(criterion, RankSum):
        parts = [part for one in criterion.criteria for part in single_criteria(one)]
        return list({part.name: part for part in parts}.values())
    if isinstance(criterion, TwoStages):
        return [*single_criteria(criterion.first), criterion]
    return [criterion]


def _one(name: str, shortlist: float, least: int, seed: int) -> Criterion:
    parts = ("entropy+mean-distance" if name == O_MEDAL else name).split("+")
    for part in parts:
        if part not in _MAKERS:
            raise InputError(f"unknown criterion {part!r}; {did_you_mean(part, CRITERIA)}")
    if len(parts) > 2:
        raise InputError(f"criterion {name!r} has {len(parts)} stages; two can be joined with +")
    made = [_MAKERS[part](seed) for part in parts]
    return made[0] if len(made) == 1 else TwoStages(made[0], made[1], shortlist, least)
