"""Classifiers as segmenters of one pixel, so that attacks on pixels work on both."""

from __future__ import annotations

from torch import Tensor

from attacks.contract import Model
from attacks.dense import counted_pixels, right_pixels


def as_segmenter(
    model: Model, y: Tensor, target: Tensor | None
) -> tuple[Model, Tensor, Tensor | None]:
    """The same model, labels and targets; logits `(n, k)` become `(n, k, 1)`, labels `(n, 1)`."""
    if y.ndim > 1:
        return model, y, target
    return (
        lambda x: model(x).unsqueeze(2),
        y.unsqueeze(1),
        None if target is None else target.unsqueeze(1),
    )


def won_pixels(logits: Tensor, y: Tensor, target: Tensor | None) -> Tensor:
    """Pixels that count and are as the attacker wants them: `(n, pixels)` bool.

    Untargeted: wrong. Towards a target: equal to it.
    """
    if target is None:
        return counted_pixels(y) & ~right_pixels(logits, y)
    return right_pixels(logits, target)
