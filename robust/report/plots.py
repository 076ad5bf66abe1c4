"""Figures of a report as SVG text; the one importer of matplotlib."""

from __future__ import annotations

import io

import matplotlib

matplotlib.use("Agg")

from matplotlib.figure import Figure

from robust.records import Report, Row
from robust.report.words import eps_text, norm_text

# Okabe and Ito's palette: told apart by colour-blind readers. Line styles differ as well.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
STYLES = ("-", "--", "-.", ":")


def robustness_curve(report: Report, norm: str) -> str:
    """Robust accuracy against eps for every attack in one norm, the worst case with its band."""
    attacks: dict[str, list[Row]] = {}
    for row in report.rows:
        if row.norm == norm and row.eps is not None and row.scores.robust_accuracy:
            attacks.setdefault(row.attack, []).append(row)
    worst = [
        row
        for row in report.worst_cases
        if row.norm == norm and row.eps is not None and row.scores.robust_accuracy
    ]
    if not worst:
        return ""
    figure = Figure(figsize=(7.2, 3.8), layout="constrained")
    axes = figure.add_subplot()
    spots = [row.eps or 0.0 for row in worst]
    bands = [row.scores.robust_accuracy for row in worst]
    axes.fill_between(
        spots,
        [100 * e.low for e in bands if e],
        [100 * e.high for e in bands if e],
        color="#888888",
        alpha=0.25,
        linewidth=0,
        label="worst case, 95 % interval",
    )
    for i, (name, rows) in enumerate(attacks.items()):
        axes.plot(
            [row.eps or 0.0 for row in rows],
            [100 * e.value for row in rows if (e := row.scores.robust_accuracy)],
            color=COLOURS[i % len(COLOURS)],
            linestyle=STYLES[i % len(STYLES)],
            marker="o",
            markersize=3.5,
            linewidth=1.6,
            label=name,
        )
    axes.plot(
        spots, [100 * e.value for e in bands if e], color="black", linewidth=2.2, label="worst case"
    )
    if len(spots) > 2 and spots[0] > 0:
        axes.set_xscale("log")
    axes.set_xticks(spots, [eps_text(eps, norm) for eps in spots])
    axes.minorticks_off()
    axes.set_ylim(-3, 103)
    axes.set_xlabel(f"eps ({norm_text(norm)} distance, displayed pixels in [0, 1])")
    axes.set_ylabel("still right (%)")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return _svg(figure)


def _svg(figure: Figure) -> str:
    """SVG without a date or random ids, so that equal reports give equal files."""
    text = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "robust", "svg.fonttype": "path"}):
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    svg = text.getvalue()
    return svg[svg.index("<svg") :]
