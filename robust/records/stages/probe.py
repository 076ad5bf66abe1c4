"""Results of the probe: short experiments on the classifier that show gradient masking.

Stored with the run, so that a resumed run ends in the same report; not part of report.json.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Gradients:
    """Gradients of the margin on a few cases, compared with what small steps really change."""

    cases: int = 0
    """Number of cases."""
    missing: bool = False
    """Whether the model gives no gradient at all."""
    vanishing: int = 0
    """Cases on which the gradient predicts next to no change of the margin."""
    still_moving: int = 0
    """Of those, cases whose logits random changes move all the same."""
    judged: int = 0
    """Cases with a gradient large enough to be compared with a small step."""
    misleading: int = 0
    """Of those, cases where a step does not change the margin as the gradient predicts."""
    steps: int = 0
    """Cases whose logits are identical to the last bit after changes of a tenth of a grey level,
    and not after larger ones."""


@dataclass(frozen=True)
class Search:
    """Cases that the plan's attacks with gradients left correct, attacked again."""

    norm: str
    """`Linf` or `L2`."""
    eps: float
    """In [0, 1] units of the displayed image."""
    cases: int
    """Number of cases attacked again."""
    longer: int
    """Of these, misread after more steps and restarts."""
    steps: int
    """Steps of the longer attack."""
    restarts: int
    """Restarts of the longer attack."""
    black_box: int
    """Of those still correct after the longer attack, misread after an attack without gradients:
    the probe's own, or a black box of the plan."""
    queries: int
    """Most queries per case of the attack without gradients."""


@dataclass(frozen=True)
class LineSearch:
    """Cases that the plan's attacks with gradients left correct, searched along straight lines."""

    norm: str
    """`Linf` or `L2`."""
    eps: float
    """In [0, 1] units of the displayed image."""
    cases: int
    """Number of cases searched along and against the gradient."""
    everywhere: int
    """Of these, cases searched along averaged gradients, to other classes and at random too."""
    narrow: int
    """Cases misread on a stretch of a line too short for the steps of attacks, and not misread
    under further steps from the image."""
    away: int
    """The same for a longer stretch, where the gradient points away from it."""


@dataclass(frozen=True)
class Probed:
    """Everything that the probe observed."""

    cases: int
    """Number of cases probed."""
    passes: int
    """Forward and backward passes of single images."""
    seconds: float
    """Wall-clock time, in seconds."""
    repeat: float
    """Largest change of a logit between passes of one batch, over the spread of logits."""
    neighbours: float
    """Largest change of a logit between a batch and its halves, over the spread of logits."""
    training: tuple[str, ...]
    """Kinds of parts that stay in training mode after `eval()`."""
    gradients: Gradients
    """Gradients compared with small steps."""
    boundless: int
    """Cases that stay correct although the attack may change every pixel to any value."""
    search: Search | None = None
    """Attacks repeated where the plan's attacks failed; None where every case was misread."""
    lines: LineSearch | None = None
    """Search along lines where the plan's attacks failed; None where every case was misread."""
