"""Figures of a report: how much holds against eps, whom that harms, and whether anyone notices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from robust.records import AccuracyCurve, AttackResult, Estimate, Report, Scores
from robust.report.figures.detection import detection_figures
from robust.report.figures.style import (
    BAND,
    COLOURS,
    INK,
    MARKERS,
    MOST_LINES,
    STYLES,
    Axes,
    Figure,
    FigureOf,
    add_legend,
    dress,
    named,
)
from robust.report.text.format import listed, norms, plain
from robust.units import eps_text, norm_text


def accuracy_figures(report: Report) -> list[FigureOf]:
    """For each norm the accuracy against eps and, where there are findings, what is harmed; then
    what detectors see."""
    found = []
    for norm in norms(report):
        worst = [r for r in report.worst_cases if r.norm == norm and r.eps is not None]
        kept = [r.scores.robust_accuracy for r in worst]
        if any(kept):
            found.append(
                FigureOf(
                    f"robust-accuracy-{norm.lower()}",
                    "Of the cases that are right when clean, the share that stays right under "
                    "each attack. Thick line: the worst over all attacks, with its 95 % interval.",
                    f"Robust accuracy against eps in {norm_text(norm)}. "
                    + _spoken("worst case", worst, kept),
                    partial(_curve, report, norm, worst),
                )
            )
        if any(r.scores.sensitivity or r.scores.specificity for r in worst):
            found.append(
                FigureOf(
                    f"harm-{norm.lower()}",
                    "Sensitivity and specificity on all cases, clean at the left and then under "
                    "the worst attack within each eps, with 95 % intervals.",
                    f"Sensitivity and specificity against eps in {norm_text(norm)}. "
                    + _spoken("sensitivity", worst, [r.scores.sensitivity for r in worst])
                    + " "
                    + _spoken("specificity", worst, [r.scores.specificity for r in worst]),
                    partial(_harm, report.clean, norm, worst),
                )
            )
    found += [_nearest(one) for one in report.accuracy_curves]
    return found if report.detection is None else [*found, *detection_figures(report.detection)]


def _curve(report: Report, norm: str, worst: Sequence[AttackResult]) -> Figure:
    figure, axes = _canvas(norm, worst, "still right (%)")
    places = {row.eps: i for i, row in enumerate(worst)}
    _line(
        axes,
        list(range(len(worst))),
        [row.scores.robust_accuracy for row in worst],
        label="worst case",
        color=INK,
        band=BAND,
        linewidth=2.6,
    )
    attacks: dict[str, list[AttackResult]] = {}
    for row in report.results:
        if row.norm == norm and row.eps in places and row.same_as is None:
            attacks.setdefault(row.attack, []).append(row)
    for i, (name, rows) in enumerate(list(attacks.items())[:MOST_LINES]):
        axes.plot(
            [places[row.eps] for row in rows if row.scores.robust_accuracy],
            [100 * e.value for row in rows if (e := row.scores.robust_accuracy)],
            label=named(name),
            color=COLOURS[i % len(COLOURS)],
            linestyle=STYLES[i % len(STYLES)],
            marker=MARKERS[i % len(MARKERS)],
            markersize=5,
            linewidth=1.5,
        )
    add_legend(axes)
    return figure


def _nearest(one: AccuracyCurve) -> FigureOf:
    scale = 255 if one.norm == "Linf" else 1
    return FigureOf(
        f"robust-at-every-eps-{one.norm.lower()}",
        "The same at every eps: cases that stay right until the nearest image found by "
        f"{listed([plain(name) for name in one.attacks])}, with 95 % intervals.",
        f"Robust accuracy at every eps in {norm_text(one.norm)}; report.json has the points.",
        partial(_every_eps, one, scale),
    )


def _every_eps(one: AccuracyCurve, scale: float) -> Figure:
    figure = Figure(figsize=(7.2, 3.4), layout="constrained")
    axes = figure.add_subplot()
    eps = [scale * size for size in one.eps]
    kept = one.robust_accuracy
    axes.fill_between(
        eps, [100 * e.low for e in kept], [100 * e.high for e in kept], step="post", color=BAND,
        alpha=0.3, linewidth=0,
    )  # fmt: skip
    axes.step(eps, [100 * e.value for e in kept], where="post", color=INK, linewidth=2.2)
    axes.set_ylim(-4, 104)
    axes.set_xlim(0, max(eps) * 1.02)
    unit = ", in 1/255" if scale != 1 else ""
    dress(axes, f"eps ({norm_text(one.norm)}){unit}", "still right (%)")
    return figure


def _harm(clean: AttackResult, norm: str, worst: Sequence[AttackResult]) -> Figure:
    rows = [clean, *worst]
    figure, axes = _canvas(norm, rows, "of all cases (%)")
    both: tuple[tuple[str, Callable[[Scores], Estimate | None]], ...] = (
        ("sensitivity", lambda s: s.sensitivity),
        ("specificity", lambda s: s.specificity),
    )
    for i, (name, take) in enumerate(both):
        _line(
            axes,
            list(range(len(rows))),
            [take(row.scores) for row in rows],
            label=name,
            color=COLOURS[i],
            band=COLOURS[i],
            linestyle=STYLES[i],
            marker=MARKERS[i],
            markersize=5,
            linewidth=1.8,
        )
    add_legend(axes)
    return figure


def _canvas(norm: str, rows: Sequence[AttackResult], title: str) -> tuple[Figure, Axes]:
    """Eps at equal steps: a plan's eps double as a rule, and a clean image has none."""
    figure = Figure(figsize=(7.2, 3.4), layout="constrained")
    axes = figure.add_subplot()
    names = ["clean" if r.kind == "clean" else eps_text(r.eps, norm) for r in rows]
    axes.set_xticks(range(len(rows)), names, rotation=45 if len(rows) > 10 else 0)
    axes.set_xlim(-0.3, len(rows) - 0.7)
    axes.set_ylim(-4, 104)
    dress(axes, f"eps ({norm_text(norm)})", title)
    return figure, axes


def _line(
    axes: Axes,
    places: Sequence[int],
    estimates: Sequence[Estimate | None],
    *,
    band: str,
    **style: object,
) -> None:
    known = [(x, e) for x, e in zip(places, estimates, strict=True) if e is not None]
    spots = [x for x, _ in known]
    axes.fill_between(
        spots,
        [100 * e.low for _, e in known],
        [100 * e.high for _, e in known],
        color=band,
        alpha=0.22,
        linewidth=0,
    )
    if len(known) == 1:  # a band of no width would not be seen
        ((x, e),) = known
        axes.vlines(x, 100 * e.low, 100 * e.high, color=band, linewidth=6, alpha=0.35)
        style.setdefault("marker", "o")
    axes.plot(spots, [100 * e.value for _, e in known], **style)  # type: ignore[arg-type]


def _spoken(what: str, rows: Sequence[AttackResult], estimates: Sequence[Estimate | None]) -> str:
    said = [
        f"{100 * e.value:.1f} % at {eps_text(row.eps, row.norm)}"
        for row, e in zip(rows, estimates, strict=True)
        if e is not None
    ]
    return f"{what.capitalize()}: {', '.join(said)}."
