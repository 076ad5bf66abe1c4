"""Norms and eps as people write them: `1/255`, `0.01`, `L2 0.5`, and `L0 10 pixels`."""

from __future__ import annotations

import math
import re
from fractions import Fraction

from robust.errors import excerpt, value_text

NORMS = ("Linf", "L2", "L2-slice", "L1", "L0")
"""Names of the norms in plans, tables and report.json."""

TYPICAL = {"L1": (4, 12, 40), "L0": (5, 20, 80)}
"""Sizes to start with, in the norms in which no default suits: they grow with the image."""

TOLERANCE = 1e-9
"""Two eps closer than this are one: how they were written can differ by rounding."""


MOST_DIGITS = 60
"""Characters of a number in text."""

_PIXELS = re.compile(r"(?<=[0-9]) pixels?$")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")


def parse_eps(value: object) -> float:
    """`"1/255"`, `"0.5/255"` or a number, in [0, 1] units of the displayed image; ValueError.

    In L0 it may be `"10 pixels"`.
    """
    try:
        eps = _ratio(_PIXELS.sub("", value) if isinstance(value, str) else value)
    except (ValueError, TypeError, ArithmeticError):
        raise ValueError(
            f"eps {value_text(value)} is not a number; write 0.01 or '1/255'"
        ) from None
    if math.isinf(eps):
        raise ValueError("eps is infinite; minimum-norm attacks need none, others a finite one")
    if math.isnan(eps) or eps < 0:
        raise ValueError(f"eps {excerpt(value)} is below 0; it is a distance in units of [0, 1]")
    return eps


def check_eps(eps: float, norm: str) -> None:
    """ValueError for a finite eps that can only be a slip: of units in L-inf, of norm in L0."""
    if math.isinf(eps):
        return
    if norm == "Linf" and eps > 1:
        raise ValueError(
            f"eps {eps:g} is above 1, the whole range of a displayed pixel; "
            f"for {eps:g} grey levels of 255 write '{eps:g}/255'"
        )
    if norm == "L0" and eps != int(eps):
        raise ValueError(
            f"eps {eps:g} is no whole number of pixels, which L0 counts; such as "
            f"{typical_text(norm)}"
        )


def typical_text(norm: str) -> str:
    """Sizes to start with in a norm of `TYPICAL`, and what they count."""
    meaning = {"L1": "the sum of the changes of all values", "L0": "changed pixels"}
    return f"eps = {list(TYPICAL[norm])} ({meaning[norm]})"


def parse_share(value: object) -> float:
    """`"224/256"` or a number, of a whole; ValueError."""
    try:
        share = _ratio(value)
    except (ValueError, TypeError, ArithmeticError):
        raise ValueError(f"{value_text(value)} is not a number; write 0.875 or '224/256'") from None
    if not (math.isfinite(share) and share > 0):
        raise ValueError(f"{excerpt(value)} is no share; write 0.875 or '224/256'")
    return share


def _ratio(value: object) -> float:
    """A number, or text of one or of a ratio; ValueError, TypeError or ArithmeticError."""
    if isinstance(value, bool):
        raise ValueError
    if isinstance(value, str):
        top, _, bottom = value.partition("/")
        return float(_exact(top) / _exact(bottom or "1"))
    return float(value)  # type: ignore[arg-type]


def _exact(text: str) -> Fraction:
    """A decimal number of common length; ValueError. One of a long exponent would fill memory."""
    if len(text) > MOST_DIGITS or not _NUMBER.fullmatch(text.strip()):
        raise ValueError
    return Fraction(text.strip())


def parse_threat(text: str, norm: str) -> tuple[str, float]:
    """Norm and eps: `L2 0.5` names its norm, `1/255` has the given one; ValueError."""
    first, _, rest = text.strip().partition(" ")
    return (first, parse_eps(rest)) if first in NORMS else (norm, parse_eps(text))


def parse_certified(text: str) -> tuple[str, str, float]:
    """Certificate, norm and eps: `IntervalBounds Linf 1/255`; missing names are empty texts.

    ValueError.
    """
    name, _, eps = text.strip().rpartition(" ")
    before, _, norm = name.strip().rpartition(" ")
    if norm in NORMS:
        return before.strip(), norm, parse_eps(eps)
    return name.strip(), "", parse_eps(eps)


def same_eps(one: float | None, other: float | None) -> bool:
    """Whether two eps are equal within `TOLERANCE`; None (no bound) equals None alone."""
    return one == other or (one is not None and other is not None and abs(one - other) < TOLERANCE)


def eps_text(eps: float | None, norm: str = "Linf") -> str:
    """The one way to print eps; `parse_eps` of it gives eps back within `TOLERANCE`.

    In L-infinity a part of 255, `1/255` or `0.1/255`, with as many digits as it takes; a number of
    one or two digits that is no quarter of 1/255, as `0.03`, stays a number. In L2 a number, but a
    part of 255 where that alone is short. In L1 a number; in L0 `10 pixels`. None, no bound, is
    `nearest`.
    """
    if eps is None:
        return "nearest"
    if eps == 0:
        return "0"
    if norm == "L0":
        return f"{_digits(eps, 1)} pixel{'s' * (eps != 1)}"
    if norm == "L1":
        return _digits(eps, 1)
    levels = f"{eps * 255:.4g}"
    in_parts = same_eps(float(levels) / 255, eps)
    if norm == "Linf":
        if not (in_parts and float(levels) % 0.25 == 0) and same_eps(float(f"{eps:.2g}"), eps):
            return f"{eps:.2g}"
        return f"{_digits(eps, 255)}/255"
    short = same_eps(float(f"{eps:.4g}"), eps)
    return f"{levels}/255" if in_parts and not short else _digits(eps, 1)


def _digits(eps: float, parts: int) -> str:
    """Eps times `parts`, with the fewest digits from four on that give eps back."""
    texts = (f"{eps * parts:.{digits}g}" for digits in range(4, 18))
    return next(text for text in texts if same_eps(float(text) / parts, eps))


def format_threat(norm: str, eps: float | None, default: str = "Linf") -> str:
    """Norm and eps as `parse_threat` reads them: `L2 0.5`, and `1/255` in the default norm."""
    text = eps_text(eps, norm)
    return text if norm == default else f"{norm} {text}"


def at_eps(attack: str, norm: str, eps: float | None) -> str:
    """An attack and its eps for messages: `PGD at 1/255`, `PGD at L2 0.5`, `FMN` without bound."""
    return attack if eps is None else f"{attack} at {format_threat(norm, eps)}"


def percent_text(share: float) -> str:
    """A share as sentences print it: 0.733 is `73.3 %`."""
    return f"{100 * share:.1f} %"


def distance_field(norm: str) -> str:
    """Where records and tables keep distances in a norm: `linf`, `l2_slice`."""
    return norm.lower().replace("-", "_")


def printed_threat(norm: str, eps: float | None) -> str:
    """Norm and eps as reports print them: `L∞ 1/255`, `L2 0.5`."""
    return f"{norm_text(norm)} {eps_text(eps, norm)}"


def norm_text(norm: str) -> str:
    """The norm as reports print it: `L∞`, and the others as they are."""
    return "L∞" if norm == "Linf" else norm
