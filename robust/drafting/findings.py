"""Which findings a plan audits: one that the user named, or all that a multilabel model has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from robust.drafting.draft import Draft, Question
from robust.plan.findings import ALL, same_finding

FEWEST_OUTPUTS = 3
"""Of a model that is taken for one of several findings; two are absence and presence."""


@dataclass(frozen=True)
class AskedFor:
    """What the user named, and the outputs of the model."""

    finding: str | None = None
    """None: the user named none."""
    outputs: int | None = None
    """How many; None: not known."""
    names: tuple[str, ...] = ()
    """Of the outputs, where the model says them."""

    def are_all(self, known: Sequence[str]) -> bool:
        """Whether every finding of `known`, those that the data have labels of, is audited.

        As the user said, or where the model has an output for each, by name or number.
        """
        if self.finding is not None:
            return self.finding == ALL
        if self.outputs is None or self.outputs < FEWEST_OUTPUTS:
            return False
        if self.names:
            return sum(any(same_finding(name, one) for one in known) for name in self.names) > 1
        return self.outputs == len(known)


def draft_all(draft: Draft, wanted: AskedFor, known: Sequence[str], order: str) -> None:
    """Have every finding audited; `order` says why the outputs may be in that of `known`.

    Where it is not known, the names of the outputs are asked for.
    """
    draft.set(
        "model.finding",
        ALL,
        "each finding gets an audit of its own; or name one, or a list",
        guess=wanted.finding is None,
    )
    if wanted.names:
        return
    if order and wanted.outputs in (None, len(known)):
        why = f"{order}; the network's outputs must be in the same"
        draft.set("model.outputs", list(known), why, guess=True)
        return
    count = "the network's outputs" if wanted.outputs is None else f"its {wanted.outputs} outputs"
    draft.ask(
        Question(
            "model.outputs",
            f"Which finding is each of {count}, in order? The labels know: {', '.join(known)}.",
            list(known),
            several=True,
        )
    )
