"""Results of the probe: short experiments on the classifier that show whether attacks can work."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Gradients:
    """Gradients of the margin on a few cases, held against what small moves really do."""

    cases: int = 0
    missing: bool = False
    """The model gives no gradient at all."""
    vanishing: int = 0
    """Cases on which a move along the gradient promises next to nothing."""
    still_moving: int = 0
    """Of those, cases whose logits random moves change all the same."""
    judged: int = 0
    """Cases with a gradient large enough to be held against a small move."""
    misleading: int = 0
    """Of those, cases where the move does not give what the gradient promised."""
    steps: int = 0
    """Cases that moves of a tenth of a grey level leave as they are to the last bit, and larger
    ones do not."""


@dataclass(frozen=True)
class Search:
    """Cases that the plan's attacks with gradients left standing, attacked again."""

    norm: str
    eps: float
    cases: int
    """Attacked again."""
    longer: int
    """Of these, felled by more steps and restarts."""
    steps: int
    restarts: int
    black_box: int
    """Of those that then withstood, felled without gradients, here or by the plan."""
    queries: int
    """Asked at most by the attack without gradients, a case."""


@dataclass(frozen=True)
class Probed:
    """What the probe saw; stored with the run, so that a resumed run ends in the same report."""

    cases: int
    passes: int
    """Forward and backward passes of single images."""
    seconds: float
    repeat: float
    """Largest change of a logit between two passes of one batch, over the spread of logits."""
    neighbours: float
    """The same between a batch and its halves."""
    training: tuple[str, ...]
    """Kinds of parts that stay in training mode."""
    gradients: Gradients
    boundless: int
    """Cases that no attack felled even where it might change every pixel at will."""
    search: Search | None = None
    """None where nothing was left standing."""
