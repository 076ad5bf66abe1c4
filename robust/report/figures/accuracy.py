"""Figures of scores against eps: robust accuracy, sensitivity and specificity, Dice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from robust.records import AccuracyCurve, AttackResult, Estimate, Report, Scores
from robust.report.figures.style import (
    BAND,
    COLOURS,
    INK,
    MARKERS,
    MOST_LINES,
    STYLES,
    Axes,
    Figure,
    ReportFigure,
    add_legend,
    legend_name,
    percent_band,
    style_axes,
)
from robust.report.text.format import capital, listed, norms, plain
from robust.report.text.vocabulary import Vocabulary
from robust.report.text.words import words
from robust.units import eps_text, norm_text


def robust_accuracy_figures(report: Report) -> list[ReportFigure]:
    """Robust accuracy against eps: a figure for each norm, then those at every eps."""
    figures, said = [], words(report)
    for norm, worst in _worst_cases(report):
        robust_accuracy = [row.scores.robust_accuracy for row in worst]
        if any(robust_accuracy):
            figures.append(
                ReportFigure(
                    f"robust-accuracy-{norm.lower()}",
                    f"Of the cases that the model {said.does_right} without attack, the share that "
                    f"stays {said.correct} under each attack. Thick line: the worst case over all "
                    "attacks, with its 95 % interval.",
                    f"{capital(said.scores['robust_accuracy'])} against eps in {norm_text(norm)}. "
                    + _in_words("worst case", worst, robust_accuracy),
                    partial(_robust_accuracy, report, norm, worst),
                )
            )
    return [*figures, *(_every_eps_figure(curve, said) for curve in report.accuracy_curves)]


def sensitivity_figures(report: Report) -> list[ReportFigure]:
    """Sensitivity and specificity against eps, a figure for each norm; none without findings."""
    figures = []
    for norm, worst in _worst_cases(report):
        if any(row.scores.sensitivity or row.scores.specificity for row in worst):
            sensitivity = [row.scores.sensitivity for row in worst]
            specificity = [row.scores.specificity for row in worst]
            figures.append(
                ReportFigure(
                    f"sensitivity-{norm.lower()}",
                    "Sensitivity and specificity on all cases, with 95 % intervals: without attack "
                    "at the left, then in the worst case at each eps.",
                    f"Sensitivity and specificity against eps in {norm_text(norm)}. "
                    f"{_in_words('sensitivity', worst, sensitivity)} "
                    f"{_in_words('specificity', worst, specificity)}",
                    partial(_sensitivity, report.clean, norm, worst),
                )
            )
    return figures


def dice_figures(report: Report) -> list[ReportFigure]:
    """Dice of each structure against eps, a figure for each norm; none for classification."""
    figures = []
    for norm, worst in _worst_cases(report):
        if any(row.scores.dice for row in worst):
            dice = [row.scores.dice for row in worst]
            figures.append(
                ReportFigure(
                    f"dice-{norm.lower()}",
                    "Mean Dice of all cases with its 95 % interval: without attack at the left, "
                    "then in the worst case at each eps. Where there are several structures, thin "
                    "lines show each, in the image that hurts it most.",
                    f"Mean Dice against eps in {norm_text(norm)}. "
                    + _in_words("mean Dice", worst, dice),
                    partial(_dice, report.clean, norm, worst),
                )
            )
    return figures


def _worst_cases(report: Report) -> Iterator[tuple[str, list[AttackResult]]]:
    """Each norm with its worst cases at an eps."""
    for norm in norms(report):
        yield norm, [r for r in report.worst_cases if r.norm == norm and r.eps is not None]


def _robust_accuracy(report: Report, norm: str, worst: Sequence[AttackResult]) -> Figure:
    figure, axes = _canvas(norm, worst, f"still {words(report).correct} (%)")
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
    for row in report.rows:
        if row.norm == norm and row.eps in places and row.same_as is None:
            attacks.setdefault(row.attack, []).append(row)
    for i, (name, rows) in enumerate(list(attacks.items())[:MOST_LINES]):
        known = [(places[row.eps], e) for row in rows if (e := row.scores.robust_accuracy)]
        _part(axes, i, name, known)
    add_legend(axes)
    return figure


def _every_eps_figure(curve: AccuracyCurve, said: Vocabulary) -> ReportFigure:
    scale = 255 if curve.norm == "Linf" else 1
    return ReportFigure(
        f"robust-at-every-eps-{curve.norm.lower()}",
        f"The same at every eps: a case stays {said.correct} up to the nearest adversarial image "
        f"that {listed([plain(name) for name in curve.attacks])} found. With 95 % intervals.",
        f"{capital(said.scores['robust_accuracy'])} at every eps in {norm_text(curve.norm)}; "
        f"report.json has the points.",
        partial(_every_eps, curve, scale, said.correct),
    )


def _every_eps(curve: AccuracyCurve, scale: float, correct: str) -> Figure:
    figure = Figure(figsize=(7.2, 3.4), layout="constrained")
    axes = figure.add_subplot()
    eps = [scale * size for size in curve.eps]
    robust_accuracy = curve.robust_accuracy
    axes.fill_between(
        eps,
        *percent_band(robust_accuracy),
        step="post",
        color=BAND,
        alpha=0.3,
        linewidth=0,
    )
    axes.step(eps, [100 * e.value for e in robust_accuracy], where="post", color=INK, linewidth=2.2)
    axes.set_ylim(-4, 104)
    axes.set_xlim(0, max(eps) * 1.02)
    unit = {"Linf": ", in 1/255", "L0": ", pixels"}.get(curve.norm, "")
    style_axes(axes, f"eps ({norm_text(curve.norm)}){unit}", f"still {correct} (%)")
    return figure


def _sensitivity(clean: AttackResult, norm: str, worst: Sequence[AttackResult]) -> Figure:
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


def _dice(clean: AttackResult, norm: str, worst: Sequence[AttackResult]) -> Figure:
    rows = [clean, *worst]
    figure, axes = _canvas(norm, rows, "Dice")
    axes.yaxis.set_major_formatter(lambda percent, _: f"{percent / 100:g}")
    places = list(range(len(rows)))
    all_dice = [row.scores.dice for row in rows]
    _line(axes, places, all_dice, label="all cases", color=INK, band=BAND, linewidth=2.6)
    structures = list(clean.scores.outlines) if len(clean.scores.outlines) > 1 else []
    for i, name in enumerate(structures[:MOST_LINES]):
        known = [(x, e) for x in places if (e := _structure_dice(rows[x], name)) is not None]
        _part(axes, i, name, known)
    add_legend(axes)
    return figure


def _structure_dice(row: AttackResult, name: str) -> Estimate | None:
    one = row.scores.outlines.get(name)
    return None if one is None else one.dice


def _canvas(norm: str, rows: Sequence[AttackResult], title: str) -> tuple[Figure, Axes]:
    """Axes with eps at equal steps: most plans double eps, and a clean image has none."""
    figure = Figure(figsize=(7.2, 3.4), layout="constrained")
    axes = figure.add_subplot()
    names = ["clean" if r.kind == "clean" else eps_text(r.eps, norm) for r in rows]
    axes.set_xticks(range(len(rows)), names, rotation=45 if len(rows) > 10 else 0)
    axes.set_xlim(-0.3, len(rows) - 0.7)
    axes.set_ylim(-4, 104)
    style_axes(axes, f"eps ({norm_text(norm)})", title)
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
        *percent_band([e for _, e in known]),
        color=band,
        alpha=0.22,
        linewidth=0,
    )
    if len(known) == 1:  # a band without width would be invisible
        axes.vlines(
            spots, *percent_band([e for _, e in known]), color=band, linewidth=6, alpha=0.35
        )
        style.setdefault("marker", "o")
    axes.plot(spots, [100 * e.value for _, e in known], **style)  # type: ignore[arg-type]


def _part(axes: Axes, i: int, name: str, known: Sequence[tuple[int, Estimate]]) -> None:
    """The thin line of attack or structure number i, in percent, without a band."""
    axes.plot(
        [x for x, _ in known],
        [100 * e.value for _, e in known],
        label=legend_name(name),
        color=COLOURS[i % len(COLOURS)],
        linestyle=STYLES[i % len(STYLES)],
        marker=MARKERS[i % len(MARKERS)],
        markersize=5,
        linewidth=1.5,
    )


def _in_words(what: str, rows: Sequence[AttackResult], estimates: Sequence[Estimate | None]) -> str:
    parts = [
        f"{100 * e.value:.1f} % at {eps_text(row.eps, row.norm)}"
        for row, e in zip(rows, estimates, strict=True)
        if e is not None
    ]
    return f"{what.capitalize()}: {', '.join(parts)}."
