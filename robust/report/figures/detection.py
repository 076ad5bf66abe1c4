"""Figures of detectors: ROC curves, score histograms, t-SNE maps of deep features."""

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
    ReportFigure,
    add_key,
    legend_name,
    style_axes,
)
from robust.report.text.detection import image_set_text
from robust.report.text.format import FALSE_ALARM_RATE, decimal, of_hundred, short

PANELS_ACROSS = 3
"""Panels side by side."""


def detection_figures(detection: Detection) -> list[ReportFigure]:
    """Figures on the key attack, with every detector fitted on it; none without a key attack."""
    if detection.key_attack is None:
        return []
    figures = []
    curves = detection.score_curves[:MOST_LINES]
    if curves:
        figures += [_roc_figure(detection, curves), _score_figure(detection, curves)]
    if detection.feature_maps:
        names = [image_set_text(detection.image_sets[s.image_set]) for s in detection.feature_maps]
        figures.append(
            ReportFigure(
                "detectors-features",
                "Deep features of clean images (circles) and of the same images under attack "
                "(crosses), in two dimensions (t-SNE). Neighbours look alike to the model; the "
                "axes and the distances between groups have no meaning.",
                f"Maps of deep features, clean and attacked, for {'; '.join(names)}.",
                partial(_maps, detection.feature_maps, names),
            )
        )
    return figures


def _roc_figure(detection: Detection, curves: Sequence[ScoreCurves]) -> ReportFigure:
    return ReportFigure(
        "detectors-roc",
        f"{_key_attack(detection)}: the share of attacked images that each detector detects (ROC "
        "curves). Left: against the share of the clean images of the same cases that it flags. "
        "Right: against the rate of false alarms on all clean images; a curve that is higher on "
        "the right owes that to which cases fall. Dotted: chance. The thin vertical line marks 5 "
        f"%.{_left_out(detection, curves)}",
        "Detected share against the share of flagged clean images, of the same cases and of all. "
        f"{_aucs(detection, curves)}",
        partial(_roc, curves),
    )


def _score_figure(detection: Detection, curves: Sequence[ScoreCurves]) -> ReportFigure:
    return ReportFigure(
        "detectors-scores",
        f"{_key_attack(detection)}: scores of each detector; further right is more suspicious. "
        "Grey: clean. Dotted: clean images of the cases that fall. Line: attacked. Dashed: noise "
        "of the same size. The less solid and dotted line overlap, the better the detector "
        "separates them; a dotted line apart from the grey shows which cases fall. Where the "
        "dashed line follows the solid line, the detector reacts to any change, not to the attack."
        f"{_left_out(detection, curves)}",
        f"Histograms of scores, one panel for each detector. {_rates(detection, curves)}",
        partial(_scores, curves),
    )


def _key_attack(detection: Detection) -> str:
    assert detection.key_attack is not None
    return image_set_text(detection.image_sets[detection.key_attack])


def _left_out(detection: Detection, curves: Sequence[ScoreCurves]) -> str:
    more = len(detection.score_curves) - len(curves)
    return f" Shown are {len(curves)} detectors; report.json has {more} more." if more else ""


def _roc(curves: Sequence[ScoreCurves]) -> Figure:
    figure = Figure(figsize=(7.2, 3.9), layout="constrained")
    paired, every = figure.subplots(1, 2, sharex=True, sharey=True)
    for axes, across in ((paired, "same cases"), (every, "all cases: false alarms")):
        axes.plot([0, 100], [0, 100], color=INK, linestyle=(0, (1, 3)), linewidth=1.2)
        axes.axvline(100 * float(FALSE_ALARM_RATE), color=BAND, linewidth=0.8, alpha=0.5)
        for i, curve in enumerate(curves):
            points = curve.paired_roc if axes is paired else curve.roc
            axes.plot(
                [100 * x for x, _ in points],
                [100 * y for _, y in points],
                label=legend_name(curve.detector),
                color=COLOURS[i % len(COLOURS)],
                linestyle=STYLES[i % len(STYLES)],
                linewidth=1.7,
            )
        axes.set_xlim(-1, 101)
        axes.set_ylim(-1, 101)
        axes.set_aspect("equal")
        style_axes(axes, f"clean images flagged (%), {across}")
    paired.set_ylabel("attacked images detected (%)", color=INK)
    _key(figure, paired, across=3)
    return figure


def _scores(curves: Sequence[ScoreCurves]) -> Figure:
    figure, panels = _panels(len(curves), 2.0)
    for axes, curve in zip(panels, curves):
        clean, fallen, attacked, noise = (
            _shares(counts)
            for counts in (curve.clean, curve.clean_fallen, curve.attacked, curve.noise)
        )
        axes.stairs(clean, curve.bin_edges, fill=True, color=BAND, alpha=0.45, label="clean")
        axes.stairs(
            fallen,
            curve.bin_edges,
            color=INK,
            linestyle=":",
            linewidth=1.2,
            label="clean, cases that fall",
        )
        axes.stairs(noise, curve.bin_edges, color=COLOURS[0], linestyle="--", label="noise")
        axes.stairs(attacked, curve.bin_edges, color=COLOURS[1], linewidth=1.5, label="attacked")
        style_axes(axes)
        axes.set_yticks([])
        axes.tick_params(labelsize=7)
        axes.locator_params(axis="x", nbins=4)
        _titled(axes, curve.detector)
    _key(figure, panels[0])
    return figure


def _maps(maps: Sequence[FeatureMap], names: Sequence[str]) -> Figure:
    figure, panels = _panels(len(maps), 2.6)
    for axes, one, name in zip(panels, maps, names):
        marks = (
            ("clean", one.clean, "o", COLOURS[0]),
            ("attacked", one.attacked, "x", COLOURS[1]),
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
        style_axes(axes)
        axes.set_xticks([])
        axes.set_yticks([])
        _titled(axes, name)
    _key(figure, panels[0])
    return figure


def _panels(count: int, height: float) -> tuple[Figure, list[Axes]]:
    across = 2 if count == 4 else min(count, PANELS_ACROSS)
    down = -(-count // across)
    figure = Figure(figsize=(7.2, height * down + 0.4), layout="constrained")
    return figure, [figure.add_subplot(down, across, i + 1) for i in range(count)]


def _titled(axes: Axes, name: str) -> None:
    axes.set_title(legend_name(name), fontsize=9, color=INK).set_parse_math(False)


def _key(figure: Figure, axes: Axes, across: int = MOST_LINES) -> None:
    """One legend for all panels, below them, with at most so many entries in a line."""
    handles, labels = axes.get_legend_handles_labels()
    add_key(figure, handles, labels, min(len(labels), across))


def _shares(counts: Sequence[int]) -> list[float]:
    return [count / max(sum(counts), 1) for count in counts]


def _aucs(detection: Detection, curves: Sequence[ScoreCurves]) -> str:
    figures = []
    for curve in curves:
        score = detection.score(curve.detector, detection.key_attack)
        if score is not None and score.paired_auc is not None:
            figures.append(
                f"{short(curve.detector)}: AUC {decimal(score.paired_auc)} paired, "
                f"{decimal(score.auc)} against all clean images"
            )
    return f"{'; '.join(figures)}."


def _rates(detection: Detection, curves: Sequence[ScoreCurves]) -> str:
    figures = []
    for curve in curves:
        score = detection.score(curve.detector, detection.key_attack)
        if score is not None and (rate := score.detection_rates.get(FALSE_ALARM_RATE)) is not None:
            figures.append(f"{short(curve.detector)} {of_hundred(rate.value)} %")
    return f"Detected at 5 % false alarms: {'; '.join(figures)}."
