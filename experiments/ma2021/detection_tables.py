"""The tables of detection in RESULTS.md, as Markdown.

Run: `python -m experiments.ma2021.detection_tables` (seconds, after `detection.py` and
`selection.py`). Reads `results/detection.csv` and `results/selection.csv` and prints.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from experiments.ma2021.common import THREE, Options, read_table, started

SHOWN = ("PGD 0.25/255", "PGD 0.5/255", "PGD 1/255")
AREAS = ("paired_auc", "auc", "selection_auc")

Row = dict[str, str]


def cell(row: Row | None, name: str) -> str:
    """`.883 [.852, .911]`, or a dash where there is no number."""
    if row is None or not row[name]:
        return "–"  # noqa: RUF001  (an en dash on purpose)
    value = _short(row[name])
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return f"{value} [{_short(low)}, {_short(high)}]" if low else value


def _short(number: str) -> str:
    return f"{float(number):.3f}".removeprefix("0")


def markdown(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def small_attacks(found: list[Row]) -> str:
    """Every detector on PGD of three sizes, fitted on the same attack: the three figures."""
    places = {(r["model"], r["detector"], r["fitted_on"], r["shown"]): r for r in found}
    rows = []
    for kind, model in THREE.items():
        for shown in SHOWN:
            for name in dict.fromkeys(r["detector"] for r in found if r["model"] == model):
                row = places.get((model, name, shown, shown)) or places.get(
                    (model, name, "", shown)
                )
                if row is None:
                    continue
                mark = "by selection" if row["explained_by_selection"] else row["few"]
                figures = [cell(row, area) for area in AREAS]
                rows.append([kind, shown, row["images"], name, *figures, mark])
    columns = ("", "attack", "fallen", "detector", "paired", "all clean", "selection", "")
    return markdown(columns, rows)


def hardened(found: list[Row]) -> str:
    """The network on which few cases fall."""
    rows = [
        [
            *(row["eps"], f"{row['fallen']} of {row['images']}", row["detector"]),
            *(cell(row, area) for area in ("auc", "selection_auc", "paired_auc")),
            row["by_selection"],
        ]
        for row in found
    ]
    columns = ("eps", "fallen", "detector", "all clean", "selection", "paired", "")
    return markdown(columns, rows)


def main(asked: Options) -> None:
    results = asked.results()
    print(small_attacks(read_table(results / "detection.csv")))
    print()
    print(hardened(read_table(results / "selection.csv")))


if __name__ == "__main__":
    started(main, __doc__)
