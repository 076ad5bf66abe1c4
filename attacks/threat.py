"""Threat model: a norm and a radius eps around the displayed image, inside the box [0, 1].

Images are `(n, c, h, w)`, or volumes `(n, c, d, h, w)` of d slices.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from attacks.streams import Streams, Verbatim, call_text

NORMS = ("Linf", "L2", "L2-slice", "L1", "L0")
"""`L2-slice`: L2 of each slice of a volume on its own, each with the whole eps. The distance is
that of the slice that was moved furthest. Of an image it is L2.

`L1`: the sum of the absolute changes of all values. `L0`: the number of pixels that change; one
counts once, however many of its channels change."""


def per_case(values: Tensor, like: Tensor) -> Tensor:
    """View `(n,)` as `(n, 1, 1, ...)` so that it broadcasts over the batch `like`."""
    return values.view(-1, *[1] * (like.ndim - 1))


def above_zero(v: Tensor) -> Tensor:
    """Lengths, or squares of them, to divide by: a zero vector stays zero."""
    return v.clamp_min(torch.finfo(v.dtype).tiny)


def pixel_sums(values: Tensor) -> Tensor:
    """The sum over the channels of each pixel: `(n, pixels)`."""
    sums: Tensor = values.flatten(2).sum(1)
    return sums


def keep_pixels(values: Tensor, kept: Tensor) -> Tensor:
    """`values` with zeros at all pixels but those kept, `(n, pixels)` bool."""
    return torch.where(kept.view(len(values), 1, *values.shape[2:]), values, 0.0)


def largest(values: Tensor, count: int) -> Tensor:
    """Where the largest entries of each row are, `(n, m)` bool; of equal ones the first."""
    places = values.sort(dim=1, descending=True, stable=True).indices[:, :count]
    return torch.zeros_like(values, dtype=torch.bool).scatter(1, places, True)


def _l2(v: Tensor) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(v.flatten(1), dim=1)
    return length


@dataclass(frozen=True)
class ThreatModel:
    """All images within `eps` of the displayed one in `norm`, and inside the box [0, 1].

    `eps` is in units of the displayed image, in L0 a number of pixels, 0 <= eps; infinity stands
    for "the nearest one".
    """

    norm: str
    eps: float

    def __post_init__(self) -> None:
        if self.norm not in NORMS:
            raise ValueError(f"unknown norm {self.norm!r}; choose one of {', '.join(NORMS)}")
        if math.isnan(self.eps) or self.eps < 0:
            raise ValueError(f"eps must be 0 or more, not {self.eps}")
        if self.norm == "L0" and math.isfinite(self.eps) and self.eps != int(self.eps):
            raise ValueError(f"eps in L0 is a whole number of pixels, not {self.eps}")

    @property
    def stream_key(self) -> Verbatim:
        """Names it in the seeds of random streams. It may never change: stored runs would."""
        return Verbatim(call_text("ThreatModel", norm=self.norm, eps=self.eps))

    def distance(self, x_adv: Tensor, x: Tensor) -> Tensor:
        """How far each image was moved, in this norm: `(n,)`."""
        delta = x_adv - x
        if self.norm == "Linf":
            return delta.flatten(1).abs().amax(1)
        if self.norm == "L1":
            return delta.flatten(1).abs().sum(1)
        if self.norm == "L0":
            return pixel_sums((x_adv != x).to(x)).count_nonzero(1).to(x)
        return _l2(self._budgets(delta)).view(len(x), self._parts(x)).amax(1)

    def project(self, x_adv: Tensor, x: Tensor) -> Tensor:
        """Euclidean projection onto the intersection of ball and box; exact in all norms."""
        if math.isinf(self.eps):
            return x_adv.clamp(0, 1)
        if self.norm == "Linf":
            return torch.clamp(x_adv, x - self.eps, x + self.eps).clamp(0, 1)
        if self.norm == "L1":
            return project_l1(x_adv, x, self.eps)
        if self.norm == "L0":
            return project_l0(x_adv, x, int(self.eps))
        z, low, high = (self._budgets(v) for v in (x_adv - x, -x, 1 - x))
        return (x + self._whole(_project_l2(z, low, high, self.eps), x)).clamp(0, 1)

    def steepest(self, gradient: Tensor) -> Tensor:
        """The direction of length 1 in this norm along which a linear function grows most.

        In L1 that is one value; in L0 one pixel, each of its channels by 1.
        """
        if self.norm == "Linf":
            return gradient.sign()
        if self.norm == "L1":
            one = largest(gradient.flatten(1).abs(), 1).view_as(gradient)
            return torch.where(one, gradient.sign(), 0.0)
        if self.norm == "L0":
            return keep_pixels(gradient.sign(), largest(pixel_sums(gradient.abs()), 1))
        v = self._budgets(gradient)
        # A gradient of 1e-30 has a square that float32 cannot hold: scale by its largest entry.
        scaled = v / per_case(above_zero(v.flatten(1).abs().amax(1)), v)
        return self._whole(scaled / per_case(above_zero(_l2(scaled)), v), gradient)

    def random(self, x: Tensor, streams: Streams) -> Tensor:
        """One image per case, drawn uniformly from the ball and then clipped to the box.

        In L0 from the ball inside the box: pixels at random, each channel uniform in [0, 1].
        """
        if math.isinf(self.eps):
            raise ValueError("a ball without a bound has no uniform distribution; give eps")
        if self.norm == "L1":
            return self.project(x + self.eps * _uniform_in_l1(x, streams), x)
        if self.norm == "L0":
            chosen = largest(streams.normal(x[:, :1]).abs().flatten(1), int(self.eps))
            return x + keep_pixels(streams.uniform(x) - x, chosen)
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


def _uniform_in_l1(x: Tensor, streams: Streams) -> Tensor:
    """Uniform in the L1 ball of radius 1: exponential lengths with random signs, over their sum.

    Half the sum of two squared normal draws is exponential, and both are zero where an attack may
    not touch. One length more in the sum makes the ball of its surface.
    """
    first, second = streams.normal(x), streams.normal(x)
    lengths = (first.square() + second.square()) / 2
    inner = -torch.log1p(-streams.uniform(x.new_empty(len(x))))
    total = lengths.flatten(1).sum(1) + inner
    return first.sign() * lengths / per_case(above_zero(total), x)


def project_l1(x_adv: Tensor, x: Tensor, eps: float | Tensor) -> Tensor:
    """Exact projection onto the L1 ball of radius `eps`, one or `(n,)`, and the box.

    By the optimality conditions each step z becomes sign(z) min(max(|z| - t, 0), room), with room
    up to the box and the smallest t >= 0 that keeps the sum within eps (Croce and Hein 2021, arXiv
    2103.01208). The sum is linear in t between the values at which some |z| - t passes 0 or its
    room: sort these and go down from the largest.
    """
    z = (x_adv - x).double().flatten(1)
    room = torch.where(z > 0, 1 - x.double().flatten(1), x.double().flatten(1))
    size = z.abs()
    limit = torch.as_tensor(eps, dtype=z.dtype, device=z.device).expand(len(z))
    bends, order = torch.cat([size, size - room], 1).sort(dim=1, descending=True, stable=True)
    # Below |z| a value adds to the sum as t falls, below |z| - room no longer.
    slope = torch.where(order < size.shape[1], 1.0, -1.0).to(z).cumsum(1)
    rises = slope[:, :-1] * (bends[:, :-1] - bends[:, 1:])
    sums = F.pad(rises.cumsum(1), (1, 0))
    last = ((sums <= limit[:, None]).sum(1, keepdim=True) - 1).clamp_min(0)
    missing = limit[:, None] - sums.gather(1, last)
    steepness = slope.gather(1, last)
    further = torch.where(steepness > 0, missing / steepness.clamp_min(1), 0.0)
    t = (bends.gather(1, last) - further).clamp_min(0)
    step = z.sign() * torch.minimum((size - t).clamp_min(0), room)
    return (x.double() + step.view_as(x)).to(x).clamp(0, 1)


def project_l0(x_adv: Tensor, x: Tensor, eps: int) -> Tensor:
    """Exact projection onto images in the box with at most `eps` changed pixels.

    A pixel that is kept saves the squared length of its step, less what the box cuts off.
    """
    z, inside = x_adv - x, x_adv.clamp(0, 1)
    saved = pixel_sums(z.square() - (x_adv - inside).square())
    return x + keep_pixels(inside - x, largest(saved, eps))


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
