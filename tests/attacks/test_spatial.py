"""Rotation and shift: exact where pixels meet pixels, and every move of the grid is tried."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from attacks import Streams
from attacks.spatial import SpatialGrid, turned_and_shifted


def moved(x: torch.Tensor, *move: float) -> torch.Tensor:
    return turned_and_shifted(x, torch.tensor([move], dtype=torch.float64).expand(len(x), 3))


def test_quarter_turns_and_whole_pixels_are_exact() -> None:
    x = torch.rand(3, 2, 8, 8, dtype=torch.float64)
    assert torch.equal(moved(x, 0, 0, 0), x)
    for quarters in (-1, 1, 2):
        turned = torch.rot90(x, quarters, (2, 3))
        assert torch.allclose(moved(x, 90 * quarters, 0, 0), turned, atol=1e-12)
    down = moved(x, 0, 2 / 8, -1 / 8)
    assert torch.allclose(down[:, :, 2:, :-1], x[:, :, :-2, 1:], atol=1e-12)
    assert not down[:, :, :2].abs().max() > 1e-12, "what comes in is black"


def test_any_angle_is_that_of_scipy() -> None:
    """On an image that is not square, turned about its centre and then shifted."""
    x = torch.rand(1, 1, 10, 14, dtype=torch.float64)
    for angle, down, right in ((17.0, 0.0, 0.0), (-33.0, 0.1, -0.15)):
        a = np.deg2rad(angle)
        back = np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]])
        centre = (np.array(x.shape[2:]) - 1) / 2
        offset = centre - back @ (centre + np.array([down * 10, right * 14]))
        padded = np.pad(x[0, 0].numpy(), 6)  # scipy treats the border otherwise
        expected = ndimage.affine_transform(
            padded, back, offset + 6 - back @ [6, 6], order=1, mode="constant"
        )[6:-6, 6:-6]
        assert np.allclose(moved(x, angle, down, right)[0, 0].numpy(), expected, atol=1e-10)


def test_the_grid_of_the_paper_has_775_moves() -> None:
    grid = SpatialGrid()
    moves = list(grid.moves())
    assert len(moves) == len(set(moves)) == grid.count == 31 * 5 * 5 == 775
    assert moves[0] == (0, 0, 0)
    assert {max(one) for one in zip(*moves, strict=True)} == {30.0, 0.1}
    assert list(SpatialGrid(10, 0.1, 1, 1).moves()) == [(0, 0, 0)]


def test_random_moves_fill_the_range_and_hang_on_no_neighbour() -> None:
    x, grid = torch.rand(400, 1, 4, 4), SpatialGrid(20, 0.1)
    drawn = grid.random(x, Streams.of(0, range(400)))
    assert torch.equal(grid.random(x[7:9], Streams.of(0, [7, 8])), drawn[7:9])
    assert 19 < float(drawn[:, 0].max()) <= 20 and -20 <= float(drawn[:, 0].min()) < -19
    assert 0.09 < float(drawn[:, 1:].abs().max()) <= 0.1


@pytest.mark.parametrize("wrong", [{"rotation": -1}, {"shift": 1}, {"angles": 0}, {"shifts": -2}])
def test_a_grid_without_sense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"SpatialGrid: {next(iter(wrong))} must be"):
        SpatialGrid(**wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="not for volumes"):
        moved(torch.zeros(1, 1, 2, 4, 4), 1, 0, 0)
