"""Geometry near a decision boundary: projection onto a hyperplane in the box, line search."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from attacks.threat import ThreatModel, above_zero, per_case


def to_hyperplane(point: Tensor, normal: Tensor, gain: Tensor, threat: ThreatModel) -> Tensor:
    """The shortest step d, in the norm of `threat` and inside the box, with `normal . d = gain`.

    `point` is `(n, c, h, w)` in [0, 1], `gain` `(n,)` of either sign. Where the box allows no such
    point, d goes as far as it can. Along the steepest direction, clipped at the box, the gain grows
    with the length t as a concave, piecewise linear function: Newton's steps from 0 never pass the
    solution and reach it once no further pixel is clipped.
    """
    normal = torch.where(per_case(gain < 0, normal), -normal, normal)
    gain = gain.abs()
    direction = normal.sign() if threat.norm == "Linf" else normal
    room = torch.where(direction > 0, 1 - point, point)
    per_length, size = direction.abs(), normal.abs()
    gained = per_length * size
    t, going = torch.zeros_like(gain), torch.ones_like(gain, dtype=torch.bool)
    for _ in range(50):
        moved = torch.minimum(per_case(t, point) * per_length, room)
        free = moved < room
        missing = gain - (moved * size).flatten(1).sum(1)
        slope = torch.where(free, gained, 0.0).flatten(1).sum(1)
        step = torch.where(slope > 0, missing / above_zero(slope), 0.0).clamp_min(0)
        # Once done, a case stays as it is, however long its neighbours take.
        t = torch.where(going, t + step, t)
        going &= step > t * 1e-6
        if not bool(going.any()):
            break
    way: Tensor = direction.sign() * torch.minimum(per_case(t, point) * per_length, room)
    return way


def line_search(
    x: Tensor, best: Tensor, is_adversarial: Callable[[Tensor], Tensor], steps: int
) -> Tensor:
    """Bisect on the line from `x` to the adversarial `best`; the result is adversarial as well.

    `is_adversarial` maps images `(n, c, h, w)` to `(n,)` bool; each step calls it once.
    """
    outside = x.new_zeros(len(x))
    inside = torch.ones_like(outside)
    for _ in range(steps):
        middle = (outside + inside) / 2
        with torch.no_grad():
            success = is_adversarial(x + per_case(middle, x) * (best - x))
        inside = torch.where(success, middle, inside)
        outside = torch.where(success, outside, middle)
    return torch.where(per_case(inside < 1, x), x + per_case(inside, x) * (best - x), best)
