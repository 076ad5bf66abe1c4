"""The tables of `results` in a page: the most that any peer found and ours missed, by attack.

Run: `python -m experiments.strength.summary` after `compare.py`; writes `results/summary.md`.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
Rows = list[dict[str, str]]


def read(table: str) -> Rows:
    """The small networks and, where they were run, the large ones."""
    rows: Rows = []
    for path in (RESULTS / f"{table}.csv", RESULTS / f"{table}_large.csv"):
        if path.exists():
            with path.open(newline="", encoding="utf-8") as file:
                rows += csv.DictReader(file)
    return rows


def markdown(columns: Sequence[str], lines: Iterable[Sequence[object]]) -> str:
    every = [columns, ["---"] * len(columns), *lines]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in every)


def fixed(rows: Rows) -> str:
    """A line for each attack, norm and peer: over all networks."""
    lines = []
    for key in dict.fromkeys((row["attack"], row["norm"], row["peer"]) for row in rows):
        own = [row for row in rows if (row["attack"], row["norm"], row["peer"]) == key]
        ran = [row for row in own if not row["peer_failed"]]
        failed = [row for row in own if row["peer_failed"]]
        total = [sum(int(row[name]) for row in ran) for name in ("peer_breaks", "ours_breaks")]
        most = max((int(row["only_peer"]) for row in ran), default="")
        less = sum(int(row["only_ours"]) for row in ran)
        why = f"{len(failed)} ({failed[0]['peer_failed']})" if failed else ""
        lines.append([*key, len(ran), *total, most, less, why])
    columns = ("attack", "norm", "peer", "networks", "peer breaks", "ours breaks")
    more = ("only the peer, at most on a network", "only ours, in all", "networks it failed on")
    return markdown((*columns, *more), lines)


def nearest(rows: Rows) -> str:
    """A line for each network and norm: ours beside the best peer."""
    lines = []
    for network, norm in dict.fromkeys((row["network"], row["norm"]) for row in rows):
        own = [row for row in rows if (row["network"], row["norm"]) == (network, norm)]
        mine = next(row for row in own if row["attack"] == "ours MinimumDistance")
        peers = [row for row in own if not row["attack"].startswith("ours") and not row["failed"]]
        near = min(peers, key=lambda row: float(row["median"]))
        best = max(peers, key=lambda row: float(row["optimality"]))
        ratio = f"{1 / float(near['median_over_ours']):.4f}"
        peer = [f"{row['attack']}, {row['optimality']}" for row in (best,)]
        lines.append([network, norm, ratio, near["attack"], mine["optimality"], *peer])
    columns = ("network", "norm", "our median / best peer's", "that peer")
    return markdown((*columns, "our optimality", "best peer's optimality"), lines)


def main() -> None:
    text = f"{fixed(read('fixed'))}\n\n{nearest(read('nearest'))}\n"
    (RESULTS / "summary.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
