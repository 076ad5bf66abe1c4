"""The sentences of the page over a sweep: what was compared, what differs, and by how much."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from robust.records import Estimate, LearningCurve, Spread, VarianceComponent
from robust.report.sweeps.content import NumberKey, SweepContent, number_key
from robust.report.sweeps.differences import JudgedDifference, largest_difference, voided_count
from robust.report.sweeps.tables import rounded_count, spread_deviation
from robust.report.text.format import capital, counted, decimal, listed, percent, plain, told_apart

_MOST_LEVELS = 4
_MOST_MISSING = 3


def sweep_lead(content: SweepContent, judged: Sequence[JudgedDifference]) -> tuple[str, ...]:
    """What was compared, the range of the numbers, the largest difference, spread, what failed."""
    return (
        *_compared(content),
        *_ranges(content),
        *_largest(judged),
        *_spread_of_lead(content),
        *_missing(content),
    )


def _compared(content: SweepContent) -> Iterator[str]:
    report = content.report
    asked, done = len(report.members), len(content.finished)
    models = counted(asked, "model") if done == asked else f"{done} of {counted(asked, 'model')}"
    if not done:
        yield f"None of {counted(asked, 'model')} has a number yet."
        return
    verb = "is shown" if done == 1 else "are compared"
    clean = [key for key in content.model_keys if key.is_clean][:1]
    cases = [own[key].cases for own in content.by_member.values() for key in clean if key in own]
    where = ""
    if cases:
        low, high = min(cases), max(cases)
        where = (
            f" on {counted(high, 'test image')}"
            if low == high
            else f" on {low} to {high} test images"
        )
    yield f"{models} {verb}{where}."
    varied = [
        f"{plain(axis.name)} ({listed(told_apart(axis.levels), _MOST_LEVELS)})"
        for axis in report.axes
        if len(axis.levels) > 1
    ]
    if varied:
        yield f"They differ in {listed(varied, 6)}."


def _ranges(content: SweepContent) -> Iterator[str]:
    """The lowest and highest clean accuracy, and robust accuracy at the largest eps."""
    clean = [key for key in content.model_keys if key.is_clean][:1]
    for key in (*clean, *content.robust_keys[-1:]):
        known = [
            (estimate.value, plain(member.name), estimate)
            for member in content.finished
            if (estimate := content.number(member, key)) is not None
        ]
        if not known:
            continue
        (_, least, low), (_, most, high) = min(known)[:3], max(known)[:3]
        name = capital(key.text)
        if len(known) == 1:
            yield f"{name}: {number_text(low, key)}."
        elif low.value == high.value:
            yield f"{name} is {number_text(low, key)} in all of them."
        else:
            yield (
                f"{name} runs from {number_text(low, key)} ({least}) to "
                f"{number_text(high, key)} ({most})."
            )


def _largest(judged: Sequence[JudgedDifference]) -> Iterator[str]:
    if not judged:
        return
    largest = largest_difference(judged)
    if largest is None or largest.difference is None:
        yield "No paired difference is shown: each interval holds 0, is void or is missing."
        return
    record, key, found = largest.record, largest.key, largest.difference
    way = "higher" if found.value > 0 else "lower"
    yield (
        f"The largest paired difference that its interval shows: {key.text} is "
        f"{size_text_of(found, key)} {way} with {plain(record.other)} than with "
        f"{plain(record.baseline)}."
    )
    yield holm_sentence(judged)


def holm_sentence(judged: Sequence[JudgedDifference]) -> str:
    """How many differences were tested, shown, remain and are void."""
    tested = sum(one.tested for one in judged)
    shown, remain = sum(one.is_shown for one in judged), sum(one.remains for one in judged)
    intervals = f"{counted(tested, 'paired difference')} {'has' if tested == 1 else 'have'}"
    if not tested:
        return "No paired difference has an interval."
    text = (
        f"{intervals} an interval. {_of(shown)} shown if each is taken alone; "
        f"{_of(remain).lower()} still shown after Holm's correction for all {tested}."
    )
    if void := voided_count(judged):
        text += f" {_of(void)} void because of a warning."
    return text


def _of(number: int) -> str:
    return f"{number or 'None'} {'is' if number == 1 else 'are'}"


def size_text_of(difference: Estimate, key: NumberKey) -> str:
    """`8.3 points [5.1, 11.5]`: the size of a difference, without its sign."""
    ends = sorted(abs(end) for end in difference.interval or ())
    if key.is_percent:
        ends = [100 * end for end in ends]
        return f"{100 * abs(difference.value):.1f} points [{ends[0]:.1f}, {ends[1]:.1f}]"
    return f"{abs(difference.value):.3f} [{ends[0]:.3f}, {ends[1]:.3f}]"


def _spread_of_lead(content: SweepContent) -> Iterator[str]:
    """The spread of clean accuracy, else of the first number; then that under attack."""
    found = [s for s in content.report.spread if s.components]
    wanted = {*[k for k in content.model_keys if k.is_clean][:1], *content.robust_keys[-1:]}
    chosen = [s for s in found if number_key(s.measure, s.condition) in wanted] or found[:1]
    for spread in chosen[:2]:
        yield spread_sentence(spread, brief=True)


def spread_sentence(spread: Spread, *, brief: bool = False) -> str:
    """`Of the chance variance of clean accuracy between the models, 61 % comes from the seed`.

    With standard deviations and their intervals, unless `brief`.
    """
    key = number_key(spread.measure, spread.condition)
    known = [one for one in spread.components if math.isfinite(one.share)]
    known.sort(key=lambda one: -one.share)
    parts = [_part(one, key, brief=brief) for one in known]
    if not any(one.variance > 0 for one in spread.components):
        return f"{capital(key.text)} does not vary between the models beyond the fixed axes."
    return f"Of the chance variance of {key.text} between the models, {listed(parts, 8)}."


def _part(one: VarianceComponent, key: NumberKey, *, brief: bool) -> str:
    value, ends = spread_deviation(one, key)
    digits, unit = (1, " points") if key.is_percent else (3, "")
    source = {
        "residual": "is left unexplained",
        "test cases": "comes from the limited number of test images",
    }.get(one.source, f"comes from the {plain(one.source)}")
    text = f"{100 * one.share:.0f} % {source}"
    if brief or value is None:
        return text
    deviation_text = f"standard deviation {value:.{digits}f}{unit}"
    if ends is not None:
        return f"{text} ({deviation_text} [{ends[0]:.{digits}f}, {ends[1]:.{digits}f}])"
    reason = plain(one.why_no_interval)
    return f"{text} ({deviation_text}{f'; no interval: {reason}' if reason else ''})"


def _missing(content: SweepContent) -> Iterator[str]:
    missing = content.missing
    if not missing:
        return
    named = [
        f"{plain(member.name)} ({short_reason(member.why_not)})"
        for member in missing[:_MOST_MISSING]
    ]
    more = len(missing) - len(named)
    names = listed([*named, f"{more} more"] if more else named, _MOST_MISSING + 1)
    yield f"Failed or not finished: {names}."


def short_reason(why: str) -> str:
    """Why a model has no numbers, in at most 120 characters."""
    text = plain(why) or "not finished"
    return text if len(text) <= 120 else text[:119] + "…"


def curve_sentences(curves: Sequence[LearningCurve]) -> tuple[str, ...]:
    """What is wanted of each curve, and how many images that takes."""
    sentences = []
    for curve in curves:
        key = number_key(curve.measure, curve.condition)
        whose = f" of {plain(curve.series)}" if curve.series else ""
        for one in curve.wanted:
            value = f"{100 * one.value:g} %" if key.is_percent else f"{one.value:g}"
            start = f"{capital(key.text)}{whose}: {value}"
            if one.images is None or not math.isfinite(one.images):
                reason = plain(one.why_not) or "the fitted curve does not reach it"
                sentences.append(f"{start} has no number of images: {reason}.")
                continue
            ends = ""
            if one.low is not None:
                upper = "no upper end" if one.high is None else rounded_count(one.high)
                ends = f" [{rounded_count(one.low)}, {upper}]"
            doubts = [plain(text) for text in (one.why_not, curve.misfit) if text]
            doubt = f" Do not rely on this: {'; '.join(dict.fromkeys(doubts))}." if doubts else ""
            if curve.undecided and not curve.misfit:
                doubt += f" Not decided: {plain(curve.undecided)}."
            sentences.append(
                f"{start} is to be expected from {rounded_count(one.images)}{ends} training images "
                f"on.{doubt}"
            )
    return tuple(sentences)


def number_text(estimate: Estimate, key: NumberKey) -> str:
    """A number with its interval, in the units of its measure."""
    return percent(estimate) if key.is_percent else decimal(estimate)
