"""Threat model: a norm and a radius eps around the displayed image, inside the box [0, 1]."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from attacks.streams import Streams, Verbatim, call_text

NORMS = ("Linf", "L2")


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
        delta = (x_adv - x).flatten(1)
        return delta.abs().amax(1) if self.norm == "Linf" else _l2(delta)

    def project(self, x_adv: Tensor, x: Tensor) -> Tensor:
        """Euclidean projection onto the intersection of ball and box; exact in both norms."""
        if math.isinf(self.eps):
            return x_adv.clamp(0, 1)
        if self.norm == "Linf":
            return torch.clamp(x_adv, x - self.eps, x + self.eps).clamp(0, 1)
        return (x + _project_l2(x_adv - x, -x, 1 - x, self.eps)).clamp(0, 1)

    def steepest(self, gradient: Tensor) -> Tensor:
        """The direction of length 1 in this norm along which a linear function grows most."""
        if self.norm == "Linf":
            return gradient.sign()
        # A gradient of 1e-30 has a square that float32 cannot hold: scale by its largest entry.
        scaled = gradient / per_case(above_zero(gradient.flatten(1).abs().amax(1)), gradient)
        return scaled / per_case(above_zero(_l2(scaled)), gradient)

    def random(self, x: Tensor, streams: Streams) -> Tensor:
        """One image per case, drawn uniformly from the ball and then clipped to the box."""
        if math.isinf(self.eps):
            raise ValueError("a ball without a bound has no uniform distribution; give eps")
        if self.norm == "Linf":
            delta = (2 * streams.uniform(x) - 1) * self.eps
        else:
            direction = self.steepest(streams.normal(x))
            radius = streams.uniform(x[:, :1, :1, :1]).flatten() ** (1 / x[0].numel())
            delta = direction * per_case(radius * self.eps, x)
        return self.project(x + delta, x)


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
