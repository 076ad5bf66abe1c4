"""Tables and curves of the audits: Dice, IoU, borders, missed structures, by attack and eps.

Run: `python -m experiments.segmentation.tables [--only lungs]` after `robust audit` of the plans.
It reads each report.json and writes `results/cases.csv`, `results/structures.csv`,
`results/dice.png` and `results/tables.md`; with `--only` the last two show those models alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from experiments.ma2021.common import Options, interval, numbers, started, write_plot, write_table
from experiments.segmentation.runs import RESULTS, SHOWN, eps_255, finished
from experiments.strength.summary import markdown
from robust.records import AttackResult, Estimate, Report
from robust.records.estimate import interval_text
from robust.report.figures.style import (
    BAND,
    COLOURS,
    INK,
    MARKERS,
    STYLES,
    Figure,
    ReportFigure,
    style_axes,
)

SCORES = ("dice", "iou", "surface_dice", "hd95", "volume_error", "missed")
OF_CASES = ("model", "attack", "eps", "cases", "groups", *interval("dice", "well", "still_well"))
OF_STRUCTURES = ("model", "attack", "eps", "structure", "cases", *interval(*SCORES))
Reports = dict[str, Report]


def conditions(report: Report) -> list[AttackResult]:
    """Without attack, then each attack, then the worst case, each at ascending eps."""
    return [report.clean, *report.rows, *report.worst_cases]


def cases(reports: Reports) -> Iterator[list[object]]:
    """A row for each model, attack and eps."""
    for model, report in reports.items():
        for row in conditions(report):
            found = row.scores
            size = (found.dice.cases, found.dice.groups) if found.dice else (None, None)
            scores = numbers(found.dice, found.accuracy, found.robust_accuracy)
            yield [model, row.attack, f"{eps_255(row):g}", *size, *scores]


def structures(reports: Reports) -> Iterator[list[object]]:
    """A row for each model, attack, eps and structure."""
    for model, report in reports.items():
        for row in conditions(report):
            for name, found in row.scores.outlines.items():
                scores = numbers(*(getattr(found, score) for score in SCORES))
                yield [model, row.attack, f"{eps_255(row):g}", name, found.cases, *scores]


def shown(one: Estimate | None, factor: float = 1.0, places: int = 2) -> str:
    """`0.94 [0.75, 0.97]`, or the value alone where no interval can be given."""
    if one is None:
        return ""
    value = f"{factor * one.value:.{places}f}"
    return value if one.low is None else f"{value} {interval_text(one, factor, places)}"


def page(report: Report) -> str:
    """Two Markdown tables of one model: by case, and by structure."""
    by_case, by_structure = [], []
    for row in conditions(report):
        eps, found = f"{eps_255(row):g}", row.scores
        well = (shown(one, 100, 0) for one in (found.accuracy, found.robust_accuracy))
        by_case.append([row.attack, eps, shown(found.dice), *well])
        for name, one in found.outlines.items():
            shares = [shown(getattr(one, score)) for score in SCORES[:3]]
            hd95, missed = shown(one.hd95, 1, 1), shown(one.missed, 100, 0)
            by_structure.append([row.attack, eps, name, *shares, hd95, missed])
    return "\n\n".join(
        [
            markdown(("attack", "eps", "Dice", "outlined well, %", "of those, still, %"), by_case),
            markdown(
                (
                    *("attack", "eps", "structure", "Dice", "IoU", "surface Dice"),
                    *(f"HD95, {report.task.unit}", "missed, %"),
                ),
                by_structure,
            ),
        ]
    )


def draw(reports: Reports) -> Figure:
    """Mean Dice against eps: a panel for each model, a line for each attack."""
    drawn = Figure(figsize=(4.4 * len(reports), 3.8), layout="constrained")
    panels = drawn.subplots(1, len(reports), sharey=True, squeeze=False)[0]
    for axes, (model, report) in zip(panels, reports.items(), strict=True):
        clean = report.clean
        worst = [clean, *report.worst_cases]
        known = [row.scores.dice for row in worst if row.scores.dice]
        axes.plot([eps_255(row) for row in worst], values(worst), color=INK, label="worst case")
        if all(one.low is not None for one in known):
            ends = zip(*[(one.low, one.high) for one in known], strict=True)
            axes.fill_between([eps_255(row) for row in worst], *ends, color=BAND, alpha=0.3)
        for number, attack in enumerate(dict.fromkeys(row.attack for row in report.rows)):
            rows = [row for row in report.rows if row.attack == attack]
            look = {"color": COLOURS[number % len(COLOURS)], "marker": MARKERS[number]}
            style = STYLES[number % len(STYLES)]
            axes.plot(list(map(eps_255, rows)), values(rows), style, label=attack, **look)
        axes.set_title(SHOWN[model], color=INK)
        style_axes(axes, "eps, in 1/255", "mean Dice" if axes is panels[0] else "")
        axes.set_ylim(0, 1)
    panels[0].legend(frameon=False, fontsize=7)
    return drawn


def values(rows: Sequence[AttackResult]) -> list[float]:
    """Mean Dice of each."""
    return [row.scores.dice.value for row in rows if row.scores.dice]


def main(asked: Options) -> None:
    reports = {name: report for name, _, report in finished(asked)}
    if not reports:
        return
    write_table(asked, "cases", OF_CASES, cases(reports))
    write_table(asked, "structures", OF_STRUCTURES, structures(reports))
    write_plot(asked, ReportFigure("dice", "", "", partial(draw, reports)))
    text = "\n\n".join(f"## {SHOWN[name]}\n\n{page(one)}" for name, one in reports.items())
    (asked.results() / "tables.md").write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    started(main, __doc__, RESULTS)
