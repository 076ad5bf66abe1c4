"""CROWN (Zhang et al. 2018, 1811.00866): linear bounds of a network, and the radius they prove."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor

from attacks.streams import Streams
from robust.certificates.bounds.back_substitution import LinearLower, Rows, carry_back, rows_at_once
from robust.certificates.bounds.boxes import (
    Box,
    image_box,
    interval_boxes,
    next_box,
    rounding_slack,
)
from robust.certificates.bounds.largest_eps import largest_eps
from robust.certificates.bounds.linear_maps import in_rows
from robust.certificates.bounds.network_graph import Affine, NetworkGraph, Pixels, ReLU
from robust.certificates.bounds.network_reading import ReadNetwork, check_network, read_cases
from robust.certificates.bounds.sparse_substitution import is_sparse, least_of_units, lines_before
from robust.certificates.contract import Certified
from robust.certificates.interval_bounds import interval_radius, require_tolerance
from robust.models.adapter import Adapter

INTERMEDIATE = ("crown", "interval")
BISECTIONS = 60
SPARSE_ROWS = 4096
"""Rows that are carried back at a time where they are sparse."""


@dataclass(frozen=True)
class CROWN:
    """Linear relaxation: the margin is bounded by a linear function of the image.

    Each ReLU is put between two lines, each maximum likewise, with the adaptive lower line of the
    paper. It proves at least what interval bounds prove. The proof holds for the network as it
    runs, rounding included.
    """

    norm: ClassVar[str] = "Linf"
    function: ClassVar[Literal["network", "smoothed"]] = "network"
    alpha: ClassVar[None] = None
    cap: ClassVar[None] = None

    intermediate: str = "crown"
    """How hidden units are bounded: `crown`, by linear functions too, or `interval`, which costs
    far less and proves less."""
    tolerance: float = 0.01
    """The search for the radius ends where it is known to this share of itself."""

    def __post_init__(self) -> None:
        require_tolerance(self.tolerance)
        if self.intermediate not in INTERMEDIATE:
            raise ValueError(f"intermediate must be crown or interval, not {self.intermediate!r}")

    @property
    def passes(self) -> int:
        """About ten sizes, with two passes for each hidden unit that may change its sign."""
        return 300 if self.intermediate == "interval" else 5000

    def check(self, model: Adapter) -> None:
        """InputError for a network that cannot be read."""
        check_network(model)

    @torch.no_grad()
    def __call__(self, model: Adapter, x: Tensor, streams: Streams) -> Certified:
        """Classes that the network predicts, and proven radii."""
        cases = read_cases(model, x)
        proven = interval_radius(cases, self.tolerance)
        at_once = max(1, rows_at_once(cases.graph))
        parts = []
        for start in range(0, len(x), at_once):
            here = slice(start, start + at_once)
            parts.append(self._radius(cases[here], proven[here]))
        radius = torch.cat(parts)
        return Certified(cases.predicted.to(x.device), radius.to(x.device))

    def _radius(self, cases: ReadNetwork, proven: Tensor) -> Tensor:
        first = (2 * proven).clamp_min(1e-3)
        for tighten in (False, True)[: 1 + (self.intermediate == "crown")]:

            def prove(rows: Tensor, eps: Tensor, tighten: bool = tighten) -> Tensor:
                return _prove(cases[rows], eps, tighten)

            proven = largest_eps(prove, proven, first, self.tolerance)
            first = (1.4 * proven).clamp_min(1e-3)
        return proven


def _prove(cases: ReadNetwork, eps: Tensor, tighten: bool) -> Tensor:
    """Up to which size, at most `eps`, each case is proven.

    Linear bounds on the box of `eps` hold on every smaller one, so that they prove a smaller size
    where they do not prove that one.
    """
    boxes = linear_boxes(cases.graph, image_box(cases.x, eps), tighten)
    rows, _ = cases.margins()
    below = _carried_back(cases.graph, boxes, len(boxes) - 1, rows)
    required = cases.required(boxes[-1].error)
    low, high = torch.zeros_like(eps), eps
    for step in range(BISECTIONS):
        tried = eps if step == 0 else (low + high) / 2
        image = image_box(cases.x, tried)
        margins = below.least(image.low[rows.case], image.high[rows.case])
        held = (margins > required).view(len(eps), -1).all(1)
        low, high = torch.where(held, tried, low), torch.where(held, high, tried)
        if bool((low == eps).all()):
            break
    return low


def linear_boxes(graph: NetworkGraph, image: Box, tighten: bool = True) -> list[Box]:
    """Intervals of all nodes, with linear bounds of what ReLUs and maxima are applied to.

    A unit that intervals show to have one sign under a ReLU needs no tighter ones. Without
    `tighten` intervals do for all.
    """
    if not tighten:
        return interval_boxes(graph, image)
    wanted = _wanted(graph)
    boxes: list[Box] = []
    for place, node in enumerate(graph.nodes):
        box = image if isinstance(node, Pixels) else next_box(graph, node, boxes)
        boxes.append(box)
        if place in wanted:
            needed = box.high > box.low
            if wanted[place]:
                needed = (box.low < 0) & (box.high > 0)
            boxes[place] = _tightened(graph, boxes, place, needed)
    return boxes


def _wanted(graph: NetworkGraph) -> dict[int, bool]:
    """Affine nodes under a ReLU or maximum, whose intervals are not the best there are.

    True: ReLUs alone ask for them, so that units with a known sign are known well enough.
    """
    independent, best = {0}, {0}
    for place, node in enumerate(graph.nodes):
        if isinstance(node, Affine) and len(node.parents) == 1:
            elementwise, parent = node.maps[0].elementwise, node.parents[0]
            if parent in independent or (elementwise and parent in best):
                best.add(place)
            if parent in independent and elementwise:
                independent.add(place)
    wanted: dict[int, bool] = {}
    for node in graph.nodes:
        for parent in node.parents:
            affine = isinstance(graph.nodes[parent], Affine)
            if affine and not isinstance(node, Affine) and parent not in best:
                wanted[parent] = wanted.get(parent, True) and isinstance(node, ReLU)
    return wanted


def _tightened(graph: NetworkGraph, boxes: list[Box], place: int, needed: Tensor) -> Box:
    """The box of a node, narrowed for the units needed, `(n, *shape)` bool."""
    box = boxes[place]
    low, high = in_rows(box.low).clone(), in_rows(box.high).clone()
    error = in_rows(rounding_slack(graph, box.error))
    node = graph.nodes[place]
    assert isinstance(node, Affine)
    sparse = is_sparse(node)
    lines = lines_before(graph, boxes) if sparse else {}
    for at in _chunks(in_rows(needed), SPARSE_ROWS if sparse else rows_at_once(graph)):
        lower, minus_upper = (
            least_of_units(graph, boxes[0], lines, place, at, sign)
            if sparse
            else _least_of_units(graph, boxes, place, at, sign)
            for sign in (1.0, -1.0)
        )
        low[at] = torch.maximum(low[at], lower - error[at])
        high[at] = torch.minimum(high[at], error[at] - minus_upper)
    return replace(box, low=low.view_as(box.low), high=high.view_as(box.high))


def _least_of_units(
    graph: NetworkGraph, boxes: list[Box], place: int, at: tuple[Tensor, Tensor], sign: float
) -> Tensor:
    """As `least_of_units`, with dense rows."""
    case, unit = at
    shape = graph.nodes[place].shape
    chosen = torch.zeros(len(case), torch.Size(shape).numel(), dtype=torch.float64)
    chosen[torch.arange(len(case)), unit] = sign
    below = carry_back(graph, boxes, place, Rows(chosen.view(-1, *shape), case))
    return below.least(boxes[0].low[case], boxes[0].high[case])


def _chunks(needed: Tensor, at_once: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Cases and units of what is needed, `(n, units)` bool; of one case each where they are many.

    The relaxation of one case is then shared by its rows, in place of a copy for each.
    """
    batches = [needed] if int(needed.sum()) <= at_once else list(needed[:, None])
    before = 0
    for batch in batches:
        case, unit = batch.nonzero().unbind(1)
        for start in range(0, len(case), at_once):
            here = slice(start, start + at_once)
            yield case[here] + before, unit[here]
        before += len(batch)


def _carried_back(graph: NetworkGraph, boxes: list[Box], start: int, rows: Rows) -> LinearLower:
    """`carry_back`, a few rows at a time."""
    found = [carry_back(graph, boxes, start, part) for part in _parts(rows, rows_at_once(graph))]
    return LinearLower(
        torch.cat([one.coefficients for one in found]), torch.cat([one.constant for one in found])
    )


def _parts(rows: Rows, at_once: int) -> Iterator[Rows]:
    for start in range(0, len(rows.case), at_once):
        here = slice(start, start + at_once)
        yield Rows(rows.coefficients[here], rows.case[here])
