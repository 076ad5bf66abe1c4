"""Tables of outlines: each structure under each condition, and by the size of the structure."""

from __future__ import annotations

from collections.abc import Iterator

from robust.records import AttackResult, Estimate, OutlineScores, Report
from robust.report.tables.model import (
    Column,
    Table,
    TableCell,
    TableRow,
    auc_cell,
    number_cell,
    percent_cell,
)
from robust.report.tables.results import OVERALL, conditions
from robust.report.text.format import condition, json_key, plain

NOTE = (
    "Without attack and in the worst case at each eps; each structure in the image that hurts it "
    "most. Cases: those with the structure. A structure that is missed, or outlined where there is "
    "none, has Dice, IoU and surface Dice 0, and as HD95 the diagonal of its image; where there is "
    "none and none is outlined, the case does not count. Surface Dice at a tolerance of "
    "{tolerance}. Volume error: at most 100 % for each case. Missed: of the cases with "
    "the structure. Invented: of the cases without it. In brackets: 95 % intervals, by group."
)
SIZES = (
    "Mean Dice of the smallest third of the structures, the middle one and the largest, by true "
    "{what} in {unit}. In brackets: 95 % intervals, by group."
)
_SHARES = ("volume_error", "missed", "invented")
_MEANS = ("dice", "iou", "surface_dice")


def structure_table(report: Report) -> Table:
    """Scores of each structure, clean and in the worst case; no rows for classification."""
    task = report.task
    columns = (
        Column("structure"),
        Column("condition"),
        Column("cases"),
        Column("Dice", "dice"),
        Column("IoU", "iou"),
        Column("surface Dice", "surface-dice"),
        Column(f"HD95, {task.unit}", "hd95"),
        Column("volume error %", "volume-error"),
        Column("missed %", "missed"),
        Column("invented %", "invented"),
    )
    rows = tuple(
        TableRow(
            (
                TableCell(plain(name)),
                TableCell(condition(row)),
                TableCell(str(one.cases), path=f"{path}/cases"),
                *(auc_cell(_score(one, field), f"{path}/{field}") for field in _MEANS),
                number_cell(one.hd95, f"{path}/hd95", digits=1 if task.unit == "pixels" else 2),
                *(percent_cell(_score(one, field), f"{path}/{field}") for field in _SHARES),
            ),
            opens=row.kind == "clean",
        )
        for name, row, one, path in _by_structure(report)
    )
    unit = "pixel" if (task.tolerance, task.unit) == (1, "pixels") else task.unit
    note = NOTE.format(tolerance=f"{task.tolerance:g} {unit}")
    return Table("structures", "Scores by structure", columns, rows, note)


def size_table(report: Report) -> Table:
    """Dice of small, medium and large structures, clean and in the worst case at each eps."""
    shown = [(path, row) for path, row in conditions(report) if row.attack in OVERALL]
    columns = (
        Column("structure"),
        Column("size", "size-group"),
        Column("cases"),
        *(Column(f"Dice, {condition(row)}", "dice") for _, row in shown),
    )
    rows = []
    for name, row, one, _ in _by_structure(report):
        if row.kind != "clean":
            continue
        for place, group in enumerate(one.by_size):
            cells = (
                TableCell(plain(name)),
                TableCell(f"{group.name} ({group.smallest:.4g} to {group.largest:.4g})"),
                TableCell(str(group.cases)),
                *(_size_cell(path, other, name, place) for path, other in shown),
            )
            rows.append(TableRow(cells, opens=place == 0))
    note = SIZES.format(what="volume" if report.task.volumes else "area", unit=_unit(report))
    return Table("sizes", "Dice by the size of the structure", columns, tuple(rows), note)


def _by_structure(report: Report) -> Iterator[tuple[str, AttackResult, OutlineScores, str]]:
    """Each structure, its conditions, its scores there and where they lie in report.json."""
    for name in report.clean.scores.outlines:
        for path, row in conditions(report):
            one = row.scores.outlines.get(name)
            if row.attack in OVERALL and one is not None:
                yield name, row, one, f"{path}/scores/outlines/{json_key(name)}"


def _size_cell(path: str, row: AttackResult, name: str, place: int) -> TableCell:
    one = row.scores.outlines.get(name)
    groups = () if one is None else one.by_size
    where = f"{path}/scores/outlines/{json_key(name)}/by_size/{place}/dice"
    return auc_cell(groups[place].dice if place < len(groups) else None, where)


def _unit(report: Report) -> str:
    task = report.task
    if task.unit == "mm":
        return "mm³" if task.volumes else "mm²"
    return "voxels" if task.volumes else "pixels"


def _score(one: OutlineScores, name: str) -> Estimate | None:
    estimate: Estimate | None = getattr(one, name)
    return estimate
