"""The table of gates: required value, measured value, outcome."""

from __future__ import annotations

from collections.abc import Sequence

from robust.report.gates import GateResult
from robust.report.tables.model import Column, Table, TableCell, TableRow, auc_cell, percent_cell
from robust.report.text.format import NONE, flat, listed


def gate_table(results: Sequence[GateResult]) -> Table:
    """One row for each gate."""
    columns = ("gate", "outcome", "required", "measured", "reason")
    return Table(
        "gates",
        "Gates",
        tuple(Column(title) for title in columns),
        tuple(
            TableRow(
                (
                    TableCell(r.name),
                    TableCell(r.outcome),
                    TableCell(
                        NONE if r.required is None else f"at least {_required(r, r.required)}"
                    ),
                    _measured(r),
                    TableCell(r.why),
                ),
                strong=not r.passed,
            )
            for r in results
        ),
    )


def gate_line(results: Sequence[GateResult]) -> str:
    """`Gates: 2 of 3 passed; not passed: sensitivity at L∞ 1/255`; empty without gates."""
    if not results:
        return ""
    failed = [r.name for r in results if not r.passed]
    passed = f"Gates: {len(results) - len(failed)} of {len(results)} passed"
    return f"{passed}; not passed: {listed(failed)}" if failed else passed


def failed_gate_lines(results: Sequence[GateResult]) -> list[str]:
    """A line for each gate that did not pass."""
    return [flat(f"gate {r.outcome}: {r.name}: {r.why}") for r in results if not r.passed]


def _measured(result: GateResult) -> TableCell:
    cell = auc_cell if _is_decimal(result) else percent_cell
    return cell(result.estimate, result.path)


def _required(result: GateResult, value: float) -> str:
    return f"{value:g}" if _is_decimal(result) else f"{100 * value:g} %"


def _is_decimal(result: GateResult) -> bool:
    """Whether the number is printed as a decimal and not in percent."""
    return result.name.startswith(("paired AUC", "mean Dice"))
