"""What the best attacker reaches on pointwise linear segmenters, in closed form (numpy, float64).

A pixel's scores depend on its own channels alone: `weight @ x + bias`. So each pixel is a question
of its own, and what couples them is the budget (L2) or the score that counts them (Dice). Images
are `(c, pixels)`, masks `(pixels,)`: 2-D and 3-D are the same here.

"Binary": one score z, positive on the structure. A linear layer with a score for each overlapping
structure is binary structure by structure.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Scores:
    """Of one structure: share of right pixels, Dice and IoU (1 where it is neither there nor found)."""

    accuracy: float
    dice: float
    iou: float

    @classmethod
    def of(cls, predicted: Mask, true: Mask) -> Scores:
        both, either = int((predicted & true).sum()), int((predicted | true).sum())
        dice, iou = (2 * both / (both + either), both / either) if either else (1.0, 1.0)
        return cls(float((predicted == true).mean()), dice, iou)


def reach(weight: Array, x: Array, eps: float) -> Array:
    """How far `weight . x` of each pixel rises at most, within eps in L-inf and the box: `(pixels,)`.

    `weight` is `(c,)`, or `(c, pixels)` where each pixel has its own.
    """
    own = weight if weight.ndim == 2 else weight[:, None]
    room = np.where(own > 0, 1 - x, x)
    rise: Array = (np.abs(own) * np.minimum(eps, room)).sum(0)
    return rise


# ---------------------------------------------------------------- one structure


def advantage(weight: Array, bias: float, x: Array, true: Mask) -> Array:
    """By how much each pixel is right: above 0 where it is, `(pixels,)`."""
    z = weight @ x + bias
    return np.where(true, z, -z)


def wrong_at(weight: Array, bias: float, x: Array, true: Mask, eps: float) -> Mask:
    """Pixels that are wrong or can be made so at eps in L-inf."""
    harmful = np.where(true, -weight[:, None], weight[:, None])
    return advantage(weight, bias, x, true) < reach(harmful, x, eps)


def worst_scores(weight: Array, bias: float, x: Array, true: Mask, eps: float) -> Scores:
    """The lowest accuracy, Dice and IoU at eps in L-inf; one image attains all three."""
    return Scores.of(true ^ wrong_at(weight, bias, x, true, eps), true)


def radii(weight: Array, bias: float, x: Array, true: Mask) -> Array:
    """The smallest eps in L-inf at which each pixel is wrong: 0 where it is, inf where never.

    What a pixel gains grows with eps as a concave, piecewise linear function with a kink at the
    room of each channel.
    """
    harmful = np.where(true, -weight[:, None], weight[:, None])
    room = np.where(harmful > 0, 1 - x, x)
    missing = advantage(weight, bias, x, true)
    found = np.where(missing > 0, np.inf, 0.0)
    kinks = np.sort(np.concatenate([np.zeros_like(room[:1]), room]), axis=0)
    for low, high in pairwise(kinks):
        slope = (np.abs(harmful) * (room > low)).sum(0)
        gained = (np.abs(harmful) * np.minimum(low, room)).sum(0)
        eps = low + (missing - gained) / np.where(slope > 0, slope, np.inf)
        inside = (missing > gained) & (slope > 0) & (eps <= high)
        found = np.where(inside, np.minimum(found, eps), found)
    return found


def costs(weight: Array, bias: float, x: Array, true: Mask) -> Array:
    """The smallest squared L2 distance at which each pixel is wrong, without a box: `(pixels,)`."""
    missing = np.maximum(advantage(weight, bias, x, true), 0)
    squared: Array = (missing / np.linalg.norm(weight)) ** 2
    return squared


def smallest_linf(radii: Array, share: float = 1.0) -> float:
    """The smallest eps at which that share of the pixels is wrong; inf where there is none.

    Over the pixels of a structure with share 1: the smallest at which it vanishes.
    """
    return float(np.sort(radii)[needed(len(radii), share) - 1])


def smallest_l2(costs: Array, share: float = 1.0) -> float:
    """As `smallest_linf`, in L2."""
    return float(np.sqrt(np.sort(costs)[: needed(len(costs), share)].sum()))


def needed(pixels: int, share: float) -> int:
    """How many pixels are that share at least; rounding apart, that of `share * pixels`."""
    return max(int(np.ceil(share * pixels - 1e-9)), 1)


def minimum_dice_l2(weight: Array, bias: float, x: Array, true: Mask, eps: float) -> float:
    """The lowest Dice at eps in L2, without a box.

    For each number of pixels of the structure that are made wrong, the cheapest are; what is left
    of the budget goes to the cheapest of the background.
    """
    cost = costs(weight, bias, x, true)
    inside, outside = (np.cumsum(np.sort(cost[part])) for part in (true, ~true))
    spent = np.concatenate([[0.0], inside])
    spent = spent[spent <= eps**2]
    lost = np.arange(len(spent))
    invented = np.searchsorted(outside, eps**2 - spent, side="right")
    kept, size = true.sum() - lost, int(true.sum())
    either = kept + invented + size
    return float(np.where(either > 0, 2 * kept / np.maximum(either, 1), 1.0).min())


def lowest_accuracy_l2(weight: Array, bias: float, x: Array, true: Mask, eps: float) -> float:
    """The lowest share of right pixels at eps in L2, without a box: the cheapest are made wrong."""
    spent = np.cumsum(np.sort(costs(weight, bias, x, true)))
    return 1 - int((spent <= eps**2).sum()) / len(spent)


# ---------------------------------------------------------------- several exclusive classes


def lowest_accuracy(weight: Array, bias: Array, x: Array, y: Labels, eps: float) -> float:
    """The lowest share of right pixels at eps in L-inf; `weight` is `(k, c)`, `bias` `(k,)`."""
    scores = weight @ x + bias[:, None]
    wrong = np.zeros(len(y), bool)
    for other in range(len(weight)):
        ahead = scores[other] - scores[y, np.arange(len(y))]
        wrong |= (other != y) & (ahead + reach((weight[other] - weight[y]).T, x, eps) > 0)
    return float((~wrong).mean())


def worst_of_class(
    weight: Array, bias: Array, x: Array, y: Labels, eps: float, structure: int
) -> Scores:
    """The lowest scores of one class at eps in L-inf, of an image with one channel.

    Each class wins on an interval of grey values; the attacker moves within another. The classes
    are attacked one by one here: no image need attain the lowest Dice of all, so their mean is a
    lower bound of the mean Dice.
    """
    low, high = np.maximum(x[0] - eps, 0), np.minimum(x[0] + eps, 1)
    true = y == structure
    # Between and at the crossings of two scores every class that can win does so somewhere.
    slopes = weight[:, 0][:, None] - weight[:, 0][None]
    with np.errstate(divide="ignore", invalid="ignore"):
        crossings = ((bias[None] - bias[:, None]) / slopes)[slopes != 0]
    crossings = np.sort(crossings[(crossings > 0) & (crossings < 1)])
    ends = np.concatenate([[0.0], crossings, [1.0]])
    won = (weight * ((ends[1:] + ends[:-1]) / 2) + bias[:, None]).argmax(0) == structure
    meets = (np.maximum(low[:, None], ends[:-1]) < np.minimum(high[:, None], ends[1:])) | (
        (low == high)[:, None] & (ends[:-1] <= low[:, None]) & (low[:, None] < ends[1:])
    )
    can_win, can_lose = (meets & won).any(1), (meets & ~won).any(1)
    return Scores.of(np.where(true, ~can_lose, can_win), true)
