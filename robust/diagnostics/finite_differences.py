"""Gradients compared with finite differences: vanishing, misleading, or of a step function."""

from __future__ import annotations

import torch
from torch import Tensor

from attacks import Model, Streams
from attacks.losses import AttackLoss, climb
from robust.models.acceleration.memory import memory_ran_out
from robust.models.proof import span
from robust.records.stages.probe import Gradients

LEVEL = 1 / 255
"""One grey level of an 8-bit image."""
TINY_CHANGE, LARGE_CHANGE = LEVEL / 10, 8 * LEVEL
"""Rounding to 8 bits hides the first and never the second."""
STEP_LENGTHS = (TINY_CHANGE, LEVEL / 3, LEVEL)
"""Steps that a gradient is compared with: the first whose effect float32 can show."""
VANISHING = 1e-4
"""Predicted change of the margin over one grey level, as a share of a typical margin, below which a
gradient vanishes: in a linear model the whole range of a pixel would change a fortieth of it."""
RESOLUTION = 1e-4
"""Smallest predicted change that is compared, as a share of the largest logit: a hundred times the
rounding of float32."""
MIN_CHANGE = 1e-3
"""Smallest change of a logit that counts, as a share of the spread of logits."""
FACTOR = 3.0
"""A gradient misleads where the real change is this many times larger or smaller."""


def probe_gradients(model: Model, x: Tensor, y: Tensor, streams: Streams) -> Gradients:
    """Compare the margin's predicted and real change on cases `x (n, c, *space)` that are right.

    Of outlines it is the mean margin of the pixels.
    """
    margin = AttackLoss("margin", y)
    with torch.no_grad():
        logits = model(x)
        signs = (streams.uniform(x) < 0.5).to(x) * 2 - 1
        after_large = model((x + LARGE_CHANGE * signs).clamp(0, 1))
        after_tiny = model((x + TINY_CHANGE * signs).clamp(0, 1))
    moves = (after_large - logits).abs().flatten(1).amax(1) > MIN_CHANGE * span(logits)
    steps = moves & (after_tiny == logits).flatten(1).all(1)
    try:
        _, gradient = climb(model, x, margin)
    except BaseException as error:  # a backward pass of foreign code may raise anything
        if isinstance(error, KeyboardInterrupt) or memory_ran_out(error):
            raise
        return Gradients(cases=len(x), missing=True, steps=int(steps.sum()))
    before = margin(logits)
    small = VANISHING * before.abs().mean()
    gradient = torch.nan_to_num(gradient, 0.0, 0.0, 0.0)
    vanishing = _predicted_change(gradient, x, LEVEL)[1] < small
    compared, misleading = torch.zeros_like(moves), torch.zeros_like(moves)
    for length in STEP_LENGTHS:
        moved, predicted = _predicted_change(gradient, x, length)
        with torch.no_grad():
            after = model(moved)
        if length == TINY_CHANGE:
            steps &= (after == logits).flatten(1).all(1)
        ratio = (margin(after) - before) / predicted
        usable = (
            (predicted > RESOLUTION * logits.abs().flatten(1).amax(1))
            & ~vanishing
            & ~compared
            & ~steps
        )
        compared |= usable
        misleading |= usable & ((ratio < 1 / FACTOR) | (ratio > FACTOR))
    return Gradients(
        cases=len(x),
        vanishing=int(vanishing.sum()),
        still_moving=int((vanishing & moves).sum()),
        judged=int(compared.sum()),
        misleading=int(misleading.sum()),
        steps=int(steps.sum()),
    )


def _predicted_change(gradient: Tensor, x: Tensor, length: float) -> tuple[Tensor, Tensor]:
    """The image after a step along the gradient within the box, and the predicted change `(n,)`."""
    moved = (x + length * gradient.sign()).clamp(0, 1)
    return moved, ((moved - x) * gradient).flatten(1).sum(1)
