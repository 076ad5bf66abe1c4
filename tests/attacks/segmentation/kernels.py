"""What the best attacker reaches on a linear kernel over few pixels, by mixed-integer programming.

There pixels share what changes them, and no closed form is known. `matrix` is `(pixels, pixels)`:
the score of each pixel is `matrix @ x + bias`, positive on the structure.
"""

from __future__ import annotations

import numpy as np
from scipy import optimize

from tests.attacks.segmentation.closed_forms import Array, Mask, Scores

GAP = 1e-9
"""By how much a pixel has to be wrong; what lies nearer to the boundary is left out of a test."""


def kernel_matrix(kernel: Array, shape: tuple[int, int]) -> Array:
    """The linear map of a convolution with an odd kernel and zero padding."""
    rows, columns = shape
    reach = kernel.shape[0] // 2
    matrix = np.zeros((rows * columns, rows * columns))
    for i in range(rows):
        for j in range(columns):
            for di in range(-reach, reach + 1):
                for dj in range(-reach, reach + 1):
                    if 0 <= i + di < rows and 0 <= j + dj < columns:
                        column = (i + di) * columns + j + dj
                        matrix[i * columns + j, column] = kernel[reach + di, reach + dj]
    return matrix


def kernel_radii(matrix: Array, bias: float, x: Array, true: Mask) -> Array:
    """An eps in L-inf below which each pixel is right, whatever happens to the others: `(pixels,)`.

    Weights that fall on the zero padding do not count.
    """
    z = matrix @ x + bias
    ahead = np.where(true, z, -z)
    return np.maximum(ahead, 0) / np.abs(matrix).sum(1)


def lowest_scores(matrix: Array, bias: float, x: Array, true: Mask, eps: float) -> Scores:
    """The lowest accuracy, Dice and IoU at eps in L-inf and the box, each by an image of its own.

    Dice and IoU fall with each further pixel that is wrong, so it is enough to know how many of the
    background can be wrong at most for each number of the structure.
    """
    pixels, size = len(x), int(true.sum())
    accuracy = 1 - _most_wrong(matrix, bias, x, true, eps, np.ones(pixels), 0) / pixels
    pairs = []
    for lost in range(size + 1):
        try:
            invented = _most_wrong(matrix, bias, x, true, eps, (~true).astype(float), lost)
        except ValueError:
            break
        either = 2 * size - lost + invented
        kept = size - lost
        pairs.append((2 * kept / either, kept / (either - kept)) if either else (1.0, 1.0))
    dice, iou = (min(column) for column in zip(*pairs, strict=True))
    return Scores(accuracy, dice, iou)


def _most_wrong(
    matrix: Array, bias: float, x: Array, true: Mask, eps: float, count: Array, lost: int
) -> int:
    """The largest number of wrong pixels, weighted by `count`, with at least `lost` of the structure.

    Raises ValueError where so many of the structure cannot be wrong. Variables: the image, then for
    each pixel 1 where it has to be wrong.
    """
    pixels = len(x)
    signed = np.where(true, 1.0, -1.0)[:, None] * matrix
    offset = np.where(true, bias, -bias)
    largest = np.abs(matrix).sum(1) + abs(bias) + 1
    # Where a pixel has to be wrong: signed @ x + offset <= -GAP.
    wrong = optimize.LinearConstraint(
        np.hstack([signed, np.diag(largest)]), -np.inf, largest - offset - GAP
    )
    enough = optimize.LinearConstraint(
        np.concatenate([np.zeros(pixels), true.astype(float)])[None], lost, np.inf
    )
    ones = np.ones(pixels)
    found = optimize.milp(
        np.concatenate([np.zeros(pixels), -count]),
        constraints=[wrong, enough],
        integrality=np.concatenate([0 * ones, ones]),
        bounds=optimize.Bounds(
            np.concatenate([np.maximum(x - eps, 0), 0 * ones]),
            np.concatenate([np.minimum(x + eps, 1), ones]),
        ),
    )
    if found.status == 2:
        raise ValueError(f"no image makes {lost} pixels of the structure wrong")
    if found.status != 0:
        raise RuntimeError(found.message)
    return round(-found.fun)
