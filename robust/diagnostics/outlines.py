"""Warnings about outlines: empty masks, gaps in them, poor clean outlines, weak attacks, windows.

Each check returns what it observed where its warning is raised, else None; `FLAG_TEXTS` says why
the warning matters and what to do.
"""

from __future__ import annotations

from robust.diagnostics.evidence import Evidence
from robust.records import AttackResult
from robust.units import at_eps, percent_text

RARELY = 0.05
"""Share of the cases without a structure up to which it may have been left out by mistake."""
FEW_WELL = 0.5
"""Share of the cases that are outlined well without attack, below which few are attacked."""
AS_STRONG = 0.9
"""Share of the loss of Dice of many steps that one step reaches where they are as strong."""
LEAST_LOSS = 0.02
"""Loss of mean Dice below which it says nothing which attack is stronger."""


def empty_masks(e: Evidence) -> str | None:
    """Raised if a structure is missing in more than 5 % of the masks."""
    if e.outlines is None:
        return None
    there = (e.outlines.true_volume > 0).sum(0)
    missing = [
        f"{name} in {count} of {len(e.cases)}"
        for name, count in zip(e.outlines.structures, there.tolist(), strict=True)
        if count < (1 - RARELY) * len(e.cases)
    ]
    return f"masks with the structure: {', '.join(missing)}" if missing else None


def gaps_in_masks(e: Evidence) -> str | None:
    """Raised if a structure is missing in a few masks, and the model outlines it there."""
    if e.outlines is None:
        return None
    absent = e.outlines.true_volume == 0
    drawn = absent & (e.outlines.predicted_volume > 0)
    found = [
        f"{name} in {int(count)}"
        for name, count, without in zip(
            e.outlines.structures, drawn.sum(0), absent.mean(0), strict=True
        )
        if count and without <= RARELY
    ]
    return f"outlined by the model and missing in the mask: {', '.join(found)}" if found else None


def poor_outlines(e: Evidence) -> str | None:
    """Raised if fewer than half of the clean images are outlined well."""
    well, dice = e.clean.scores.accuracy, e.clean.scores.dice
    if e.outlines is None or well is None or dice is None or well.value >= FEW_WELL:
        return None
    return (
        f"{percent_text(well.value)} of the clean images are outlined well; their mean Dice is "
        f"{dice.value:.2f}"
    )


def one_step_suffices(e: Evidence) -> str | None:
    """Raised if one step lowers Dice as much as the strongest attack of many steps at an eps."""
    before = e.clean.scores.dice
    if e.outlines is None or before is None:
        return None
    by_eps: dict[tuple[str, float | None], tuple[list[AttackResult], list[AttackResult]]] = {}
    for row in e.rows:
        if not row.baseline and row.scores.dice is not None:
            single, many = by_eps.setdefault((row.norm, row.eps), ([], []))
            (many if row.attack in e.iterative else single).append(row)
    for single, many in by_eps.values():
        one, strongest = _lowest(single), _lowest(many)
        if one is None or strongest is None:
            continue
        lost, most = before.value - one[0], before.value - strongest[0]
        if most > LEAST_LOSS and lost >= AS_STRONG * most and strongest[0] > LEAST_LOSS:
            names = f"{one[1].attack} and {strongest[1].attack}"
            return (
                f"{at_eps(names, one[1].norm, one[1].eps)} lower the mean Dice from "
                f"{before.value:.2f} to {one[0]:.2f} and {strongest[0]:.2f}"
            )
    return None


def _lowest(rows: list[AttackResult]) -> tuple[float, AttackResult] | None:
    known = [(row.scores.dice.value, row) for row in rows if row.scores.dice is not None]
    return min(known, key=lambda one: one[0]) if known else None


def other_window(e: Evidence) -> str | None:
    """Raised if images are attacked through another sliding window than they are judged by."""
    if e.windows is None:
        return None
    attacked, judged = e.windows
    return None if attacked == judged else f"attacked through {attacked}, judged by {judged}"
