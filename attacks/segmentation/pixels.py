"""What the attacker has won: pixels that are wrong, or that agree with the target."""

from __future__ import annotations

from torch import Tensor

from attacks.dense import counted_pixels, right_pixels


def won_pixels(logits: Tensor, y: Tensor, target: Tensor | None) -> Tensor:
    """Pixels that count and are as the attacker wants them: `(n, pixels)` bool.

    Untargeted: wrong. Towards a target: equal to it.
    """
    if target is None:
        return counted_pixels(y) & ~right_pixels(logits, y)
    return right_pixels(logits, target)
