"""Numbers as people read them: eps in 255ths, percentages with their interval, plain sentences."""

from __future__ import annotations

from robust.records import Estimate, Report, Row

NONE = "–"  # noqa: RUF001  (an en dash on purpose)


def eps_text(eps: float | None, norm: str = "Linf") -> str:
    """`1/255` where eps is a multiple of a quarter of 1/255 in L-inf, else the number itself."""
    if eps is None:
        return "nearest"
    levels = eps * 255
    if norm == "Linf" and abs(levels * 4 - round(levels * 4)) < 1e-6:
        return f"{levels:g}/255" if eps else "0"
    return f"{eps:.4g}"


def norm_text(norm: str) -> str:
    return {"Linf": "L∞", "L2": "L2"}.get(norm, norm)


def percent(estimate: Estimate | None, interval: bool = True) -> str:
    """`83.3 % [80.6, 85.9]`; a dash where there is no number."""
    if estimate is None:
        return NONE
    value = f"{100 * estimate.value:.1f} %"
    if not interval:
        return value
    return f"{value} [{100 * estimate.low:.1f}, {100 * estimate.high:.1f}]"


def decimal(estimate: Estimate | None, interval: bool = True) -> str:
    """`0.934 [0.907, 0.955]`, for an AUC."""
    if estimate is None:
        return NONE
    if not interval:
        return f"{estimate.value:.3f}"
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"


def distance(estimate: Estimate | None, norm: str) -> str:
    """A median distance: in 255ths for L-inf, in [0, 1] units for L2."""
    if estimate is None:
        return NONE
    if norm == "Linf":
        return f"{estimate.value * 255:.2f}/255"
    return f"{estimate.value:.3f}"


def condition(row: Row) -> str:
    """`PGD, L∞ 1/255`."""
    if row.kind == "clean":
        return "clean"
    return f"{row.attack}, {norm_text(row.norm)} {eps_text(row.eps, row.norm)}"


def headline(report: Report) -> list[str]:
    """What was found, in sentences without a term of the field."""
    clean = report.clean.scores.accuracy
    said = []
    if clean is not None:
        said.append(
            f"The model reads {percent(clean)} of {clean.cases} images correctly when nobody "
            f"interferes."
        )
    for row in _first_and_last(report):
        kept = row.scores.robust_accuracy
        if kept is None:
            said.append("No case could be attacked: none is right when clean.")
            continue
        where = f"{norm_text(row.norm)} distance {eps_text(row.eps, row.norm)}"
        said.append(
            f"Of 100 images that it reads correctly, the worst attack within {where} leaves "
            f"{100 * kept.value:.0f} [{100 * kept.low:.0f}, {100 * kept.high:.0f}] correct."
        )
    return said


def _first_and_last(report: Report) -> list[Row]:
    norm = report.worst_cases[0].norm
    rows = [row for row in report.worst_cases if row.norm == norm]
    return rows if len(rows) == 1 else [rows[0], rows[-1]]
