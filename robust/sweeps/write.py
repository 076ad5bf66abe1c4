"""Tables of a sweep in long form: one line for each member, measure and condition."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from robust.files import replacing
from robust.records.sweep import SweepReport
from robust.report.text.format import plain

CSV, PARQUET = "sweep.csv", "sweep.parquet"
_FORMULA = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
"""What a spreadsheet takes for the beginning of a formula."""


def long_table(report: SweepReport) -> pd.DataFrame:
    """A line for each number, with a column for each axis."""
    levels = {member.name: member.levels for member in report.members}
    images = {member.name: member.train_images for member in report.members}
    rows = [
        {
            "member": number.member,
            **{axis.name: levels[number.member].get(axis.name, "") for axis in report.axes},
            "train images": images[number.member],
            "measure": number.measure,
            "condition": number.condition,
            "value": number.estimate.value,
            "low": number.estimate.low,
            "high": number.estimate.high,
            "cases": number.estimate.cases,
            "groups": number.estimate.groups,
        }
        for number in report.numbers
    ]
    columns = ["member", *(axis.name for axis in report.axes), "train images"]
    columns += ["measure", "condition", "value", "low", "high", "cases", "groups"]
    table = pd.DataFrame(rows, columns=list(dict.fromkeys(columns)))
    table["train images"] = table["train images"].astype("Int64")
    for name in ("value", "low", "high"):
        table[name] = table[name].astype("float64")
    return table


def write_tables(report: SweepReport, folder: Path) -> None:
    """Write sweep.csv and sweep.parquet; in CSV an apostrophe guards what is no formula."""
    table = long_table(report)
    with replacing(folder / PARQUET) as partial:
        table.to_parquet(partial, index=False)
    guarded = table.copy()
    for name in guarded.select_dtypes(include=["object", "string"]).columns:
        guarded[name] = guarded[name].map(_guarded)
    with replacing(folder / CSV) as partial:
        guarded.to_csv(partial, index=False, lineterminator="\n", encoding="utf-8")


def _guarded(text: object) -> str:
    cell = plain(text)
    return f"'{cell}" if cell.startswith(_FORMULA) else cell
