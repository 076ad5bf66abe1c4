"""The table of what is left of attacks once images are stored."""

from __future__ import annotations

from robust.records import Estimate, Report, Survival
from robust.report.tables.detection import number
from robust.report.tables.model import Column, Table, TableCell, TableRow
from robust.report.text.format import NONE
from robust.units import eps_text, norm_text

NOTE = (
    "Cases that some attack fools, of those that are right when clean, and the same once the image "
    "is a file: every pixel at the nearest level of its own file that keeps within eps; those that "
    "fail so, at levels chosen with the model in view; and after JPEG at quality 95, where no eps "
    "holds. The last column is no attack: clean images that JPEG alone turns. In brackets 95 % "
    "intervals by group."
)


def survival_table(report: Report) -> Table:
    """A line for each eps in L-inf."""
    columns = (
        Column("eps", "eps"),
        Column("grey levels", "grey-level"),
        Column("fooled % as computed"),
        Column("stored at the file's depth"),
        Column("stored, rounded knowingly"),
        Column("after JPEG"),
        Column("clean after JPEG"),
    )
    lines = tuple(_line(place, one) for place, one in enumerate(report.survival))
    return Table("survival", "What survives storing", columns, lines, NOTE)


def _line(place: int, one: Survival) -> TableRow:
    path = f"/survival/{place}"
    return TableRow(
        (
            TableCell(f"{norm_text('Linf')} {eps_text(one.eps)}", path=f"{path}/eps"),
            TableCell(_levels(one)),
            *(
                _rate(getattr(one, name), f"{path}/{name}")
                for name in (
                    *("computed", "quantised", "adversarially_rounded"),
                    *("jpeg", "jpeg_clean"),
                )
            ),
        )
    )


def _levels(one: Survival) -> str:
    if one.eps_levels is None or one.file_levels is None:
        return NONE
    return f"{one.eps_levels:.4g} of {one.file_levels}"


def _rate(estimate: Estimate | None, path: str) -> TableCell:
    return TableCell(NONE) if estimate is None else number(estimate, path, "", 100, 1)
