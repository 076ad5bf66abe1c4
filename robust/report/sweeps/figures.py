"""Figures of the page over a sweep: small multiples, spread by source, learning curves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

from robust.records import Estimate, LearningCurve, Spread
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
    add_key,
    legend_name,
    style_axes,
)
from robust.report.sweeps.content import (
    ModelGroup,
    NumberKey,
    SweepContent,
    groups_shown,
    number_key,
    shown_level,
)
from robust.report.text.format import capital, plain
from robust.units import eps_text

MOST_PANELS = 9
"""Small panels of one figure; the tables have every level."""
_MOST_BARS = 10
_MOST_SINGLE = 30
"""Single models that a panel shows behind their mean."""
_ACROSS = 3


def panel_figures(content: SweepContent) -> list[ReportFigure]:
    """For each norm: robust accuracy against eps, a panel for each level of one axis."""
    figures: list[ReportFigure] = []
    for norm in dict.fromkeys(key.threat[0] for key in content.robust_keys if key.threat):
        keys = [key for key in content.robust_keys if key.threat and key.threat[0] == norm]
        panels, lines = _panels(content)
        if not panels or not any(
            content.mean(group.members, key)
            for _, own in panels
            for _, group in own
            for key in keys
        ):
            continue
        left = len(panels) - MOST_PANELS
        behind = any(len(own) == 1 and len(own[0][1].members) > 1 for _, own in panels)
        caption = (
            f"{capital(keys[0].measure)} in the worst case against eps ({norm}), with 95 % "
            f"intervals. {lines}"
        )
        if behind:
            caption += " Grey: the single models."
        if left > 0:
            caption += f" The first {MOST_PANELS} of {len(panels)} panels; the table has all."
        if any(len(own) > MOST_LINES for _, own in panels):
            caption += f" Of each panel the first {MOST_LINES} lines."
        figures.append(
            ReportFigure(
                f"sweep-robust-{len(figures)}",
                caption,
                _panels_in_words(content, panels[:MOST_PANELS], keys),
                partial(_draw_panels, content, panels[:MOST_PANELS], keys, norm),
            )
        )
    return figures


Panel = tuple[str, list[tuple[str, ModelGroup]]]
"""Title, and lines by name."""


def _panels(content: SweepContent) -> tuple[list[Panel], str]:
    """Panels by the first fixed axis with several levels, and what the lines are."""
    groups = groups_shown(content.groups)
    varied = [axis for axis in content.fixed if len(axis.levels) > 1]
    if not varied:
        if len(groups) <= 1:
            return [("", [(group.name, group) for group in groups])], "Line: the mean."
        return [("", [(group.name, group) for group in groups])], "One line for each model."
    first, others = varied[0], varied[1:]
    panels = []
    for level in first.levels:
        own = [group for group in groups if group.levels.get(first.name) == level]
        names = [
            ", ".join(shown_level(axis.name, group.levels[axis.name]) for axis in others)
            or "mean" * content.averaged
            or shown_level(first.name, level)
            for group in own
        ]
        if own:
            panels.append((shown_level(first.name, level), list(zip(names, own, strict=True))))
    what = " and ".join(plain(axis.name) for axis in others)
    each = f"One panel for each {plain(first.name)}"
    return panels, f"{each}, one line for each {what}." if what else f"{each}."


def _draw_panels(
    content: SweepContent, panels: Sequence[Panel], keys: Sequence[NumberKey], norm: str
) -> Figure:
    across = min(_ACROSS, len(panels))
    down = -(-len(panels) // across)
    figure = Figure(figsize=(7.6, 2.3 * down + 0.7), layout="constrained")
    labels = [_eps_label(key) for key in keys]
    names = list(dict.fromkeys(name for _, own in panels for name, _ in own))[:MOST_LINES]
    for place, (title, own) in enumerate(panels):
        axes = figure.add_subplot(down, across, place + 1)
        _lines_of_panel(axes, content, own, keys, names)
        axes.set_xticks(range(len(keys)), labels)
        axes.set_xlim(-0.4, len(keys) - 0.6)
        axes.set_ylim(-4, 104)
        last = place >= len(panels) - across
        style_axes(axes, f"eps ({norm})" if last else "", "still correct (%)")
        axes.set_title(legend_name(title), fontsize=9, color=INK).set_parse_math(False)
    handles: dict[str, Any] = {}
    for axes in figure.axes:
        handles |= {name: mark for mark, name in zip(*axes.get_legend_handles_labels())}
    if len(handles) > 1:
        add_key(figure, list(handles.values()), list(handles), min(len(handles), 4))
    return figure


def _lines_of_panel(
    axes: Axes,
    content: SweepContent,
    own: Sequence[tuple[str, ModelGroup]],
    keys: Sequence[NumberKey],
    names: Sequence[str],
) -> None:
    if len(own) == 1 and len(own[0][1].members) > 1:
        for member in own[0][1].members[:_MOST_SINGLE]:
            known = [(x, e) for x, k in enumerate(keys) if (e := content.number(member, k))]
            spots, values = [x for x, _ in known], [100 * e.value for _, e in known]
            axes.plot(spots, values, color=BAND, linewidth=0.7, marker=".", markersize=4)
    shown = [(name, group) for name, group in own if name in names]
    for name, group in shown:
        i = names.index(name)
        # Side by side, so that the intervals of two lines do not hide each other.
        shift = 0.0 if len(names) == 1 else 0.24 * (i / (len(names) - 1) - 0.5)
        known = [(x, e) for x, key in enumerate(keys) if (e := content.mean(group.members, key))]
        _interval_line(axes, [x + shift for x, _ in known], [e for _, e in known], i, name, 100)


def _interval_line(
    axes: Axes,
    spots: Sequence[float],
    estimates: Sequence[Estimate],
    number: int,
    name: str,
    scale: float,
    *,
    joined: bool = True,
) -> None:
    """Line number `number`: points with their intervals, joined or not."""
    if not spots:
        return
    colour = COLOURS[number % len(COLOURS)]
    ends = [one.interval or (math.nan, math.nan) for one in estimates]
    axes.vlines(
        list(spots),
        [scale * low for low, _ in ends],
        [scale * high for _, high in ends],
        color=colour,
        linewidth=1.1,
    )
    axes.plot(
        list(spots),
        [scale * one.value for one in estimates],
        label=legend_name(name),
        color=colour,
        linestyle=STYLES[number % len(STYLES)] if joined else "none",
        marker=MARKERS[number % len(MARKERS)],
        markersize=4,
        linewidth=1.4,
    )


def _eps_label(key: NumberKey) -> str:
    if key.threat is None:
        return ""
    norm, eps = key.threat
    return eps_text(eps, "Linf") if norm.startswith("L∞") else f"{eps:g}"


def _panels_in_words(
    content: SweepContent, panels: Sequence[Panel], keys: Sequence[NumberKey]
) -> str:
    parts = []
    for title, own in panels:
        for name, group in own[:MOST_LINES]:
            known = [(k, e) for k in keys if (e := content.mean(group.members, k))]
            values = ", ".join(f"{100 * e.value:.1f} % at {_eps_label(k)}" for k, e in known)
            parts.append(f"{', '.join(dict.fromkeys(t for t in (title, name) if t))}: {values}.")
    return " ".join(parts)


def spread_figure(spreads: Sequence[Spread]) -> ReportFigure | None:
    """A bar for each number: which share of its variance comes from which source."""
    known = [s for s in spreads if any(c.share > 0 for c in s.components)][:_MOST_BARS]
    if not known:
        return None
    words = [
        f"{number_key(s.measure, s.condition).text}: "
        + ", ".join(f"{plain(c.source)} {100 * c.share:.0f} %" for c in s.components)
        for s in known
    ]
    caption = (
        "Share of the variance that comes from each source. The shares are estimates of few "
        "models: the table has the intervals, or the reason why there is none."
    )
    return ReportFigure(
        "sweep-spread", caption, f"{'. '.join(words)}.", partial(_draw_spread, known)
    )


def _draw_spread(spreads: Sequence[Spread]) -> Figure:
    figure = Figure(figsize=(7.2, 0.42 * len(spreads) + 1.3), layout="constrained")
    axes = figure.add_subplot()
    sources = list(dict.fromkeys(c.source for s in spreads for c in s.components))
    left = [0.0] * len(spreads)
    for i, source in enumerate(sources):
        shares = [
            sum(100 * c.share for c in s.components if c.source == source and c.share > 0)
            for s in spreads
        ]
        colour = BAND if source == "residual" else COLOURS[i % len(COLOURS)]
        axes.barh(
            range(len(spreads)),
            shares,
            left=left,
            color=colour,
            edgecolor=INK,
            linewidth=0.5,
            height=0.6,
            label=legend_name(source),
        )
        left = [a + b for a, b in zip(left, shares, strict=True)]
    axes.set_yticks(range(len(spreads)), [_wrapped(s) for s in spreads])
    for label in axes.get_yticklabels():
        label.set_parse_math(False)
    axes.set_ylim(len(spreads) - 0.5, -0.5)
    axes.set_xlim(0, 100)
    style_axes(axes, "share of the variance (%)")
    add_key(figure, *axes.get_legend_handles_labels(), across=min(len(sources), 4))
    return figure


def _wrapped(spread: Spread) -> str:
    key = number_key(spread.measure, spread.condition)
    text = key.text.replace("worst case, ", "")
    return text.replace(", ", ",\n", 1) if len(text) > 18 else text


def curve_figures(curves: Sequence[LearningCurve]) -> list[ReportFigure]:
    """A figure for each number: points with intervals, fitted curves with their bands."""
    gathered: dict[NumberKey, list[LearningCurve]] = {}
    for curve in curves:
        if curve.points:
            gathered.setdefault(number_key(curve.measure, curve.condition), []).append(curve)
    figures: list[ReportFigure] = []
    for key, own in gathered.items():
        caption = (
            f"{capital(key.text)} against the number of training images (logarithmic). Points: the "
            f"mean of the models with their 95 % interval. Lines: the fitted power law; "
            f"shaded: its 95 % interval."
        )
        if any(curve.misfit for curve in own):
            caption += " Dotted lines: the points contradict the law; the table says how."
        if any(not curve.band for curve in own):
            caption += " Points without a line: nothing was fitted."
        words = [
            f"{plain(curve.series) or 'all models'}: "
            + ", ".join(f"{p.estimate.value:.3f} with {p.images}" for p in curve.points)
            for curve in own[:MOST_LINES]
        ]
        figures.append(
            ReportFigure(
                f"sweep-curve-{len(figures)}",
                caption,
                f"{'. '.join(words)}.",
                partial(_draw_curves, key, own[:MOST_LINES]),
            )
        )
    return figures


def _draw_curves(key: NumberKey, curves: Sequence[LearningCurve]) -> Figure:
    figure = Figure(figsize=(7.2, 3.4), layout="constrained")
    axes = figure.add_subplot()
    scale = 100 if key.is_percent else 1
    axes.set_xscale("log")
    for i, curve in enumerate(curves):
        name = curve.series or "measured"
        colour = COLOURS[i % len(COLOURS)]
        spots = [float(p.images) * 1.02 ** (i - (len(curves) - 1) / 2) for p in curve.points]
        points = [p.estimate for p in curve.points]
        _interval_line(axes, spots, points, i, name, scale, joined=False)
        if not curve.band:
            continue
        images = [p.images for p in curve.band]
        style = ":" if curve.misfit else STYLES[i % 3]
        axes.plot(images, [scale * p.value for p in curve.band], style, color=colour, linewidth=1.4)
        ends = [
            (math.nan, math.nan) if p.low is None or p.high is None else (p.low, p.high)
            for p in curve.band
        ]
        axes.fill_between(
            images,
            [scale * low for low, _ in ends],
            [scale * high for _, high in ends],
            color=colour,
            alpha=0.14,
            linewidth=0,
        )
    counts = sorted({p.images for curve in curves for p in curve.points})
    last = max((p.images for curve in curves for p in curve.band), default=0.0)
    while len(counts) < 12 and 2 * counts[-1] <= 1.01 * last:
        counts.append(2 * counts[-1])
    if len(counts) <= 12:
        axes.set_xticks(counts, [f"{count:,}" for count in counts])
        axes.minorticks_off()
    unit = " (%)" if key.is_percent else ""
    style_axes(axes, "training images", f"{plain(key.measure)}{unit}")
    axes.yaxis.get_label().set_parse_math(False)
    handles, labels = axes.get_legend_handles_labels()
    if len(handles) > 1:
        add_key(figure, handles, labels, min(len(handles), 3))
    return figure
