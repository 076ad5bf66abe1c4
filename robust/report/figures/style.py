"""Style shared by all figures: palette, axes, legend, SVG and PNG. Imports matplotlib."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any

import matplotlib

matplotlib.use("Agg")

from matplotlib.axes import Axes as Axes
from matplotlib.figure import Figure as Figure

from robust.report.text.format import plain

# Okabe and Ito's palette for colour-blind readers. Line styles and markers differ too.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
STYLES = ("-", "--", "-.", ":")
MARKERS = "os^Dv<>P*X"
INK, BAND = "#1b1f24", "#8c959f"
MOST_LINES = 12
"""Attacks or detectors that a figure shows; report.json has them all."""
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

    def svg(self, *, themed: bool = False) -> str:
        """SVG text, equal for equal reports. `themed`: colours as variables of the page's style."""
        file = io.StringIO()
        meta = {"Date": None, "Creator": None}
        with matplotlib.rc_context({"svg.hashsalt": self.name, "svg.fonttype": "path"}):
            self._save(file, format="svg", metadata=meta, transparent=themed)
        svg = file.getvalue()
        if not themed:
            return svg
        for number, colour in enumerate((INK, BAND, *COLOURS)):
            svg = svg.replace(colour.lower(), f"var(--figure-{number})")
        return svg[svg.index("<svg") :]

    def png(self, dots: int = 200) -> bytes:
        """PNG file on white, at `dots` per inch."""
        data = io.BytesIO()
        self._save(data, format="png", dpi=dots, metadata={"Software": None})
        return data.getvalue()

    def _save(self, file: IO[Any], **options: Any) -> None:
        with warnings.catch_warnings():
            # A name in a script that the font lacks shows boxes; the tables have it in full.
            warnings.filterwarnings("ignore", r"Glyph .* missing from", UserWarning)
            self.draw().savefig(file, **options)


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
