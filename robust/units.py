"""How people write a radius: `1/255`, 0.01, and with its norm `L2 0.5`."""

from __future__ import annotations

import math
from fractions import Fraction

NORMS = ("Linf", "L2")


def parse_eps(value: object) -> float:
    """`"1/255"`, `"0.5/255"` or a number, in [0, 1] units of the displayed image; ValueError."""
    try:
        if isinstance(value, bool):
            raise ValueError
        if isinstance(value, str):
            top, _, bottom = value.partition("/")
            eps = float(Fraction(top.strip()) / Fraction(bottom.strip() or 1))
        else:
            eps = float(value)  # type: ignore[arg-type]
    except (ValueError, TypeError, ZeroDivisionError):
        raise ValueError(f"eps {value!r} is no number; write 0.01 or '1/255'") from None
    if math.isinf(eps):
        raise ValueError("eps is infinite; minimum-norm attacks need none, others a finite one")
    if math.isnan(eps) or eps < 0:
        raise ValueError(f"eps {value} is below 0; it is a distance in units of [0, 1]")
    return eps


def parse_threat(text: str, norm: str) -> tuple[str, float]:
    """Norm and eps of `1/255`, which is of the given norm, or of `L2 0.5`; ValueError."""
    first, _, rest = text.strip().partition(" ")
    return (first, parse_eps(rest)) if first in NORMS else (norm, parse_eps(text))


def same_eps(one: float | None, other: float | None) -> bool:
    """Whether two radii are one, within the rounding of how they were written."""
    return one == other or (one is not None and other is not None and abs(one - other) < 1e-9)


def at_eps(attack: str, norm: str, eps: float | None) -> str:
    """`PGD at 1/255`, as messages say it."""
    if eps is None:
        return attack
    return f"{attack} at {eps * 255:.4g}/255" if norm == "Linf" else f"{attack} at {eps:g} in L2"


def eps_text(eps: float | None, norm: str = "Linf") -> str:
    """`1/255` where eps is a multiple of a quarter of 1/255 in L-inf, else the number itself."""
    if eps is None:
        return "nearest"
    levels = eps * 255
    if norm == "Linf" and abs(levels * 4 - round(levels * 4)) < 1e-6:
        return f"{round(levels * 4) / 4:g}/255" if eps else "0"
    return f"{eps:.4g}"


def norm_text(norm: str) -> str:
    return {"Linf": "L∞", "L2": "L2"}.get(norm, norm)
