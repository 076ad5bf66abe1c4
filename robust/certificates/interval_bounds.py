"""Interval bound propagation (Gowal et al. 2018, 1810.12715): the L-inf radius it proves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from attacks.streams import Streams
from robust.certificates.bounds.back_substitution import carry_back
from robust.certificates.bounds.boxes import image_box, interval_boxes
from robust.certificates.bounds.largest_eps import largest_eps
from robust.certificates.bounds.network_reading import ReadNetwork, check_network, read_cases
from robust.certificates.contract import Certified
from robust.models.adapter import Adapter

MOST_CASES_BYTES = 1 << 26
"""Of the intervals of all units of the cases that are at work at a time."""


@dataclass(frozen=True)
class IntervalBounds:
    """Interval bound propagation: each unit between two numbers, layer by layer.

    It is quick and proves little of a network that was not trained for it. The last layer is
    bounded on differences of logits. The proof holds for the network as it runs, rounding included.
    """

    norm: ClassVar[str] = "Linf"
    function: ClassVar[Literal["network", "smoothed"]] = "network"
    alpha: ClassVar[None] = None
    cap: ClassVar[None] = None
    passes: ClassVar[int] = 100

    tolerance: float = 0.01
    """The search for the radius ends where it is known to this share of itself."""

    def __post_init__(self) -> None:
        require_tolerance(self.tolerance)

    def check(self, model: Adapter) -> None:
        """InputError for a network that cannot be read."""
        check_network(model)

    @torch.no_grad()
    def __call__(self, model: Adapter, x: Tensor, streams: Streams) -> Certified:
        """Classes that the network predicts, and proven radii."""
        cases = read_cases(model, x)
        radius = interval_radius(cases, self.tolerance)
        return Certified(cases.predicted.to(x.device), radius.to(x.device))


def interval_radius(cases: ReadNetwork, tolerance: float) -> Tensor:
    """What intervals prove of each case, `(n,)`."""
    at_once = max(1, MOST_CASES_BYTES // (24 * cases.graph.units))
    found = []
    for start in range(0, len(cases.x), at_once):
        found.append(_radius(cases[slice(start, start + at_once)], tolerance))
    return torch.cat(found)


def _radius(cases: ReadNetwork, tolerance: float) -> Tensor:
    zero = cases.x.new_zeros(len(cases.x))
    return largest_eps(lambda rows, eps: _prove(cases[rows], eps), zero, zero + 1e-3, tolerance)


def _prove(cases: ReadNetwork, eps: Tensor) -> Tensor:
    """`eps` where intervals prove it, else 0."""
    boxes = interval_boxes(cases.graph, image_box(cases.x, eps))
    rows, _ = cases.margins()
    below = carry_back(cases.graph, boxes, len(boxes) - 1, rows, relax=False)
    margins = below.least(boxes[0].low[rows.case], boxes[0].high[rows.case])
    held = (margins > cases.required(boxes[-1].error)).view(len(eps), -1).all(1)
    return torch.where(held, eps, 0.0)


def require_tolerance(tolerance: float) -> None:
    """ValueError for a tolerance of no use."""
    if not 1e-6 <= tolerance <= 0.5:
        raise ValueError(f"tolerance must be between 1e-6 and 0.5, not {tolerance}")
