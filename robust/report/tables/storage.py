"""The table of attack success after the images are saved: quantisation and JPEG."""

from __future__ import annotations

from robust.records import Report, Survival
from robust.report.tables.model import Column, Table, TableCell, TableRow, percent_cell
from robust.report.text.format import NONE
from robust.report.text.words import words
from robust.units import printed_threat

NOTE = (
    "Share of the cases, all {right} without attack, that some attack fools. Saved: each "
    "pixel is rounded to the nearest level of its own file that stays within eps. Saved, rounded "
    "to keep the attack: if that fails, rounding chosen by the attacker. After JPEG (quality 95) "
    "the limit eps no longer applies. The last column is not an attack: unmodified images "
    "{jpeg}. In brackets: 95 % intervals, by group."
)


def storage_table(report: Report) -> Table:
    """One row for each eps in L-inf."""
    columns = (
        Column("eps", "eps"),
        Column("grey levels", "grey-level"),
        Column("fooled % as computed"),
        Column("saved at the bit depth of the file %"),
        Column("saved, rounded to keep the attack %"),
        Column("after JPEG %"),
        Column("unmodified images, after JPEG %"),
    )
    said = words(report)
    note = NOTE.format(right=said.right, jpeg=said.jpeg)
    rows = tuple(_row(place, one) for place, one in enumerate(report.survival))
    return Table("storage", "Effect of saving the image", columns, rows, note)


def _row(place: int, survival: Survival) -> TableRow:
    path = f"/survival/{place}"
    return TableRow(
        (
            TableCell(printed_threat("Linf", survival.eps), path=f"{path}/eps"),
            TableCell(_levels(survival)),
            *(
                percent_cell(getattr(survival, name), f"{path}/{name}")
                for name in ("computed", "quantised", "adversarially_rounded", "jpeg", "jpeg_clean")
            ),
        )
    )


def _levels(survival: Survival) -> str:
    if survival.eps_levels is None or survival.file_levels is None:
        return NONE
    return f"{survival.eps_levels:.4g} of {survival.file_levels}"
