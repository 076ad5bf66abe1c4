"""Numbers and names as text: rates with their 95 % interval, eps in grey levels, plain names."""

from __future__ import annotations

import re
from collections.abc import Sequence

from robust.records import AttackResult, Estimate, Report
from robust.records.estimate import interval_text, no_interval_text
from robust.units import eps_text, norm_text, printed_threat

NONE = "–"  # noqa: RUF001  (an en dash on purpose)
"""Stands where there is no number."""
NAME = 300
"""Characters of a name that are shown; report.json has the whole name."""
IN_SENTENCE = 32
"""Characters of a name within a sentence."""
FALSE_ALARM_RATE = "0.05"
"""The false-alarm rate of detectors that sentences speak of, as a key of the records."""

_UNKNOWN = "\N{REPLACEMENT CHARACTER}"
_UNSHOWN = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, those that turn text around, and halves of characters."""


def flat(text: object) -> str:
    """Text on one line; characters that move a cursor or change the direction become U+FFFD."""
    return _UNSHOWN.sub(_UNKNOWN, " ".join(str(text).split()))


def plain(text: object) -> str:
    """A name as `flat` text of at most `NAME` characters."""
    name = flat(text)
    return name if len(name) <= NAME else name[: NAME - 1] + "…"


def short(text: object) -> str:
    """A name as `flat` text of at most `IN_SENTENCE` characters."""
    name = plain(text)
    return name if len(name) <= IN_SENTENCE else name[: IN_SENTENCE - 1] + "…"


def told_apart(names: Sequence[str]) -> list[str]:
    """Each name as `short`; in full where that makes two of them one."""
    found = [short(name) for name in names]
    return found if len(set(found)) == len(set(names)) else [plain(name) for name in names]


def quoted(text: object) -> str:
    """A short name in quotation marks."""
    return f"'{short(text)}'"


def listed(names: Sequence[str], most: int = 3) -> str:
    """`a, b and c`; of more than `most` names the last ones are only counted.

    `a, 1; b, 2; and c` where a name has a comma itself, as most of a sweep have.
    """
    if len(names) > most:
        names = [*names[: most - 1], f"{len(names) - most + 1} more"]
    if len(names) > 1 and any(", " in name for name in names):
        return "; ".join((*names[:-1], f"and {names[-1]}"))
    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)


def capital(text: str) -> str:
    """With a capital letter at the beginning."""
    return text[:1].upper() + text[1:]


def counted(number: int, noun: str, plural: str = "") -> str:
    """`1 image`, `40 images`; `plural` where it is not the noun with an s."""
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"


def of_hundred(share: float, digits: int = 4) -> str:
    """A share in [0, 1] as a number of 100; 0 and 100 stand for exactly none and all."""
    texts = [f"{100 * share:.{n}f}" for n in range(digits + 1)]
    return next((text for text in texts if 0 < float(text) < 100), texts[0])


def whole_interval(estimate: Estimate) -> str:
    """`[80, 86]`: the interval of a share as numbers of 100, as `of_hundred` rounds them."""
    if (ends := estimate.interval) is None:
        return no_interval_text(estimate)
    return f"[{of_hundred(ends[0], 1)}, {of_hundred(ends[1], 1)}]"


def rate_of_hundred(estimate: Estimate) -> str:
    """`83 [80, 86]`: a share and its interval as numbers of 100."""
    return f"{of_hundred(estimate.value)} {whole_interval(estimate)}"


def whole_percent(estimate: Estimate) -> str:
    """`83 % [80, 86]`: a share and its interval in percent, without decimals."""
    return f"{of_hundred(estimate.value)} % {whole_interval(estimate)}"


def bracket(estimate: Estimate, scale: float = 100, digits: int = 1) -> str:
    """`[80.6, 85.9]`: the interval, multiplied by `scale`; says so where there is none."""
    return interval_text(estimate, scale, digits)


def percent(estimate: Estimate | None, interval: bool = True) -> str:
    """`83.3 % [80.6, 85.9]`; `NONE` where there is no number."""
    if estimate is None:
        return NONE
    value = f"{100 * estimate.value:.1f} %"
    return f"{value} {bracket(estimate)}" if interval else value


def decimal(estimate: Estimate | None, interval: bool = True) -> str:
    """`0.934 [0.907, 0.955]`, for an AUC; `NONE` where there is no number."""
    if estimate is None:
        return NONE
    value = f"{estimate.value:.3f}"
    return f"{value} {bracket(estimate, 1, 3)}" if interval else value


def distance_text(estimate: Estimate | None, norm: str) -> str:
    """A median distance: in 255ths for L-inf, in pixels for L0, else in units of [0, 1]."""
    if estimate is None:
        return NONE
    if norm == "Linf":
        return f"{decimals(255 * estimate.value, 2)}/255"
    if norm == "L0":
        return eps_text(estimate.value, norm)
    return decimals(estimate.value, 3)


def decimals(value: float, digits: int) -> str:
    """With that many decimals; a value that they would leave one digit or none has two digits."""
    return f"{value:.{digits}f}" if value >= 10 ** (1 - digits) else f"{value:.2g}"


def median_distance(row: AttackResult) -> Estimate | None:
    """The median distance of the row's successful images, in the row's norm."""
    scores = row.scores
    medians = {"Linf": scores.median_linf, "L1": scores.median_l1, "L0": scores.median_l0}
    return medians.get(row.norm, scores.median_l2)


def threat_text(
    eps: float | None, norm: str, *, pixel: str = "pixel", image: str = "image", where: str = ""
) -> str:
    """What an attacker may do, to follow `an attacker who may`, without terms of the field.

    `where` follows what may be changed: ` inside the structures`.
    """
    if eps is None:
        return f"change the {image}{where} as little as needed"
    if eps == 0:
        return "change nothing"
    if norm == "L0":
        return f"change up to {_counted_pixels(eps, pixel)}{where} to any value"
    what = {"Linf": f"each {pixel}", "L2-slice": "each slice"}.get(norm, f"the {image}")
    return f"change {what}{where} by {size_text(eps, norm)}"


def size_text(eps: float, norm: str) -> str:
    """`up to 2 of 255 grey levels`: the largest change that an attacker may make."""
    if norm == "L0":
        return f"up to {_counted_pixels(eps, 'pixel')}"
    if norm != "Linf":
        return f"an {norm_text(norm.partition('-')[0])} distance of up to {eps_text(eps, norm)}"
    return f"up to {eps * 255:.4g} of 255 grey levels"


def _counted_pixels(eps: float, pixel: str) -> str:
    return f"{eps:g} {pixel}{'s' * (eps != 1)}"


def condition(row: AttackResult) -> str:
    """`PGD, L∞ 1/255`, or `clean`."""
    if row.kind == "clean":
        return "clean"
    return f"{plain(row.attack)}, {printed_threat(row.norm, row.eps)}"


def json_key(name: str) -> str:
    """A key as a JSON pointer (RFC 6901) writes it."""
    return name.replace("~", "~0").replace("/", "~1")


def images(report: Report) -> str:
    """What was audited, in the plural: `chest X-rays`, or `images`."""
    noun = plain(report.data.images)
    return "volumes" if report.task.volumes and noun == "images" else noun


def norms(report: Report) -> list[str]:
    """Norms of the threats, that of the plan first."""
    return list(dict.fromkeys(row.norm for row in report.worst_cases))
