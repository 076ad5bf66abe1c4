"""The table of visibility: size of the changes in grey levels, PSNR and SSIM."""

from __future__ import annotations

from robust.records import Report, Visibility
from robust.report.tables.model import Column, Table, TableCell, TableRow
from robust.report.text.format import NONE
from robust.report.text.opening import levels_text, ssim_text
from robust.units import printed_threat

NOTE = (
    "Of the worst case: for each image that fools the model, the most damaging change within eps. "
    "PSNR (peak signal-to-noise ratio) compares it with the clean image; higher is less visible. "
    "SSIM (structural similarity, 1 for equal images) was measured on the example images alone. "
    "Whether a reader sees a change was not tested: it depends on screen, window and reader."
)


def visibility_table(report: Report) -> Table:
    """One row for each norm and eps at which an image fools."""
    columns = (
        Column("eps", "eps"),
        Column("images that fool"),
        Column("largest change of a pixel, grey levels of 255 (median)"),
        Column("PSNR, dB (median)", "psnr"),
        Column("PSNR, dB (lowest)", "psnr"),
        Column("SSIM of the example images", "ssim"),
    )
    rows = tuple(_row(report, one) for one in report.visibility)
    return Table("visibility", "How visible are the changes?", columns, rows, NOTE)


def _row(report: Report, one: Visibility) -> TableRow:
    return TableRow(
        tuple(
            TableCell(text)
            for text in (
                printed_threat(one.norm, one.eps),
                str(one.images),
                levels_text(one.median_linf),
                f"{one.median_psnr:.1f}",
                f"{one.lowest_psnr:.1f}",
                ssim_text(report.gallery, one) or NONE,
            )
        )
    )
