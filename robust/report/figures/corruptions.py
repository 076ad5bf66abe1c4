"""Figure of corruptions: the error by severity, a panel for each family of kinds."""

from __future__ import annotations

from functools import partial

from robust.records import CorruptionResult, Report
from robust.report.figures.style import (
    BAND,
    COLOURS,
    INK,
    MARKERS,
    STYLES,
    Axes,
    Figure,
    ReportFigure,
    add_key,
    legend_name,
    percent_band,
    style_axes,
)
from robust.report.text.corruptions import corruption_text, worst_corruption
from robust.report.text.format import plain
from robust.report.text.words import words

PANELS_ACROSS = 3


def corruption_figures(report: Report) -> list[ReportFigure]:
    """One, where corruptions were run."""
    result, said = report.corruptions, words(report)
    if result is None or not result.scores:
        return []
    worst = worst_corruption(result)
    assert worst is not None
    return [
        ReportFigure(
            "corruptions",
            f"The {said.error} by severity, in panels by family. Dotted, with its 95 % interval: "
            "without corruption. The tables have the intervals of all.",
            f"The {said.error} by kind and severity on {plain(result.modality)}. Without "
            f"corruption {100 * result.clean.value:.1f} %, in the mean over all "
            f"{100 * result.mean.value:.1f} %; worst {corruption_text(worst)}, "
            f"{100 * worst.error.value:.1f} %.",
            partial(_draw, result, said.error),
        )
    ]


def _draw(result: CorruptionResult, error: str) -> Figure:
    families = list(dict.fromkeys(kind.family for kind in result.kinds))
    across = min(len(families), PANELS_ACROSS)
    down = -(-len(families) // across)
    rows = -(-(len(result.kinds) + 1) // 4)
    figure = Figure(figsize=(7.2, 2.1 * down + 0.2 * rows + 0.6), layout="constrained")
    panels = [figure.add_subplot(down, across, i + 1) for i in range(len(families))]
    highest = max([result.clean.value, *(one.error.value for one in result.scores)])
    places = {kind.kind: i for i, kind in enumerate(result.kinds)}
    for axes, family in zip(panels, families, strict=True):
        _clean(axes, result)
        for kind in result.kinds:
            if kind.family == family:
                _line(axes, result, kind.kind, places[kind.kind])
        axes.set_title(legend_name(family), fontsize=9, color=INK).set_parse_math(False)
        axes.set_ylim(0, min(104, 115 * highest + 2))
        axes.set_xticks(sorted({one.severity for one in result.scores}))
        style_axes(axes, "severity", f"{error} (%)" if axes in panels[::across] else "")
    handles: dict[str, object] = {}
    for axes in panels:
        handles |= {name: mark for mark, name in zip(*axes.get_legend_handles_labels())}
    add_key(figure, list(handles.values()), list(handles), min(4, len(handles)))
    return figure


def _clean(axes: Axes, result: CorruptionResult) -> None:
    """The error without corruption across the panel."""
    (low,), (high,) = percent_band([result.clean])
    axes.axhspan(low, high, color=BAND, alpha=0.2, linewidth=0)
    axes.axhline(
        100 * result.clean.value, color=INK, linestyle=":", linewidth=1.2, label="no corruption"
    )


def _line(axes: Axes, result: CorruptionResult, kind: str, i: int) -> None:
    own = sorted((o for o in result.scores if o.kind == kind), key=lambda one: one.severity)
    axes.plot(
        [one.severity for one in own],
        [100 * one.error.value for one in own],
        label=legend_name(kind),
        color=COLOURS[i % len(COLOURS)],
        linestyle=STYLES[i // len(COLOURS) % len(STYLES)],
        marker=MARKERS[i % len(MARKERS)],
        markersize=4,
        linewidth=1.4,
    )
