"""Figures of a report as SVG or PNG; the one importer of matplotlib."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import IO, Any

import matplotlib

matplotlib.use("Agg")

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from robust.records import Estimate, Report, Row, Scores
from robust.report.words import eps_text, norm_text, norms, plain

# Okabe and Ito's palette: told apart by colour-blind readers. Line styles and markers differ too.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
STYLES = ("-", "--", "-.", ":")
MARKERS = "os^Dv<>P*X"
INK, BAND = "#1b1f24", "#8c959f"
MOST_LINES = 12
LABEL = 28
"""Characters of an attack's name in a legend."""


@dataclass(frozen=True)
class FigureOf:
    """One figure: a name for files and ids, what it says in a sentence, and its drawing."""

    name: str
    caption: str
    described: str
    """For those who cannot see it."""
    draw: Callable[[], Figure]

    def svg(self, *, themed: bool = False) -> str:
        """The same text for the same report. `themed`: colours as variables of the page's style."""
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
        """On white, at `dots` an inch."""
        data = io.BytesIO()
        self._save(data, format="png", dpi=dots, metadata={"Software": None})
        return data.getvalue()

    def _save(self, file: IO[Any], **options: Any) -> None:
        with warnings.catch_warnings():
            # A name in a script that the font lacks shows boxes; the tables have it in full.
            warnings.filterwarnings("ignore", r"Glyph .* missing from", UserWarning)
            self.draw().savefig(file, **options)


def figures(report: Report) -> list[FigureOf]:
    """For each norm the accuracy against eps and, where there are findings, what is harmed."""
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
    return found


def _curve(report: Report, norm: str, worst: Sequence[Row]) -> Figure:
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
    attacks: dict[str, list[Row]] = {}
    for row in report.rows:
        if row.norm == norm and row.eps in places and row.same_as is None:
            attacks.setdefault(row.attack, []).append(row)
    for i, (name, rows) in enumerate(list(attacks.items())[:MOST_LINES]):
        label = plain(name) if len(plain(name)) <= LABEL else plain(name)[: LABEL - 1] + "…"
        axes.plot(
            [places[row.eps] for row in rows if row.scores.robust_accuracy],
            [100 * e.value for row in rows if (e := row.scores.robust_accuracy)],
            # matplotlib leaves out what begins with an underscore
            label=" " * name.startswith("_") + label,
            color=COLOURS[i % len(COLOURS)],
            linestyle=STYLES[i % len(STYLES)],
            marker=MARKERS[i % len(MARKERS)],
            markersize=5,
            linewidth=1.5,
        )
    _legend(axes)
    return figure


def _harm(clean: Row, norm: str, worst: Sequence[Row]) -> Figure:
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
    _legend(axes)
    return figure


def _canvas(norm: str, rows: Sequence[Row], title: str) -> tuple[Figure, Axes]:
    """Eps at equal steps: a plan's eps double as a rule, and a clean image has none."""
    figure = Figure(figsize=(7.2, 3.4), layout="constrained")
    axes = figure.add_subplot()
    names = ["clean" if r.kind == "clean" else eps_text(r.eps, norm) for r in rows]
    axes.set_xticks(range(len(rows)), names, rotation=45 if len(rows) > 10 else 0)
    axes.set_xlim(-0.3, len(rows) - 0.7)
    axes.set_ylim(-4, 104)
    axes.set_xlabel(f"eps ({norm_text(norm)})", color=INK)
    axes.set_ylabel(title, color=INK)
    axes.grid(alpha=0.25, color=BAND)
    axes.tick_params(colors=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(INK)
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


def _legend(axes: Axes) -> None:
    legend = axes.legend(
        frameon=False,
        fontsize=9,
        loc="center left",
        bbox_to_anchor=(1.0, 0.5),
        labelcolor=INK,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)


def _spoken(what: str, rows: Sequence[Row], estimates: Sequence[Estimate | None]) -> str:
    said = [
        f"{100 * e.value:.1f} % at {eps_text(row.eps, row.norm)}"
        for row, e in zip(rows, estimates, strict=True)
        if e is not None
    ]
    return f"{what.capitalize()}: {', '.join(said)}."
