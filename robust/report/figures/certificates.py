"""Figures of certified accuracy by radius beside attacked accuracy by eps; what lies between."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from robust.metrics.arrays import Array
from robust.records import CertifiedAccuracy, Estimate, Report
from robust.report.figures.style import (
    BAND,
    COLOURS,
    INK,
    Axes,
    Figure,
    ReportFigure,
    add_legend,
    percent_band,
    style_axes,
)
from robust.report.text.certificates import function_text
from robust.report.text.format import plain, short
from robust.units import eps_text, norm_text

ABOVE, BELOW = "left by attacks", "proven"
BETWEEN = "nobody knows"


def certificate_figures(report: Report) -> list[ReportFigure]:
    """One for each certificate."""
    return [_figure(i, one) for i, one in enumerate(report.certificates) if one.radii]


def _figure(place: int, one: CertifiedAccuracy) -> ReportFigure:
    smoothed = (
        " Both are of the smoothed classifier, which is another one than the audited model."
        if one.function == "smoothed"
        else ""
    )
    upper = (
        "Above: the share that attacks on it left correct, at least as high as the truth."
        if _upper(one)[2]
        else "Above: the share that it reads correctly without attack; no attack on it was run."
    )
    points = "; ".join(
        f"{eps_text(point.eps, one.norm)}: {100 * point.certified.value:.1f} % proven"
        + ("" if point.attacked is None else f", {100 * point.attacked.value:.1f} % left")
        for point in one.points
    )
    return ReportFigure(
        f"certified-accuracy-{place + 1}",
        f"{short(one.certificate)}, {norm_text(one.norm)}. Below: the share of cases that are read "
        f"correctly and proven to stay so up to each size of the change, at most as high as the "
        f"truth. {upper} Where the grey area lies nobody knows.{smoothed} With 95 % intervals.",
        f"Certified and attacked accuracy of {function_text(one)} by {plain(one.certificate)}, "
        f"against eps in {norm_text(one.norm)}. {points}.",
        partial(_draw, one),
    )


def _draw(one: CertifiedAccuracy) -> Figure:
    figure = Figure(figsize=(7.2, 3.4), layout="constrained")
    axes = figure.add_subplot()
    scale = 255 if one.norm == "Linf" else 1
    above, upper, attacked = _upper(one)
    end = max([one.radii[-1], *above, 1e-9]) * 1.06
    _between(axes, one, above, upper, scale, end)
    label = ABOVE if attacked else "without attack"
    _steps(axes, above, upper, scale, end, label=label, colour=COLOURS[1], style="--")
    proven = _lower(one)
    _steps(axes, one.radii, proven, scale, end, label=BELOW, colour=COLOURS[0], style="-")
    axes.set_ylim(-4, 104)
    axes.set_xlim(0, scale * end)
    unit = ", in 1/255" if scale != 1 else ""
    style_axes(axes, f"eps ({norm_text(one.norm)}){unit}", "of the cases (%)")
    add_legend(axes)
    return figure


def _lower(one: CertifiedAccuracy) -> list[Estimate]:
    """What is proven just beyond each radius: the value up to the next, and in the end nothing."""
    last = one.certified[-1]
    return [*one.certified[1:], Estimate(0.0, None, None, last.cases, last.groups)]


def _upper(one: CertifiedAccuracy) -> tuple[list[float], list[Estimate], bool]:
    """Eps and the upper bound from there on, and whether attacks give it.

    What an attack left at an eps bounds every larger eps too; below the smallest eps the share
    without attack does.
    """
    found = [(p.eps, p.attacked) for p in one.points if p.attacked is not None and p.eps > 0]
    eps, bounds = [0.0], [one.clean]
    for size, bound in found:
        eps.append(size)
        bounds.append(bound)
    return eps, bounds, bool(found)


def _steps(
    axes: Axes,
    places: Sequence[float],
    estimates: Sequence[Estimate],
    scale: float,
    end: float,
    *,
    label: str,
    colour: str,
    style: str,
) -> None:
    """A line of steps with its band: each value holds from its place on."""
    across = scale * np.array([*places, max(end, places[-1])])
    every = [*estimates, estimates[-1]]
    axes.fill_between(
        across, *percent_band(every), step="post", color=colour, alpha=0.2, linewidth=0
    )
    axes.step(
        across,
        [100 * e.value for e in every],
        where="post",
        color=colour,
        linestyle=style,
        linewidth=2.2,
        label=label,
    )


def _between(
    axes: Axes,
    one: CertifiedAccuracy,
    above: Sequence[float],
    upper: Sequence[Estimate],
    scale: float,
    end: float,
) -> None:
    """The area between both lines."""
    places = np.unique([*one.radii, *above, end])
    places = places[places <= end]
    high = _held(places, above, [e.value for e in upper])
    low = _held(places, one.radii, [e.value for e in _lower(one)])
    axes.fill_between(
        scale * places,
        100 * low,
        100 * np.maximum(high, low),
        step="post",
        color=BAND,
        alpha=0.25,
        linewidth=0,
        label=BETWEEN,
    )
    if (spot := _room(places, low, high, end)) is not None:
        x, y = spot
        axes.text(scale * x, 100 * y, BETWEEN, ha="center", va="center", fontsize=9, color=INK)


def _room(places: Array, low: Array, high: Array, end: float) -> tuple[float, float] | None:
    """Where a word fits between both lines, if anywhere: a sixth of the axis to each side."""
    across = np.linspace(0, end, 61)
    bottom, top = (_held(across, places, line) for line in (low, high))
    best = None
    for i in range(10, 51):
        floor, ceiling = bottom[i - 10 : i + 11].max(), top[i - 10 : i + 11].min()
        if ceiling - floor > 0.12 and (best is None or ceiling - floor > best[0] + 1e-9):
            best = (ceiling - floor, float(across[i]), float(floor + ceiling) / 2)
    return None if best is None else best[1:]


def _held(
    places: Sequence[float] | Array,
    starts: Sequence[float] | Array,
    values: Sequence[float] | Array,
) -> Array:
    """At each place the value of the last start at or below it."""
    held = np.searchsorted(np.asarray(starts), np.asarray(places), side="right") - 1
    found: Array = np.asarray(values, np.float64)[np.maximum(held, 0)]
    return found
