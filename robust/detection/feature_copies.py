"""Near copies in feature space: images far nearer to another one than chance brings them.

For n independent images whose features fill D dimensions, the distance to the nearest one over that
to the k-th nearest is below t with probability about (k - 1) t^D, whatever the density there. D is
estimated from the distances to further neighbours (Levina and Bickel 2005, "Maximum likelihood
estimation of intrinsic dimension"), since the nearest may be a copy. A ratio of two neighbours is
also how Lowe (2004) tells a match from a chance likeness.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from detectors import Features, Reference
from robust.metrics.arrays import Array, Places
from robust.metrics.by_group import auc

NEIGHBOURS = 10
"""The nearest image is compared with the one of this rank."""
CHANCE = 0.01
"""Pairs that are expected to count as copies by chance, over all images."""
MOST_RATIO = 0.35
"""Largest ratio of distances that counts, however many dimensions there are."""
_AT_ONCE = 1024

Pairs = list[tuple[int, int]]
"""Places of two images."""


@dataclass(frozen=True)
class Neighbours:
    """The nearest images of n images."""

    places: Places
    """`(n,)`, the nearest."""
    distances: Array
    """`(n, k)`, to the nearest ones, ascending; infinite where there are fewer."""

    def closer_than(self, ratio: float) -> Pairs:
        """Each image whose nearest one is that much nearer than its last one, and that one."""
        first, last = self.distances[:, 0], self.distances[:, -1]
        near = np.isfinite(first) & (first < ratio * last) if ratio else first < 0
        return [(int(row), int(self.places[row])) for row in near.nonzero()[0]]


@dataclass(frozen=True)
class Likeness:
    """How images lie to a reference in feature space."""

    copies: Pairs
    """Places of images, and of a reference image that each is a near copy of."""
    nearness: float
    """How often an image lies nearer to the reference than one of the reference itself does.

    Compared within each predicted class, with reference images that are predicted correctly, and
    without neighbours of their own group: 0.5 where both come from the same patients, 1 where every
    image is a near copy of one. NaN where no class has both.
    """


def likeness(images: Features, reference: Reference) -> Likeness:
    """Compare images with what a detector learns from."""
    own, target = _standardised(images, reference.features)
    groups = reference.groups
    codes = np.arange(len(target)) if groups is None else groups.cpu().numpy()
    among, found = _nearest(target, target, codes), _nearest(own, target)
    copies = found.closer_than(_limit(among, len(images)))
    return Likeness(copies, _nearness(images, reference, among, found))


def copies_among(images: Features, groups: Places) -> Pairs:
    """Places of images of two groups that are near copies of each other."""
    own, _ = _standardised(images, images)
    among = _nearest(own, own, groups)
    near = among.closer_than(_limit(among, len(images)))
    return sorted({(min(pair), max(pair)) for pair in near})


def _nearness(
    images: Features, reference: Reference, among: Neighbours, found: Neighbours
) -> float:
    predicted = images.logits.argmax(1).cpu().numpy()
    right = (reference.features.logits.argmax(1) == reference.labels).cpu().numpy()
    total, weight = 0.0, 0
    for label in sorted(set(reference.labels.tolist())):
        far = among.distances[right & (reference.labels == label).cpu().numpy(), 0]
        near = found.distances[predicted == label, 0]
        if len(far) and len(near):
            values = np.concatenate([near, far])
            area = auc(values, np.arange(len(values)) >= len(near))
            total, weight = total + len(near) * float(area), weight + len(near)
    return total / weight if weight else float("nan")


def _limit(among: Neighbours, count: int) -> float:
    """The ratio of distances below which chance brings `CHANCE` pairs of `count` images.

    `among` are the neighbours of independent images among each other.
    """
    k = among.distances.shape[1]
    middle = (k + 1) // 2
    inner, outer = among.distances[:, middle - 1], among.distances[:, k - 1]
    apart = (inner > 0) & np.isfinite(outer)
    if k < 2 or not apart.any():
        return 0.0
    growth = float(np.log(outer[apart] / inner[apart]).mean())
    dimensions = sum(1 / rank for rank in range(middle, k)) / max(growth, 1e-9)
    chance = CHANCE / (max(count, 1) * (k - 1))
    return float(min(MOST_RATIO, chance ** (1 / dimensions)))


def _nearest(images: Tensor, others: Tensor, groups: Places | None = None) -> Neighbours:
    """The nearest of the others by Euclidean distance; with groups, those of another group."""
    k = min(NEIGHBOURS, len(others))
    places, distances = [], []
    length = others.square().sum(1)
    for start in range(0, len(images), _AT_ONCE):
        part = images[start : start + _AT_ONCE]
        d = part.square().sum(1)[:, None] + length - 2 * part @ others.T
        if groups is not None:
            mine = groups[start : start + _AT_ONCE]
            d[torch.from_numpy(mine[:, None] == groups[None])] = torch.inf
        found = d.topk(k, largest=False)
        places.append(found.indices[:, 0])
        distances.append(found.values.clamp_min(0).sqrt())
    return Neighbours(torch.cat(places).numpy(), torch.cat(distances).numpy())


def _standardised(images: Features, scale: Features) -> tuple[Tensor, Tensor]:
    """The layers of both side by side `(n, d)`: each centred, with one spread, over `scale`.

    In double precision, so that the distance of near copies is not lost in that to the origin.
    """
    own, target = [], []
    for layer, known_layer in zip(_layers(images), _layers(scale), strict=True):
        values, known = layer.cpu().double(), known_layer.cpu().double()
        centre = known.mean(0)
        spread = float((known - centre).square().sum(1).mean().sqrt()) or 1.0
        own.append((values - centre) / spread)
        target.append((known - centre) / spread)
    return torch.cat(own, 1), torch.cat(target, 1)


def _layers(features: Features) -> Iterable[Tensor]:
    return list(features.layers.values()) or [features.logits]
