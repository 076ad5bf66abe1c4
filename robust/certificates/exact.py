"""Exact verification by mixed-integer programming (Tjeng et al. 2019, 1711.07356) of toys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import Bounds, LinearConstraint, OptimizeResult, milp
from torch import Tensor

from attacks.streams import Streams
from robust.certificates.bounds.boxes import Box, image_box
from robust.certificates.bounds.linear_maps import in_rows
from robust.certificates.bounds.network_graph import (
    Affine,
    Maximum,
    NetworkGraph,
    Node,
    Pixels,
    ReLU,
)
from robust.certificates.bounds.network_reading import ReadNetwork, check_network, read_cases
from robust.certificates.contract import Certified
from robust.certificates.linear_relaxation import linear_boxes
from robust.errors import InputError
from robust.models.adapter import Adapter

Array = npt.NDArray[np.float64]
SOLVER = 1e-6
"""By how much the solver may miss a constraint; the radius is smaller by it."""
SOLVED, INFEASIBLE = 0, 2


@dataclass(frozen=True)
class ExactBounds:
    """The distance of the nearest image with another class, by mixed-integer programming.

    For networks of a few dozen ReLUs: the time grows exponentially with those that can have either
    sign. The radius falls short of the exact one by the solver's tolerance, 1e-6.
    """

    norm: ClassVar[str] = "Linf"
    function: ClassVar[Literal["network", "smoothed"]] = "network"
    alpha: ClassVar[None] = None
    cap: ClassVar[None] = None
    passes: ClassVar[int] = 10_000

    most_units: int = 200
    """Largest number of ReLUs and entries of maxima; a larger network is refused."""

    def __post_init__(self) -> None:
        if self.most_units < 1:
            raise ValueError(f"most_units must be 1 or more, not {self.most_units}")

    def check(self, model: Adapter) -> None:
        """InputError for a network that cannot be read."""
        check_network(model)

    @torch.no_grad()
    def __call__(self, model: Adapter, x: Tensor, streams: Streams) -> Certified:
        """Classes that the network predicts, and proven radii; 1 where no image has another."""
        cases = read_cases(model, x)
        _require_toy(cases.graph, self.most_units)
        programme = _Programme(cases.graph)
        radius = torch.tensor(
            [programme.radius(cases[slice(case, case + 1)]) for case in range(len(x))],
            dtype=torch.float64,
        )
        return Certified(cases.predicted.to(x.device), radius.to(x.device))


def _require_toy(graph: NetworkGraph, most: int) -> None:
    """InputError for a network that a solver would not finish."""
    count = 0
    for node in graph.nodes:
        if isinstance(node, ReLU):
            count += torch.Size(node.shape).numel()
        elif isinstance(node, Maximum):
            count += node.windows.numel()
    if count > most:
        raise InputError(
            f"ExactBounds is for toy networks: this one has {count} ReLUs and entries of maxima, "
            f"most_units = {most}; use CROWN, or raise most_units and expect hours"
        )


@dataclass(frozen=True)
class _Expression:
    """Affine functions of the unknowns: `matrix @ unknowns + shift`."""

    matrix: Array
    shift: Array


class _Programme:
    """A network as constraints on unknowns: pixels, units that bend, binaries, and eps last.

    The limits of units come from linear bounds over all images.
    """

    def __init__(self, graph: NetworkGraph) -> None:
        self.graph = graph
        self.pixels = torch.Size(graph.nodes[0].shape).numel()
        whole = torch.full((1, *graph.nodes[0].shape), 0.5, dtype=torch.float64)
        boxes = linear_boxes(graph, image_box(whole, torch.ones(1, dtype=torch.float64)))
        self.error = boxes[-1].error
        self.lower, self.upper = [0.0] * self.pixels, [1.0] * self.pixels
        self.whole = [0] * self.pixels
        plans = [self._unknowns(node, boxes) for node in graph.nodes]
        self.lower.append(0.0)
        self.upper.append(1.0)
        self.whole.append(0)
        self.count = len(self.lower)
        self.constraints: list[LinearConstraint] = []
        known: list[_Expression] = []
        for node, plan in zip(graph.nodes, plans, strict=True):
            known.append(self._expression(node, known, boxes, plan))
        self.logits = known[-1]

    def radius(self, case: ReadNetwork) -> float:
        """The least distance at which another class is level, less the solver's tolerance."""
        image = case.x.flatten().numpy()
        column = np.zeros((self.pixels, self.count))
        column[:, -1] = 1.0
        pixels = np.eye(self.pixels, self.count)
        near = [
            LinearConstraint(pixels - column, -np.inf, image),
            LinearConstraint(pixels + column, image, np.inf),
        ]
        rows, _ = case.margins()
        required = case.required(self.error).numpy()
        found = [1.0]
        for margin, least in zip(rows.coefficients.numpy(), required, strict=True):
            level = LinearConstraint(
                (margin @ self.logits.matrix)[None], -np.inf, least - margin @ self.logits.shift
            )
            found.append(self._least_eps([*near, level]))
        return max(0.0, min(found))

    def _least_eps(self, constraints: list[LinearConstraint]) -> float:
        objective = np.zeros(self.count)
        objective[-1] = 1.0
        for presolve in (True, False):  # which at times ends in an error of the solver's own
            found: OptimizeResult = milp(
                objective,
                constraints=[*self.constraints, *constraints],
                bounds=Bounds(np.array(self.lower), np.array(self.upper)),
                integrality=np.array(self.whole),
                options={"mip_rel_gap": 0, "presolve": presolve},
            )
            if found.status in (SOLVED, INFEASIBLE):
                break
        if found.status == INFEASIBLE:
            return 1.0
        if found.status != SOLVED:
            raise InputError(f"the solver of ExactBounds gives up: {found.message}; use CROWN")
        bound = found.get("mip_dual_bound")
        return float(found.fun if bound is None else min(bound, found.fun)) - SOLVER

    def _unknowns(self, node: Node, boxes: list[Box]) -> tuple[int, int]:
        """Where the unknown outputs of a node begin, and their binaries."""
        first = len(self.lower)
        if isinstance(node, Pixels | Affine):
            return first, first
        box = boxes[node.parents[0]]
        high = node.forward(box.high).flatten()
        low = node.forward(box.low).flatten()
        self._add(low.tolist(), high.tolist(), 0)
        binaries = len(self.lower)
        count = node.windows.numel() if isinstance(node, Maximum) else len(high)
        self._add([0.0] * count, [1.0] * count, 1)
        return first, binaries

    def _add(self, lower: list[float], upper: list[float], whole: int) -> None:
        self.lower += lower
        self.upper += upper
        self.whole += [whole] * len(lower)

    def _expression(
        self, node: Node, known: list[_Expression], boxes: list[Box], plan: tuple[int, int]
    ) -> _Expression:
        if isinstance(node, Pixels):
            return _Expression(np.eye(self.pixels, self.count), np.zeros(self.pixels))
        if isinstance(node, Affine):
            return _affine(self.graph, node, known)
        first, binaries = plan
        size = torch.Size(node.shape).numel()
        matrix = np.eye(self.count)[first : first + size]
        inner, box = known[node.parents[0]], boxes[node.parents[0]]
        if isinstance(node, ReLU):
            self._bend(inner, matrix, np.eye(self.count)[binaries : binaries + size], box)
        else:
            self._choose(inner, matrix, binaries, node, box)
        return _Expression(matrix, np.zeros(size))

    def _bend(self, z: _Expression, h: Array, binary: Array, box: Box) -> None:
        """Require h = max(0, z), with a binary that says whether z is positive."""
        low, high = (
            np.minimum(box.low.flatten().numpy(), 0),
            box.high.flatten().clamp_min(0).numpy(),
        )
        self.constraints += [
            LinearConstraint(h - z.matrix, z.shift, np.inf),
            LinearConstraint(h - z.matrix - low[:, None] * binary, -np.inf, z.shift - low),
            LinearConstraint(h - high[:, None] * binary, -np.inf, 0.0),
        ]

    def _choose(self, z: _Expression, h: Array, binaries: int, node: Maximum, box: Box) -> None:
        """Require h = max z over each window; one entry of each is chosen by its binary."""
        low = box.low.flatten().numpy()
        high = node.forward(box.high).flatten().numpy()
        windows = node.windows.numpy()
        for output, places in enumerate(windows):
            chosen = binaries + output * len(places) + np.arange(len(places))
            inside = places < len(low)
            one = np.zeros((1, self.count))
            one[0, chosen[inside]] = 1.0
            self.constraints.append(LinearConstraint(one, 1.0, 1.0))
            places, chosen = places[inside], chosen[inside]
            ahead = h[output] - z.matrix[places]
            room = high[output] - low[places]
            binary = np.zeros_like(ahead)
            binary[np.arange(len(places)), chosen] = room
            self.constraints += [
                LinearConstraint(ahead, z.shift[places], np.inf),
                LinearConstraint(ahead + binary, -np.inf, z.shift[places] + room),
            ]


def _affine(graph: NetworkGraph, node: Affine, known: list[_Expression]) -> _Expression:
    """An affine node of expressions: its maps are applied to the column of each unknown."""
    columns, shifts = [], []
    for parent in node.parents:
        shape = graph.nodes[parent].shape
        columns.append(torch.from_numpy(known[parent].matrix.T.copy()).view(-1, *shape))
        shifts.append(torch.from_numpy(known[parent].shift).view(1, *shape))
    matrix, shift = in_rows(node.linear(*columns)).T, node.forward(*shifts).flatten()
    return _Expression(matrix.numpy(), shift.numpy())
