"""The largest eps that a proof holds for, found case by case."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

SMALLEST = 1e-7
"""An eps below it counts as 0."""
Prove = Callable[[Tensor, Tensor], Tensor]
"""`prove(rows, eps)`: up to which size, at most eps, the cases of these rows are proven."""


def largest_eps(prove: Prove, proven: Tensor, first: Tensor, tolerance: float) -> Tensor:
    """The largest proven eps in [0, 1] of each case, `(n,)`: at least `proven`.

    It tries `first`, doubles or quarters until one eps holds and one does not, and bisects until
    they are nearer than `tolerance` times the larger. Every eps that holds is a proof of its own,
    so it does not matter that a larger one may hold where a smaller one does not.
    """
    proven = proven.clone()
    failed = torch.full_like(proven, torch.inf)
    eps = first.clamp(SMALLEST, 1.0)
    while True:
        apart = failed.isinf() | (failed - proven > tolerance * failed)
        rows = ((proven < 1) & apart & (eps > SMALLEST / 2)).nonzero()[:, 0]
        if not len(rows):
            return proven
        tried = eps[rows]
        reached = prove(rows, tried)
        held = reached >= tried
        proven[rows] = torch.maximum(proven[rows], reached)
        failed[rows] = torch.where(held, failed[rows], torch.minimum(failed[rows], tried))
        lower, upper = proven[rows], failed[rows]
        between = torch.where(lower > upper / 4, (lower + upper) / 2, (lower * upper).sqrt())
        between = torch.where(lower > 0, between, upper / 4)
        eps[rows] = torch.where(upper.isfinite(), between, (2 * tried).clamp_max(1.0))
