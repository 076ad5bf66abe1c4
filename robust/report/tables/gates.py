"""The table of gates: what was asked, what was found, whether it passed."""

from __future__ import annotations

from collections.abc import Sequence

from robust.report.gates import GateResult
from robust.report.tables.model import Column, Table, TableCell, TableRow
from robust.report.text.format import NONE, bracket, flat, listed


def gate_table(results: Sequence[GateResult]) -> Table:
    """One line a gate."""
    columns = ("gate", "outcome", "wanted", "seen", "why")
    return Table(
        "gates",
        "Gates",
        tuple(Column(title) for title in columns),
        tuple(
            TableRow(
                (
                    TableCell(r.name),
                    TableCell(r.outcome),
                    TableCell(NONE if r.wanted is None else f"at least {_text(r, r.wanted)}"),
                    _seen(r),
                    TableCell(r.why),
                ),
                strong=not r.passed,
            )
            for r in results
        ),
    )


def in_a_line(results: Sequence[GateResult]) -> str:
    """`Gates: 2 of 3 passed; not: sensitivity at L∞ 1/255`."""
    if not results:
        return ""
    wrong = [r.name for r in results if not r.passed]
    if not wrong:
        return f"Gates: {'the only one' if len(results) == 1 else f'all {len(results)}'} passed"
    held = len(results) - len(wrong)
    return f"Gates: {held} of {len(results)} passed; not: {listed(wrong)}"


def complaints(results: Sequence[GateResult]) -> list[str]:
    """A line for each gate that does not let the model pass."""
    return [flat(f"gate {r.outcome}: {r.name}: {r.why}") for r in results if not r.passed]


def _seen(result: GateResult) -> TableCell:
    e = result.estimate
    if e is None:
        return TableCell(NONE)
    if _is_auc(result):
        return TableCell(f"{e.value:.3f}", bracket(e, 1, 3), result.path)
    return TableCell(f"{100 * e.value:.1f}", bracket(e), result.path)


def _text(result: GateResult, value: float) -> str:
    return f"{value:g}" if _is_auc(result) else f"{100 * value:g} %"


def _is_auc(result: GateResult) -> bool:
    return result.name.startswith("AUC")
