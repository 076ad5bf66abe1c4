"""Style shared by all figures: palette, axes, legend, SVG and PNG. Imports matplotlib."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any

import matplotlib
from matplotlib.axes import Axes as Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure as Figure

from robust.records import Estimate
from robust.report.text.format import plain

# Okabe and Ito's palette for colour-blind readers. Line styles and markers differ too.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
STYLES = ("-", "--", "-.", ":")
MARKERS = "os^Dv<>P*X"
INK, BAND = "#1b1f24", "#8c959f"
MOST_LINES = 12
"""Attacks or detectors that a figure shows; report.json has them all."""
NARROW = 3.9
"""Inches: the text of a figure of this width can be read on a phone."""
MOST_LETTERS = 36
"""Of all labels that fit beside each other on a narrow axis."""
LABEL = 28
"""Characters of an attack's name in a legend."""


@dataclass(frozen=True)
class ReportFigure:
    """One figure: name, caption, description and the function that draws it."""

    name: str
    """For files and ids."""
    caption: str
    described: str
    """The content in words, for screen readers."""
    draw: Callable[[], Figure]
    """A new matplotlib figure at each call."""

    def svg(self, *, themed: bool = False, narrow: bool = False) -> str:
        """SVG text, equal for equal reports. `themed`: colours as variables of the page's style.

        `narrow`: the panels below each other and the legend under them, for a phone.
        """
        file = io.StringIO()
        with matplotlib.rc_context({"svg.hashsalt": self.name, "svg.fonttype": "path"}):
            figure = narrowed(self.draw()) if narrow else self.draw()
            for patch in (figure.patch, *(axes.patch for axes in figure.axes)) if themed else ():
                patch.set(facecolor="none", edgecolor="none")
            canvas = FigureCanvasSVG(figure)
            _print(canvas.print_svg, file, metadata={"Date": None, "Creator": None})
        svg = file.getvalue()
        if not themed:
            return svg
        for number, colour in enumerate((INK, BAND, *COLOURS)):
            svg = svg.replace(colour.lower(), f"var(--figure-{number})")
        return svg[svg.index("<svg") :]

    def png(self, dots: int = 200) -> bytes:
        """PNG file on white, at `dots` per inch."""
        data = io.BytesIO()
        figure = self.draw()
        figure.set_dpi(dots)
        _print(FigureCanvasAgg(figure).print_png, data, metadata={"Software": None})
        return data.getvalue()


def _print(draw: Callable[..., None], file: IO[Any], metadata: Mapping[str, None]) -> None:
    """By the canvas itself: `Figure.savefig` would draw all twice, once for the layout alone."""
    with warnings.catch_warnings():
        # A name in a script that the font lacks shows boxes; the tables have it in full.
        warnings.filterwarnings("ignore", r"Glyph .* missing from", UserWarning)
        draw(file, metadata=metadata)


def narrowed(figure: Figure) -> Figure:
    """The same figure `NARROW` inches wide: panels below each other, one legend under them."""
    panels = figure.axes
    handles: dict[str, Any] = {}
    for axes in panels:
        handles |= {name: mark for mark, name in zip(*axes.get_legend_handles_labels())}
        if (legend := axes.get_legend()) is not None:
            legend.remove()
    for legend in figure.legends[:]:
        legend.remove()
    grid = figure.add_gridspec(len(panels), 1)
    for place, axes in enumerate(panels):
        axes.set_subplotspec(grid[place])
        # Labels that the axis sets itself are not drawn yet, and their number fits the width.
        if sum(len(tick.get_text()) for tick in axes.get_xticklabels()) > MOST_LETTERS:
            axes.tick_params(axis="x", rotation=90)
    lines = -(-len(handles) // 2)
    square = any(axes.get_aspect() != "auto" for axes in panels)
    height = NARROW - 0.6 if square else 2.6 if len(panels) == 1 else 1.8
    figure.set_size_inches(NARROW, height * len(panels) + 0.25 * lines + 0.3)
    if handles:
        add_key(figure, list(handles.values()), list(handles), 1 if _long(handles) else 2)
    return figure


def _long(names: Iterable[str]) -> bool:
    """Whether two of the names do not fit beside each other on a phone."""
    return max(map(len, names)) > 16


def add_key(figure: Figure, handles: Sequence[Any], labels: Sequence[str], across: int) -> None:
    """One legend for all panels, below them."""
    legend = figure.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=across,
        frameon=False,
        fontsize=9,
        labelcolor=INK,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)


def legend_name(label: str) -> str:
    """A name as a legend shows it, of at most `LABEL` characters."""
    text = plain(label)
    text = text if len(text) <= LABEL else text[: LABEL - 1] + "…"
    # matplotlib leaves out what begins with an underscore
    return " " * text.startswith("_") + text


def style_axes(axes: Axes, across: str = "", up: str = "") -> None:
    """Colour, faint grid, two spines and the titles of both axes."""
    axes.set_xlabel(across, color=INK)
    axes.set_ylabel(up, color=INK)
    axes.grid(alpha=0.25, color=BAND)
    axes.tick_params(colors=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(INK)


def add_legend(axes: Axes) -> None:
    """A legend to the right of the axes."""
    legend = axes.legend(
        frameon=False,
        fontsize=9,
        loc="center left",
        bbox_to_anchor=(1.0, 0.5),
        labelcolor=INK,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)


def percent_band(estimates: Sequence[Estimate]) -> tuple[list[float], list[float]]:
    """Lower and upper ends in percent; NaN, which is not drawn, where there is no interval."""
    ends = [estimate.interval or (math.nan, math.nan) for estimate in estimates]
    return [100 * low for low, _ in ends], [100 * high for _, high in ends]
