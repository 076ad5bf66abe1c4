"""Bounds of hidden units hold on every image of the box; sparse rows are the dense ones."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from robust.certificates import linear_relaxation
from robust.certificates.bounds.back_substitution import MOST_BYTES, Rows, carry_back
from robust.certificates.bounds.boxes import interval_boxes
from robust.certificates.bounds.largest_eps import largest_eps
from robust.certificates.bounds.network_graph import Affine, Maximum, ReLU
from robust.certificates.bounds.network_reading import read_cases
from robust.certificates.linear_relaxation import CROWN, linear_boxes
from tests.certificates.networks import (
    SOME_SLOW,
    box_of,
    corners_and_inside,
    radius,
    trained_network,
    values,
)

pytestmark = pytest.mark.usefixtures("read_once")


@pytest.mark.parametrize("kind", SOME_SLOW)
@pytest.mark.parametrize("eps", [pytest.param(0.05, marks=pytest.mark.slow), 0.3])
def test_every_unit_stays_within_its_bounds(kind: str, eps: float) -> None:
    model, x = trained_network(kind, 3)
    graph = read_cases(model, x).graph
    image = box_of(x, eps)
    intervals, tightened = interval_boxes(graph, image), linear_boxes(graph, image)
    narrower = 0.0
    for wide, narrow in zip(intervals, tightened, strict=True):
        assert bool((narrow.low >= wide.low - 1e-12).all())
        assert bool((narrow.high <= wide.high + 1e-12).all())
        narrower = max(narrower, float((narrow.low - wide.low).max()))
    assert narrower > 0.01 or kind in ("dense", "pooled")
    draws = corners_and_inside(x, torch.full((len(x),), eps, dtype=torch.float64), 200)
    for part in draws:
        for value, box in zip(values(graph, part), tightened, strict=True):
            assert bool((value >= box.low).all() and (value <= box.high).all())


@pytest.mark.parametrize("kind", SOME_SLOW)
def test_the_lines_are_on_the_right_side_of_every_relu_and_maximum(kind: str) -> None:
    """Random functions of each such node, against what it is made of alone."""
    model, x = trained_network(kind, 2)
    graph = read_cases(model, x).graph
    boxes = linear_boxes(graph, box_of(x, 0.2))
    generator = torch.Generator().manual_seed(0)
    part = corners_and_inside(x, torch.full((len(x),), 0.2, dtype=torch.float64), 100)
    for place, node in enumerate(graph.nodes):
        if not isinstance(node, ReLU | Maximum):
            continue
        shape = (len(x), *node.shape)
        coefficients = torch.randn(shape, generator=generator, dtype=torch.float64)
        below = carry_back(graph, boxes, place, Rows(coefficients, torch.arange(len(x))))
        for images in part:
            truth = (coefficients * values(graph, images)[place]).flatten(1).sum(1)
            bound = (below.coefficients * images).flatten(1).sum(1) + below.constant
            assert bool((bound <= truth + 1e-9).all())


@pytest.mark.parametrize("kind", SOME_SLOW)
def test_sparse_rows_give_the_bounds_of_dense_ones(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, x = trained_network(kind, 2)
    graph = read_cases(model, x).graph
    found: list[list[Tensor]] = []
    for sparse in (True, False):
        monkeypatch.setattr(linear_relaxation, "is_sparse", lambda node, answer=sparse: answer)
        boxes = linear_boxes(graph, box_of(x, 0.2))
        found.append([end for box in boxes for end in (box.low, box.high)])
    for one, other in zip(*found, strict=True):
        assert torch.allclose(one, other, rtol=1e-12, atol=1e-12)


def test_a_matrix_is_its_map_and_its_transpose() -> None:
    generator = torch.Generator().manual_seed(0)
    for kind in ("convolutional", "residual"):
        model, x = trained_network(kind, 2)
        graph = read_cases(model, x).graph
        for node in graph.nodes:
            if not isinstance(node, Affine):
                continue
            for one, matrix, shape in zip(node.maps, node.matrices, node.inputs, strict=True):
                dense = torch.from_numpy(matrix.toarray())
                z = torch.randn(3, *shape, generator=generator, dtype=torch.float64)
                y = torch.randn(3, *node.shape, generator=generator, dtype=torch.float64)
                flat = z.flatten(1)
                assert torch.allclose(one.forward(z).flatten(1), flat @ dense.T)
                assert torch.allclose(one.absolute(z).flatten(1), flat @ dense.abs().T)
                assert torch.allclose(one.transposed(y).flatten(1), y.flatten(1) @ dense)


def test_how_much_is_done_at_a_time_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = trained_network("deep", 3)
    x = x[:4]
    whole = radius(CROWN(), model, x)
    monkeypatch.setattr("robust.certificates.bounds.back_substitution.MOST_BYTES", MOST_BYTES >> 16)
    monkeypatch.setattr("robust.certificates.linear_relaxation.SPARSE_ROWS", 3)
    assert torch.allclose(radius(CROWN(), model, x), whole, rtol=1e-9)
    assert torch.allclose(radius(CROWN(), model, x[3:4]), whole[3:4], rtol=1e-9)


def test_the_largest_eps_is_proven_whatever_holds_beyond_it() -> None:
    limits = torch.tensor([0.0, 3e-4, 0.02, 0.7, 1.0, 0.1], dtype=torch.float64)

    def prove(rows: Tensor, eps: Tensor) -> Tensor:
        """Of the last case a second stretch holds, from .2 to .3."""
        held = (eps <= limits[rows]) | ((rows == 5) & (eps > 0.2) & (eps < 0.3))
        return torch.where(held, eps, 0.0)

    zero = torch.zeros(6, dtype=torch.float64)
    found = largest_eps(prove, zero, zero + 1e-3, 1e-4)
    assert bool((found[:5] <= limits[:5]).all())
    assert torch.allclose(found[:5], limits[:5], rtol=2e-4)
    assert 0.0999 < float(found[5]) <= 0.3
    part = largest_eps(lambda rows, eps: torch.minimum(eps, limits[rows]), zero, zero + 1e-3, 0.01)
    assert torch.equal(part[:5], limits[:5])
