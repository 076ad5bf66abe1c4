"""Summary of the measured coverage, as the tables of RESULTS.md.

Run: `python -m experiments.coverage.summary`. Reads `results/*.csv`; cells in which fewer than
half of the runs have an interval are left out.
"""

from __future__ import annotations

import pandas as pd

from experiments.coverage.measure import KINDS, RESULTS

ENOUGH = 20
"""Expected images on the rarer side from which on the mean coverage is judged."""


def kinds() -> list[str]:
    """A row for each kind of interval: least and mean coverage, now and before."""
    rows = [
        "| interval | cells | before, least | before, mean | least | mean, rarer side 20 or more |",
        "|---|---|---|---|---|---|",
    ]
    for kind in KINDS:
        table = pd.read_csv(RESULTS / f"{kind.lower()}.csv")
        now, before = (table[table.method == method] for method in ("now", "before"))
        now = now[now["without"] < 0.5]
        judged = now[now.rarer >= ENOUGH]
        old = [f"{before.held.min():.2f}", f"{before.held.mean():.2f}"] if len(before) else ["", ""]
        figures = [str(len(now)), *old, f"{now.held.min():.3f}", f"{judged.held.mean():.3f}"]
        rows.append(f"| {kind} | {' | '.join(figures)} |")
    return rows


def by_groups() -> list[str]:
    """Least coverage by number of groups."""
    rows, sizes = [], (10, 20, 50, 200)
    rows.append("| interval | " + " | ".join(f"{size} groups" for size in sizes) + " |")
    rows.append("|---" * (len(sizes) + 1) + "|")
    for kind in KINDS:
        table = pd.read_csv(RESULTS / f"{kind.lower()}.csv")
        now = table[(table.method == "now") & (table["without"] < 0.5)]
        least = now.groupby("groups").held.agg(["min", "max"])
        cells = [
            f"{least.loc[size, 'min']:.3f} to {least.loc[size, 'max']:.3f}"
            if size in least.index
            else "none"
            for size in sizes
        ]
        rows.append(f"| {kind} | {' | '.join(cells)} |")
    return rows


def widths() -> str:
    """Mean width of rates' intervals, as a share of Wilson's on the effective size."""
    table = pd.read_csv(RESULTS / "rate.csv")
    keys = ["groups", "correlation", "truth"]
    now, wilson = (table[table.method == name].set_index(keys) for name in ("now", "Wilson"))
    ratio = now.width / wilson.width
    return f"{ratio[now.rarer >= ENOUGH].mean():.3f} ({ratio.mean():.3f} over all cells)"


def gates() -> list[str]:
    """How often a gate passes what it should not, by what it wants."""
    table = pd.read_csv(RESULTS / "gates.csv")
    rows = [
        "| wanted | groups | false passes before, of 100 | false passes, of 100 |",
        "|---|---|---|---|",
    ]
    for (wanted, groups), cells in table.groupby(["wanted", "groups"]):
        old, new = (
            f"{100 * part.min():.1f} to {100 * part.max():.1f}"
            for part in (cells.false_passes_before, cells.false_passes)
        )
        rows.append(f"| {wanted:g} | {groups} | {old} | {new} |")
    return rows


def main() -> None:
    """Print the tables."""
    print("\n".join([*kinds(), "", *by_groups(), "", widths(), "", *gates()]))


if __name__ == "__main__":
    main()
