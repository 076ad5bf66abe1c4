"""What is left of an attack once the image is a file of 8, 12 or 16 bits, or a JPEG.

Run: `python -m experiments.storage.measure [--quick]` after `python -m experiments.models
mobilenet-pretrained` (about half an hour on one core). Chest X-rays at 112 px, wrapped as DICOM
(`wrap.py`), are attacked by PGD at five eps; each image is then stored at its depth, with nearest
and with knowing rounding, and as JPEG. Writes `results/storage.csv` and `results/storage.png`.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from experiments.ma2021.common import (
    Options,
    audited,
    interval,
    numbers,
    percent,
    started,
    write_plot,
    write_table,
)
from experiments.storage.wrap import DEPTHS, wrapped
from robust.records import Report
from robust.report.figures.style import (
    COLOURS,
    INK,
    MARKERS,
    STYLES,
    Figure,
    ReportFigure,
    style_axes,
)
from robust.units import eps_text

MODEL, PIXELS = "mobilenet-pretrained", 112
SOURCE = "../shared/data/chest_xray"
EPS = ("0.25/255", "0.5/255", "1/255", "2/255", "4/255")
WAYS = ("computed", "quantised", "adversarially_rounded", "jpeg", "jpeg_clean")
SHOWN = {
    "computed": "as computed",
    "quantised": "saved",
    "adversarially_rounded": "saved, rounded to keep the attack",
    "jpeg": "JPEG, quality 95",
}
COLUMNS = ("bits", "eps", "levels", "cases", *interval(*WAYS))


def measured(asked: Options, bits: int) -> Report:
    """The audit of one depth."""
    count = 16 if asked.quick else 100
    folder = wrapped(SOURCE, bits, count, PIXELS)
    data = {"path": str(folder.resolve()), "size": None, "grey": False, "classes": None}
    report, _ = audited(
        asked,
        MODEL,
        limit=count,
        attacks=[{"name": "PGD", "steps": 20}],
        eps=EPS,
        data=data,
    )
    return report


def draw(reports: dict[int, Report]) -> Figure:
    """Success against eps: a panel for each depth, a line for each way of storing."""
    drawn = Figure(figsize=(10, 3.6), layout="constrained")
    panels = drawn.subplots(1, len(reports), sharey=True)
    for axes, (bits, report) in zip(panels, reports.items(), strict=True):
        eps = [one.eps * 255 for one in report.survival]
        for number, (way, said) in enumerate(SHOWN.items()):
            shares = [100 * getattr(one, way).value for one in report.survival]
            look = {"color": COLOURS[number], "linestyle": STYLES[number]}
            axes.plot(eps, shares, marker=MARKERS[number], label=said, **look)
        axes.set_xscale("log", base=2)
        axes.set_xticks(eps, [f"{value:g}" for value in eps])
        axes.set_title(f"{bits} bits", color=INK)
        style_axes(axes, "eps, in 1/255", "" if axes is not panels[0] else "fooled, %")
    panels[0].legend(frameon=False, fontsize=8)
    return drawn


def main(asked: Options) -> None:
    reports = {bits: measured(asked, bits) for bits in DEPTHS}
    rows: list[list[object]] = []
    for bits, report in reports.items():
        for one in report.survival:
            found = [getattr(one, way) for way in WAYS]
            rows.append(
                [
                    bits,
                    f"{eps_text(one.eps)}",
                    one.eps_levels,
                    one.computed.cases,
                    *numbers(*found),
                ]
            )
            print(f"{bits} bits, {eps_text(one.eps)}: {', '.join(map(percent, found))}", flush=True)
    write_table(asked, "storage", COLUMNS, rows)
    write_plot(asked, ReportFigure("storage", "", "", partial(draw, reports)))


if __name__ == "__main__":
    started(main, __doc__, Path(__file__).parent / "results")
