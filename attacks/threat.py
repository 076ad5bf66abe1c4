"""Threat model: a norm and a radius eps around the displayed image, inside the box [0, 1].

Images are `(n, c, h, w)`, or volumes `(n, c, d, h, w)` of d slices.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from attacks.streams import Streams, Verbatim, call_text

NORMS = ("Linf", "L2", "L2-slice")
"""`L2-slice`: L2 of each slice of a volume on its own, each with the whole eps. The distance is
that of the slice that was moved furthest. Of an image it is L2."""


def per_case(values: Tensor, like: Tensor) -> Tensor:
    """View `(n,)` as `(n, 1, 1, ...)` so that it broadcasts over the batch `like`."""
    return values.view(-1, *[1] * (like.ndim - 1))


def above_zero(v: Tensor) -> Tensor:
    """Lengths, or squares of them, to divide by: a zero vector stays zero."""
    return v.clamp_min(torch.finfo(v.dtype).tiny)


def _l2(v: Tensor) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(v.flatten(1), dim=1)
    return length


@dataclass(frozen=True)
class ThreatModel:
    """All images within `eps` of the displayed one in `norm`, and inside the box [0, 1].

    `eps` is in units of the displayed image, 0 <= eps; infinity stands for "the nearest one".
    """

    norm: str
    eps: float

    def __post_init__(self) -> None:
        if self.norm not in NORMS:
            raise ValueError(f"unknown norm {self.norm!r}; choose one of {', '.join(NORMS)}")
        if math.isnan(self.eps) or self.eps < 0:
            raise ValueError(f"eps must be 0 or more, not {self.eps}")

    @property
    def stream_key(self) -> Verbatim:
        """Names it in the seeds of random streams. It may never change: stored runs would."""
        return Verbatim(call_text("ThreatModel", norm=self.norm, eps=self.eps))

    def distance(self, x_adv: Tensor, x: Tensor) -> Tensor:
        """How far each image was moved, in this norm: `(n,)`."""
        delta = x_adv - x
        if self.norm == "Linf":
            return delta.flatten(1).abs().amax(1)
        return _l2(self._budgets(delta)).view(len(x), self._parts(x)).amax(1)

    def project(self, x_adv: Tensor, x: Tensor) -> Tensor:
        """Euclidean projection onto the intersection of ball and box; exact in all norms."""
        if math.isinf(self.eps):
            return x_adv.clamp(0, 1)
        if self.norm == "Linf":
            return torch.clamp(x_adv, x - self.eps, x + self.eps).clamp(0, 1)
        z, low, high = (self._budgets(v) for v in (x_adv - x, -x, 1 - x))
        return (x + self._whole(_project_l2(z, low, high, self.eps), x)).clamp(0, 1)

    def steepest(self, gradient: Tensor) -> Tensor:
        """The direction of length 1 in this norm along which a linear function grows most."""
        if self.norm == "Linf":
            return gradient.sign()
        v = self._budgets(gradient)
        # A gradient of 1e-30 has a square that float32 cannot hold: scale by its largest entry.
        scaled = v / per_case(above_zero(v.flatten(1).abs().amax(1)), v)
        return self._whole(scaled / per_case(above_zero(_l2(scaled)), v), gradient)

    def random(self, x: Tensor, streams: Streams) -> Tensor:
        """One image per case, drawn uniformly from the ball and then clipped to the box."""
        if math.isinf(self.eps):
            raise ValueError("a ball without a bound has no uniform distribution; give eps")
        if self.norm == "Linf":
            delta = (2 * streams.uniform(x) - 1) * self.eps
        else:
            direction = self._budgets(self.steepest(streams.normal(x)))
            drawn = streams.uniform(x.new_empty(len(x), self._parts(x)))
            radius = drawn.flatten() ** (1 / direction[0].numel())
            delta = self._whole(direction * per_case(radius * self.eps, direction), x)
        return self.project(x + delta, x)

    def _parts(self, v: Tensor) -> int:
        """How many parts of each image have a budget of their own: the slices of a volume, or 1."""
        return v.shape[2] if self.norm == "L2-slice" and v.ndim == 5 else 1

    def _budgets(self, v: Tensor) -> Tensor:
        """Each of these parts as a row."""
        return v if self._parts(v) == 1 else v.transpose(1, 2).flatten(0, 1)

    def _whole(self, rows: Tensor, like: Tensor) -> Tensor:
        """The inverse of `_budgets`: rows in the shape of `like`."""
        parts = self._parts(like)
        return rows if parts == 1 else rows.view(len(like), parts, *rows.shape[1:]).transpose(1, 2)


def _project_l2(z: Tensor, low: Tensor, high: Tensor, eps: float) -> Tensor:
    """Project steps `z` onto {||d|| <= eps, low <= d <= high}, where low <= 0 <= high.

    By the optimality conditions the projection is clip(s z, low, high) for the largest s <= 1 that
    keeps the norm within eps (clipping after scaling alone stops short of the corner where both
    bounds bind). The norm grows with s, and between two clippings its square is quadratic in s:
    solve for s with the present set of clipped pixels, clip anew, repeat. Starting from the scale
    that ignores the box, s only grows, and the loop ends when no further pixel is clipped.
    """
    s = (eps / above_zero(_l2(z))).clamp_max(1.0)
    for _ in range(64):
        scaled = z * per_case(s, z)
        free = (scaled > low) & (scaled < high)
        bound = torch.where(free, 0.0, scaled.clamp(low, high)).flatten(1).square().sum(1)
        room = torch.where(free, z, 0.0).flatten(1).square().sum(1)
        better = torch.where(room > 0, ((eps**2 - bound).clamp_min(0) / above_zero(room)).sqrt(), s)
        better = torch.maximum(better.clamp_max(1.0), s)
        if bool((better <= s * (1 + 4 * torch.finfo(s.dtype).eps)).all()):
            break
        s = better
    return (z * per_case(s, z)).clamp(low, high)
