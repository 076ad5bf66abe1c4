"""Paired differences of a sweep with what they show: warnings that void them, Holm's correction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from robust.metrics.multiple_tests import holm, p_value_of_zero
from robust.records import FLAG_TEXTS, Estimate, Flag, PairedDifference, SweepMember
from robust.records.flags import Voided, voiding
from robust.records.verdicts import WITHHELD, is_withheld
from robust.report.sweeps.content import NumberKey, SweepContent, finite_estimate, number_key

FAMILY_LEVEL = 0.05
"""How rare a chance result among all differences of a page is to be."""
EQUAL_CASES = "equal on every case"
NONE_SHOWN = "no difference shown"


@dataclass(frozen=True)
class JudgedDifference:
    """A paired difference, and what it shows."""

    record: PairedDifference
    key: NumberKey
    difference: Estimate | None
    result: str
    """`higher` or `lower` where the interval excludes 0; `no difference shown`, `equal on every
    case`, `no verdict: ` and the warning; `not compared` where there is no difference."""
    tested: bool
    """Whether it has an interval, so that it counts among the tests."""
    remains: bool = False
    """Whether the interval's result remains after Holm's correction over all differences."""

    @property
    def is_shown(self) -> bool:
        """Whether a difference is shown and no warning voids it."""
        return self.result in ("higher", "lower")


def judged_differences(content: SweepContent) -> tuple[JudgedDifference, ...]:
    """All differences in their order; each that has an interval is one of the tests."""
    judged = [_judged(content, record) for record in content.report.differences]
    tested = [i for i, one in enumerate(judged) if one.tested]
    p_values = [
        1.0 if one.record.equal or one.difference is None else p_value_of_zero(one.difference)
        for one in (judged[i] for i in tested)
    ]
    for place, kept in zip(tested, holm(p_values, FAMILY_LEVEL), strict=True):
        judged[place] = replace(judged[place], remains=kept and judged[place].is_shown)
    return tuple(judged)


def _judged(content: SweepContent, record: PairedDifference) -> JudgedDifference:
    key = number_key(record.measure, record.condition)
    found = None if record.difference is None else finite_estimate(record.difference)
    if found is None:
        return JudgedDifference(record, key, None, "not compared", False)
    tested = found.interval is not None
    if record.equal:
        return JudgedDifference(record, key, found, EQUAL_CASES, tested)
    if found.interval is None:
        return JudgedDifference(record, key, found, "no interval", False)
    low, high = found.interval
    word = "higher" if low > 0 else "lower" if high < 0 else NONE_SHOWN
    if word != NONE_SHOWN and not key.is_clean:
        why = _void(content, record, key, gain=word == "higher")
        word = f"{WITHHELD}: {why}" if why else word
    return JudgedDifference(record, key, found, word, tested)


def _void(content: SweepContent, record: PairedDifference, key: NumberKey, *, gain: bool) -> str:
    """The warning that voids a gain, or a loss, with its side; empty for none.

    A warning that a number is too high voids a gain of the side that has it, and a loss against it.
    """
    sides = [_flags(_side(content.finished, name)) for name in (record.other, record.baseline)]
    names = record.other, record.baseline
    for flags, name in zip(sides, names, strict=True):
        if flag := voiding(flags, "attacks"):
            return f"{flag.name} in {name}"
    if key.is_detector:
        return ""
    what: Voided = "robustness"
    flag = voiding(sides[0 if gain else 1], what)
    return f"{flag.name} in {names[0 if gain else 1]}" if flag else ""


def _side(members: Sequence[SweepMember], name: str) -> list[SweepMember]:
    """The members of one side: that of this name, or all that have this level."""
    if exact := [member for member in members if member.name == name]:
        return exact
    return [
        member
        for member in members
        if any(name in (level, f"{axis} {level}") for axis, level in member.levels.items())
    ]


def _flags(members: Iterable[SweepMember]) -> list[Flag]:
    names = dict.fromkeys(name for member in members for name in member.flags)
    return [FLAG_TEXTS[name].flag("") for name in names if name in FLAG_TEXTS]


def largest_difference(judged: Iterable[JudgedDifference]) -> JudgedDifference | None:
    """The largest that is shown, of accuracies before others; None where none is."""
    shown = [one for one in judged if one.is_shown and one.difference is not None]
    return max(
        shown,
        key=lambda one: (
            "accuracy" in one.key.measure,
            abs(one.difference.value) if one.difference else 0,
        ),
        default=None,
    )


def voided_count(judged: Iterable[JudgedDifference]) -> int:
    """How many a warning voids."""
    return sum(is_withheld(one.result) for one in judged)
