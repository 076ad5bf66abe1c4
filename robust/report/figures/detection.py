"""Figures of detection: ROC curves, scores clean against attacked, and maps of deep features."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from robust.records import Detection, FeatureMap, ScoreCurves
from robust.report.figures.style import (
    BAND,
    COLOURS,
    INK,
    MOST_LINES,
    STYLES,
    Axes,
    Figure,
    FigureOf,
    add_legend,
    dress,
    named,
)
from robust.report.text.detection import shown_text
from robust.report.text.format import SHARE, decimal, of_hundred, short

ACROSS = 3
"""Panels side by side."""


def detection_figures(detection: Detection) -> list[FigureOf]:
    """Of the key attack, for every detector that was fitted on it; nothing without one."""
    if detection.key_attack is None:
        return []
    found = []
    what = shown_text(detection.image_sets[detection.key_attack])
    traces = detection.score_curves[:MOST_LINES]
    more = len(detection.score_curves) - len(traces)
    left = f" The first {len(traces)} detectors; report.json has {more} more." if more else ""
    if traces:
        found += [
            FigureOf(
                "detectors-roc",
                f"{what}: for each share of false alarms, the share of attacked images that a "
                "detector sees (ROC). Dotted: a coin. The thin line stands at one false alarm in "
                f"twenty.{left}",
                f"Share seen against share of false alarms. {_aucs(detection, traces)}",
                partial(_roc, traces),
            ),
            FigureOf(
                "detectors-scores",
                f"{what}: how suspicious images look to each detector, further right is more "
                "suspicious. Grey: clean. Line: attacked. Dashed: noise of the same size. The less "
                "line and grey overlap, the better a detector tells them apart; where the dashes "
                f"follow the line, it sees change and not attack.{left}",
                f"Histograms of scores, a panel for each detector. {_overlaps(detection, traces)}",
                partial(_scores, traces),
            ),
        ]
    if detection.feature_maps:
        names = [shown_text(detection.image_sets[s.image_set]) for s in detection.feature_maps]
        found.append(
            FigureOf(
                "detectors-features",
                "What the model makes of clean images (circles) and of the same images under "
                "attack (crosses), flattened to two dimensions (t-SNE). Neighbours are alike to "
                "the model; distances between groups and the axes mean nothing.",
                f"Maps of deep features, clean against attacked, for {'; '.join(names)}.",
                partial(_maps, detection.feature_maps, names),
            )
        )
    return found


def _roc(traces: Sequence[ScoreCurves]) -> Figure:
    figure = Figure(figsize=(7.2, 4.4), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([0, 100], [0, 100], color=INK, linestyle=(0, (1, 3)), linewidth=1.2)
    axes.axvline(100 * float(SHARE), color=BAND, linewidth=0.8, alpha=0.5)
    for i, trace in enumerate(traces):
        axes.plot(
            [100 * x for x, _ in trace.roc],
            [100 * y for _, y in trace.roc],
            label=named(trace.detector),
            color=COLOURS[i % len(COLOURS)],
            linestyle=STYLES[i % len(STYLES)],
            linewidth=1.7,
        )
    axes.set_xlim(-1, 101)
    axes.set_ylim(-1, 101)
    axes.set_aspect("equal")
    dress(axes, "false alarms: clean images flagged (%)", "attacked images seen (%)")
    add_legend(axes)
    return figure


def _scores(traces: Sequence[ScoreCurves]) -> Figure:
    figure, panels = _panels(len(traces), 2.0)
    for axes, trace in zip(panels, traces):
        clean, attacked, noise = (
            _shares(counts) for counts in (trace.clean, trace.attacked, trace.noise)
        )
        axes.stairs(clean, trace.bin_edges, fill=True, color=BAND, alpha=0.45, label="clean")
        axes.stairs(noise, trace.bin_edges, color=COLOURS[0], linestyle="--", label="noise")
        axes.stairs(attacked, trace.bin_edges, color=COLOURS[1], linewidth=1.5, label="attacked")
        dress(axes)
        axes.set_yticks([])
        axes.tick_params(labelsize=7)
        axes.locator_params(axis="x", nbins=4)
        _titled(axes, trace.detector)
    _key(figure, panels[0])
    return figure


def _maps(scatters: Sequence[FeatureMap], names: Sequence[str]) -> Figure:
    figure, panels = _panels(len(scatters), 2.6)
    for axes, scatter, name in zip(panels, scatters, names):
        marks = (
            ("clean", scatter.clean, "o", COLOURS[0]),
            ("attacked", scatter.attacked, "x", COLOURS[1]),
        )
        for label, points, marker, colour in marks:
            axes.plot(
                [x for x, _ in points],
                [y for _, y in points],
                linestyle="none",
                marker=marker,
                markersize=2.6,
                markeredgewidth=0.8,
                fillstyle="none",
                color=colour,
                label=label,
            )
        dress(axes)
        axes.set_xticks([])
        axes.set_yticks([])
        _titled(axes, name)
    _key(figure, panels[0])
    return figure


def _panels(count: int, height: float) -> tuple[Figure, list[Axes]]:
    across = 2 if count == 4 else min(count, ACROSS)
    down = -(-count // across)
    figure = Figure(figsize=(7.2, height * down + 0.4), layout="constrained")
    return figure, [figure.add_subplot(down, across, i + 1) for i in range(count)]


def _titled(axes: Axes, name: str) -> None:
    axes.set_title(named(name), fontsize=9, color=INK).set_parse_math(False)


def _key(figure: Figure, axes: Axes) -> None:
    """One legend for all panels, below them."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=len(labels),
        frameon=False,
        fontsize=9,
        labelcolor=INK,
    )


def _shares(counts: Sequence[int]) -> list[float]:
    return [count / max(sum(counts), 1) for count in counts]


def _aucs(detection: Detection, traces: Sequence[ScoreCurves]) -> str:
    found = []
    for trace in traces:
        sighting = detection.score(trace.detector, detection.key_attack)
        if sighting is not None and sighting.auc is not None:
            found.append(f"{short(trace.detector)}: AUC {decimal(sighting.auc)}")
    return f"{'; '.join(found)}."


def _overlaps(detection: Detection, traces: Sequence[ScoreCurves]) -> str:
    found = []
    for trace in traces:
        sighting = detection.score(trace.detector, detection.key_attack)
        if sighting is not None and (seen := sighting.detection_rates.get(SHARE)) is not None:
            found.append(f"{short(trace.detector)}: {of_hundred(seen.value)} % of attacked")
    return f"Beyond all but one clean image in twenty lie, for {'; '.join(found)}."
