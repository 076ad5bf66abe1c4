"""Gradients held against finite differences: do they vanish, mislead, or belong to a staircase?"""

from __future__ import annotations

import torch
from torch import Tensor

from attacks import Model, Streams
from attacks.losses import climb, margin
from robust.models.acceleration.memory import memory_ran_out
from robust.records.probe import Gradients

LEVEL = 1 / 255
TINY, LARGE = LEVEL / 10, 8 * LEVEL
"""No rounding to 8 bits lets the first through; every one lets the second through."""
SMALL = (TINY, LEVEL / 3, LEVEL)
"""Moves that a gradient is held against: the first that float32 can show."""
NOTHING = 1e-4
"""Of a typical margin: at such a slope the whole range of a pixel would not cross a fortieth of
it, were the model linear."""
DIGITS = 1e-4
"""Of the largest logit: a hundred times the rounding of float32."""
MOVES = 1e-3
"""Of the spread of logits."""
FACTOR = 3.0


def probe_gradients(model: Model, x: Tensor, y: Tensor, streams: Streams) -> Gradients:
    """Compare on `x (n, c, h, w)`, cases that are right, what gradients promise with what is so."""
    with torch.no_grad():
        logits = model(x)
        signs = (streams.uniform(x) < 0.5).to(x) * 2 - 1
        shaken = model((x + LARGE * signs).clamp(0, 1))
        stirred = model((x + TINY * signs).clamp(0, 1))
    moves = (shaken - logits).abs().amax(1) > MOVES * span(logits)
    steps = moves & (stirred == logits).all(1)
    try:
        _, gradient = climb(model, x, lambda z: margin(z, y))
    except RuntimeError as error:
        if memory_ran_out(error):
            raise
        return Gradients(cases=len(x), missing=True, steps=int(steps.sum()))
    before = margin(logits, y)
    small = NOTHING * before.abs().mean()
    gradient = torch.nan_to_num(gradient, 0.0, 0.0, 0.0)
    vanishing = _promise(gradient, x, LEVEL)[1] < small
    judged, misleading = torch.zeros_like(moves), torch.zeros_like(moves)
    for length in SMALL:
        moved, promised = _promise(gradient, x, length)
        with torch.no_grad():
            after = model(moved)
        if length == TINY:
            steps &= (after == logits).all(1)
        ratio = (margin(after, y) - before) / promised
        seen = (promised > DIGITS * logits.abs().amax(1)) & ~vanishing & ~judged & ~steps
        judged |= seen
        misleading |= seen & ((ratio < 1 / FACTOR) | (ratio > FACTOR))
    return Gradients(
        cases=len(x),
        vanishing=int(vanishing.sum()),
        still_moving=int((vanishing & moves).sum()),
        judged=int(judged.sum()),
        misleading=int(misleading.sum()),
        steps=int(steps.sum()),
    )


def span(logits: Tensor) -> Tensor:
    """Between the largest and the smallest logit of a batch, never zero."""
    return (logits.max() - logits.min()).clamp_min(torch.finfo(logits.dtype).tiny)


def _promise(gradient: Tensor, x: Tensor, length: float) -> tuple[Tensor, Tensor]:
    """The image moved along the gradient as far as the box has room, and the rise promised."""
    moved = (x + length * gradient.sign()).clamp(0, 1)
    return moved, ((moved - x) * gradient).flatten(1).sum(1)
