"""Orthogonal PGD on classifier and detector: Bryniarski et al. 2021 (arXiv 2106.15023)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from attacks.adaptive.base import AdaptivePGD, JointEvaluation
from attacks.adaptive.contract import DetectorAccess
from attacks.threat import ThreatModel, above_zero, per_case


@dataclass(frozen=True)
class OrthogonalPGD(AdaptivePGD):
    """SelectivePGD along directions that leave the other constraint unchanged to first order.

    Use it where classifier and detector work against each other. The paper projects the gradient
    and steps along it; in L-inf the sign of a projection is not orthogonal any more, so here the
    step is the steepest of all orthogonal ones, in either norm.
    """

    stream_name: ClassVar[str] = "OrthogonalPGD"
    prefers_large_margin: ClassVar[bool] = True

    def direction(
        self, current: JointEvaluation, threat: ThreatModel, access: DetectorAccess
    ) -> Tensor:
        """Along one constraint, orthogonal to the gradient of the other."""
        up = current.gradient(current.margin)
        if current.suspicion is None:
            return threat.steepest(up)
        down = -current.gradient(current.suspicion)
        fooled = per_case(current.fooled, up)
        ascent, constraint = torch.where(fooled, down, up), torch.where(fooled, up, down)
        return orthogonal(ascent, constraint, threat)


def orthogonal(gradient: Tensor, normal: Tensor, threat: ThreatModel) -> Tensor:
    """The step of length 1 at most along which `gradient` rises most and `normal` not at all.

    0 where the two are parallel.
    """
    g, n = gradient.flatten(1), normal.flatten(1)
    # Lengths do not matter; at 1 no product underflows.
    g, n = (v / above_zero(v.abs().amax(1, keepdim=True)) for v in (g, n))
    if threat.norm == "Linf":
        return _in_the_cube(g, n).view_as(gradient)
    squares = n.square().sum(1, keepdim=True)
    part = (g * n).sum(1, keepdim=True) / above_zero(squares)
    left = g - part * n
    rounding = 64 * torch.finfo(g.dtype).eps * torch.linalg.vector_norm(g, dim=1, keepdim=True)
    parallel = torch.linalg.vector_norm(left, dim=1, keepdim=True) <= rounding
    return threat.steepest(left.masked_fill(parallel, 0.0).view_as(gradient))


def _in_the_cube(g: Tensor, n: Tensor) -> Tensor:
    """Maximise g.d over |d| <= 1 and n.d = 0, by the dual: min over s of the L1 norm of g - s n.

    The best s is a median of g / n with the weights |n|, and d the sign of g - s n; the pixels at
    the median itself, where that vanishes, take the value that makes n.d zero.
    """
    ratio = torch.where(n != 0, g / n, torch.inf)
    order = ratio.argsort(1)
    weight = n.abs().gather(1, order).cumsum(1)
    place = (weight < weight[:, -1:] / 2).sum(1, keepdim=True).clamp_max(n.shape[1] - 1)
    s = ratio.gather(1, order.gather(1, place))
    s = torch.where(s.isfinite(), s, 0.0)
    left = g - s * n
    rounding = 16 * torch.finfo(g.dtype).eps
    tied = (left.abs() <= rounding * (g.abs() + (s * n).abs())) & (n != 0)
    signs = torch.where(tied, 0.0, left.sign())
    missing = (n * signs).sum(1, keepdim=True)
    room = torch.where(tied, n.abs(), 0.0).sum(1, keepdim=True)
    share = (-missing / above_zero(room)).clamp(-1, 1)
    return torch.where(tied, n.sign() * share, signs)
