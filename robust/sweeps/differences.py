"""Paired differences of members, and of levels over members that agree in all other axes."""

from __future__ import annotations

import dataclasses
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from scipy import stats as scipy_stats

from robust.errors import InputError
from robust.metrics.paired import Paired
from robust.records import Estimate
from robust.records.sweep import SweepAxis, SweepMember
from robust.records.sweep_statistics import PairedDifference
from robust.sweeps.case_scores import CaseScores, Key, Stack, stacked

FEWEST_DRAWS = 5
"""Levels of a random axis, such as seeds, that an interval over them needs."""
_HALF = 0.975
Pair = tuple[str, str]
"""Names of two members, that of the baseline first."""


def member_differences(
    members: Sequence[SweepMember], scores: Mapping[str, CaseScores]
) -> Iterator[PairedDifference]:
    """Each member less the first one that is finished: the interval is over cases alone."""
    known = [member.name for member in members if member.name in scores]
    for other in known[1:]:
        for key in scores[known[0]].values:
            yield _difference(key, (known[0], other), {"": [(known[0], other)]}, scores)


def level_differences(
    axes: Sequence[SweepAxis], members: Sequence[SweepMember], scores: Mapping[str, CaseScores]
) -> Iterator[PairedDifference]:
    """Each level of a fixed axis less its first, over pairs that agree in all other axes."""
    known = [member for member in members if member.name in scores]
    random = [axis.name for axis in axes if axis.kind == "random"]
    for axis in axes:
        if axis.kind == "random" or len(axis.levels) < 2 or len(axes) < 2:
            continue
        first, *others = axis.levels
        for other in others:
            pairs = _pairs(known, axis.name, first, other)
            by_draw: dict[str, list[Pair]] = defaultdict(list)
            for one, two in pairs:
                by_draw["; ".join(one.levels[name] for name in random)].append((one.name, two.name))
            names = f"{axis.name} {first}", f"{axis.name} {other}"
            for key in dict.fromkeys(key for one, _ in pairs for key in scores[one.name].values):
                yield _difference(key, names, by_draw, scores)


def _pairs(
    members: Sequence[SweepMember], axis: str, first: str, other: str
) -> list[tuple[SweepMember, SweepMember]]:
    def rest(member: SweepMember) -> tuple[tuple[str, str], ...]:
        return tuple((name, text) for name, text in member.levels.items() if name != axis)

    baselines = {rest(member): member for member in members if member.levels[axis] == first}
    return [
        (baselines[rest(member)], member)
        for member in members
        if member.levels[axis] == other and rest(member) in baselines
    ]


def _difference(
    key: Key,
    names: Pair,
    by_draw: Mapping[str, Sequence[Pair]],
    scores: Mapping[str, CaseScores],
) -> PairedDifference:
    """The difference over all pairs; `by_draw` has them by their level on the random axes."""

    def stack(pairs: Sequence[Pair]) -> Stack:
        return stacked([(scores[a], scores[b]) for a, b in pairs], key)

    def answer(found: Estimate | None, equal: bool, why: str) -> PairedDifference:
        return PairedDifference(*key, *names, found, equal, why)

    try:
        every = stack([pair for pairs in by_draw.values() for pair in pairs])
        draws = [stack(pairs) for pairs in by_draw.values()]
    except InputError as error:
        return answer(None, False, str(error))
    whole = _paired(every)
    if whole is None:
        return answer(None, False, "no case counts on one side")
    (a, in_a), (b, in_b) = every.first, every.second
    equal = bool((in_a == in_b).all() and (a == b)[in_a].all())
    if len(draws) == 1:
        return answer(whole, equal, "")
    if len(draws) < FEWEST_DRAWS:
        bare = dataclasses.replace(whole, low=None, high=None, groups_needed=None)
        why = f"{len(draws)} draws: an interval over training runs needs at least {FEWEST_DRAWS}"
        return answer(bare, equal, why)
    each = [found.value for draw in draws if (found := _paired(draw)) is not None]
    return answer(with_draws(whole, each), equal, "")


def _paired(stack: Stack) -> Estimate | None:
    return Paired(stack.groups).difference(stack.first, stack.second)


def with_draws(over_cases: Estimate, draws: Sequence[float]) -> Estimate:
    """An estimate whose interval accounts for cases and for random draws, such as seeds.

    The variance of the mean of the draws is added to that of the cases, which is read from their
    interval; the degrees of freedom are Satterthwaite's. What cases and draws share is counted
    twice, so that the interval is rather too wide. No interval without one over cases.
    """
    if over_cases.interval is None:
        return over_cases
    low, high = over_cases.interval
    degrees = (max(over_cases.groups - 1, 1), len(draws) - 1)
    cases = ((high - low) / 2 / scipy_stats.t.ppf(_HALF, degrees[0])) ** 2
    spread = float(np.var(draws, ddof=1)) / len(draws)
    total = cases + spread
    if total == 0:
        return over_cases
    joined = total**2 / (cases**2 / degrees[0] + spread**2 / degrees[1])
    reach = float(scipy_stats.t.ppf(_HALF, joined)) * math.sqrt(total)
    value = over_cases.value
    return dataclasses.replace(
        over_cases, low=max(value - reach, -1.0), high=min(value + reach, 1.0)
    )
