"""The numbers of a report in long form: a row for each estimate, with its condition."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from robust.records import Report
from robust.report.numbers import ReportedNumber, reported_numbers

if TYPE_CHECKING:
    import pandas as pd

CONDITION_COLUMNS = (*("subject", "attack", "norm", "eps", "kind", "fitted_on", "subgroup", "of"),)
"""Attributes of `MeasuredUnder`."""
ESTIMATE_COLUMNS = ("value", "low", "high", "cases", "groups")
LONG_COLUMNS = (
    *("section", *CONDITION_COLUMNS, "measure", *ESTIMATE_COLUMNS, "controls", "doubt"),
)
"""Columns of the table, in order."""


def report_frame(report: Report) -> pd.DataFrame:
    """A row for each of `reported_numbers`, by the names of `LONG_COLUMNS`.

    Shares and eps are floats, counts are integers. `controls` is a text.
    """
    import pandas as pd

    rows = [_row(one) for one in reported_numbers(report)]
    table = pd.DataFrame(rows, columns=list(LONG_COLUMNS))
    table = table.astype(dict.fromkeys(("eps", "value", "low", "high"), "float64"))
    return table.astype(dict.fromkeys(("cases", "groups"), "Int64"))


def _row(one: ReportedNumber) -> dict[str, Any]:
    return {
        "section": one.section,
        **{name: getattr(one.under, name) for name in CONDITION_COLUMNS},
        "measure": one.measure,
        **{name: getattr(one.estimate, name) for name in ESTIMATE_COLUMNS},
        "controls": "; ".join(map(str, one.controls)),
        "doubt": one.doubt,
    }
