"""Numbers and names as people read them: eps in 255ths, rates with their interval, plain text."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from robust.records import AttackResult, Estimate, Report
from robust.units import eps_text, norm_text

NONE = "–"  # noqa: RUF001  (an en dash on purpose)
NAME = 300
"""Characters of a name that are shown; report.json has it whole."""
IN_SENTENCE = 32
"""Characters of a name within a sentence."""

_UNKNOWN = "\N{REPLACEMENT CHARACTER}"
_DIRECTIONS = dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A)], _UNKNOWN)
_FRACTIONS = {"0.25": "a quarter of", "0.5": "half", "0.75": "three quarters of"}
_SMALL = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")

SHARE = "0.05"
"""The share of false alarms that sentences speak of: one in twenty."""


def flat(text: object) -> str:
    """Text on one line that moves no cursor and turns no text around: controls become U+FFFD."""
    line = " ".join(str(text).split()).translate(_DIRECTIONS)
    return "".join(_UNKNOWN if unicodedata.category(c) in ("Cc", "Cs") else c for c in line)


def plain(text: object) -> str:
    """A name as `flat` text, cut off where it is endless."""
    name = flat(text)
    return name if len(name) <= NAME else name[: NAME - 1] + "…"


def short(text: object) -> str:
    """A name within a sentence, cut off where the sentence would be lost in it."""
    name = plain(text)
    return name if len(name) <= IN_SENTENCE else name[: IN_SENTENCE - 1] + "…"


def listed(names: Sequence[str], most: int = 3) -> str:
    """`a, b and c`; beyond `most` the rest is counted."""
    if len(names) > most:
        names = [*names[: most - 1], f"{len(names) - most + 1} more"]
    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)


def whole(estimate: Estimate) -> str:
    """`[80, 86]` of a hundred, with decimals only where rounding would make it none or all."""
    return f"[{of_hundred(estimate.low, 1)}, {of_hundred(estimate.high, 1)}]"


def threat_text(eps: float | None, norm: str) -> str:
    """What the attacker may do, without a term of the field where there is a way."""
    if eps is None:
        return "change the image as little as it takes"
    if eps == 0:
        return "change nothing"
    if norm != "Linf":
        return f"move the image by an {norm_text(norm)} distance of {eps_text(eps, norm)}"
    levels = eps * 255
    if "/" not in (text := eps_text(eps, norm)):
        return f"change each pixel by {text} of its range"
    parts = text.removesuffix("/255")
    if levels < 1:
        return f"change each pixel by {_FRACTIONS.get(parts, parts + ' of')} a part in 255"
    count = _SMALL[int(parts)] if parts.isdigit() and int(parts) < len(_SMALL) else parts
    return f"change each pixel by {count} part{'' if parts == '1' else 's'} in 255"


def of_hundred(share: float, digits: int = 4) -> str:
    """A share as so many of 100, with decimals only where rounding would make it none or all."""
    texts = [f"{100 * share:.{n}f}" for n in range(digits + 1)]
    return next((text for text in texts if 0 < float(text) < 100), texts[0])


def counted(number: int, noun: str) -> str:
    """`1 image`, `40 images`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def bracket(estimate: Estimate, scale: float = 100, digits: int = 1) -> str:
    """`[80.6, 85.9]`."""
    return f"[{scale * estimate.low:.{digits}f}, {scale * estimate.high:.{digits}f}]"


def percent(estimate: Estimate | None, interval: bool = True) -> str:
    """`83.3 % [80.6, 85.9]`; a dash where there is no number."""
    if estimate is None:
        return NONE
    value = f"{100 * estimate.value:.1f} %"
    return f"{value} {bracket(estimate)}" if interval else value


def decimal(estimate: Estimate | None, interval: bool = True) -> str:
    """`0.934 [0.907, 0.955]`, for an AUC."""
    if estimate is None:
        return NONE
    value = f"{estimate.value:.3f}"
    return f"{value} {bracket(estimate, 1, 3)}" if interval else value


def distance(estimate: Estimate | None, norm: str) -> str:
    """A median distance: in 255ths for L-inf, in [0, 1] units for L2."""
    if estimate is None:
        return NONE
    return f"{estimate.value * 255:.2f}/255" if norm == "Linf" else f"{estimate.value:.3f}"


def moved(row: AttackResult) -> Estimate | None:
    """The median distance in the row's own norm."""
    return row.scores.median_linf if row.norm == "Linf" else row.scores.median_l2


def condition(row: AttackResult) -> str:
    """`PGD, L∞ 1/255`."""
    if row.kind == "clean":
        return "clean"
    return f"{plain(row.attack)}, {norm_text(row.norm)} {eps_text(row.eps, row.norm)}"


def images(report: Report) -> str:
    """What was audited, in the plural: chest X-rays, or just images."""
    return plain(report.data.images)


def norms(report: Report) -> list[str]:
    """Those of the plan, its first one first."""
    return list(dict.fromkeys(row.norm for row in report.worst_cases))
