"""The tables of detection in RESULTS.md, as Markdown.

Run: `python -m experiments.ma2021.detection_tables` (seconds, after `detection.py` and
`selection.py`). Reads `results/detection.csv`, `results/as_released.csv` and
`results/selection.csv` and prints.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from experiments.ma2021.common import THREE, Options, read_table, started

WHOLE, SMALL = ("PGD 1/255",), ("PGD 0.25/255", "PGD 0.5/255")
AREAS = ("paired_auc", "auc", "selection_auc")
OTHERS = (
    *(("KernelDensity", "PGD 0.5/255"), ("KernelDensity", "FGSM 1/255")),
    *(("DeepFeatures", "PGD 0.5/255"), ("DeepFeatures", "FGSM 1/255")),
    *(("Mahalanobis", "PGD 0.5/255"), ("Mahalanobis", "noise 1/255"), ("Mahalanobis", "blur")),
)
"""What detectors fitted on PGD at 1/255 are shown beside it."""

Row = dict[str, str]


def cell(row: Row | None, name: str) -> str:
    """`.883 [.852, .911]`, or a dash where there is no number."""
    if row is None or not row[name]:
        return "–"  # noqa: RUF001  (an en dash on purpose)
    value = _short(row[name])
    low, high = row.get(f"{name}_low"), row.get(f"{name}_high", "")
    return f"{value} [{_short(low)}, {_short(high)}]" if low else value


def _short(number: str) -> str:
    return f"{float(number):.3f}".removeprefix("0")


def markdown(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def own_attacks(found: list[Row], attacks: Sequence[str]) -> str:
    """Every detector on these attacks, fitted on the same one: the three figures."""
    rows = []
    for kind, model in THREE.items():
        for shown in attacks:
            for name in dict.fromkeys(r["detector"] for r in found if r["model"] == model):
                row = _row(found, model, name, shown, shown)
                if row is None:
                    continue
                mark = "by selection" if row["explained_by_selection"] else row["few"]
                figures = [cell(row, area) for area in AREAS]
                rows.append([kind, shown, row["images"], name, *figures, mark])
    columns = ("", "attack", "fallen", "detector", "paired", "all clean", "selection", "")
    return markdown(columns, rows)


def other_images(found: list[Row]) -> str:
    """Detectors fitted on PGD at 1/255, shown something else: the paired AUC."""
    kinds = _kinds(found)
    rows = [
        [
            f"{name}, {shown}",
            *(cell(_row(found, THREE[kind], name, *WHOLE, shown), AREAS[0]) for kind in kinds),
        ]
        for name, shown in OTHERS
    ]
    return markdown(("detector", *kinds), rows)


def released(found: list[Row], leaking: list[Row]) -> str:
    """The released protocol beside the leak-free one, each on PGD at 1/255 and on nothing."""
    kinds = _kinds(found)
    leaks = {(row["model"], row["detector"]): row for row in leaking}
    rows = []
    for name in dict.fromkeys(row["detector"] for row in leaking):
        own = [leaks.get((THREE[kind], name)) for kind in kinds]
        fair = [_row(found, THREE[kind], name, *WHOLE, *WHOLE) for kind in kinds]
        rows += [
            [name, "as released", *(cell(row, "auc_attacked") for row in own)],
            [
                "",
                "as released, on nothing",
                *(f"**{cell(row, 'auc_other_clean')}**" for row in own),
            ],
            ["", "leak-free, all clean", *(cell(row, "auc") for row in fair)],
            ["", "leak-free, paired", *(cell(row, "paired_auc") for row in fair)],
            ["", "leak-free, null control", *(cell(row, "null") for row in fair)],
        ]
    return markdown(("detector", "", *kinds), rows)


def _kinds(found: list[Row]) -> list[str]:
    models = {row["model"] for row in found}
    return [kind for kind, model in THREE.items() if model in models]


def _row(found: list[Row], model: str, detector: str, fitted: str, shown: str) -> Row | None:
    """The row of a detector; one without a head was fitted on nothing."""
    start = (model, detector, shown)
    for row in found:
        own = (row["model"], row["detector"], row["shown"])
        if own == start and row["fitted_on"] in ("", fitted):
            return row
    return None


def hardened(found: list[Row]) -> str:
    """The network on which few cases fall."""
    rows = [
        [
            *(row["eps"], f"{row['fallen']} of {row['images']}", row["detector"]),
            *(cell(row, area) for area in AREAS),
            row["by_selection"],
        ]
        for row in found
    ]
    columns = ("eps", "fallen", "detector", "paired", "all clean", "selection", "")
    return markdown(columns, rows)


def main(asked: Options) -> None:
    results = asked.results()
    found = read_table(results / "detection.csv")
    leaking = read_table(results / "as_released.csv")
    tables = (
        own_attacks(found, WHOLE),
        other_images(found),
        released(found, leaking),
        own_attacks(found, SMALL),
        hardened(read_table(results / "selection.csv")),
    )
    print("\n\n".join(tables))


if __name__ == "__main__":
    started(main, __doc__)
