"""Classifiers of bags: mean, max and attention pooling (Ilse et al. 2018, arXiv 1802.04712).

A bag is one image: its instances are the tiles of a grid, row by row, whether a slide was cut or
patches were stacked. A tile that is black throughout is no instance: it stands where a bag has
fewer than its neighbours, and enters no pooling.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from robust.errors import InputError

Tile = tuple[int, int]
"""Height and width of an instance in pixels."""


def cut_instances(x: Tensor, tile: Tile) -> Tensor:
    """The tiles `(n, instances, c, *tile)` of images `(n, c, h, w)`, row by row; InputError."""
    n, c, height, width = x.shape if x.ndim == 4 else (0, 0, 0, 0)
    if not n or height % tile[0] or width % tile[1]:
        raise InputError(
            f"an image of {'x'.join(map(str, x.shape[2:]))} pixels is no whole number of instances "
            f"of {tile[0]}x{tile[1]}; set tile, or size in [data]"
        )
    rows, columns = height // tile[0], width // tile[1]
    parts = x.reshape(n, c, rows, tile[0], columns, tile[1])
    return parts.permute(0, 2, 4, 1, 3, 5).reshape(n, rows * columns, c, *tile)


def present_instances(instances: Tensor) -> Tensor:
    """Which tiles `(n, m, c, h, w)` are instances: `(n, m)` bool; all of a black image."""
    seen = instances.detach().flatten(2).ne(0).any(2)
    return seen | ~seen.any(1, keepdim=True)


def instance_pixels(kept: Tensor, x: Tensor, tile: Tile) -> Tensor:
    """The pixels `(n, 1, h, w)` bool of the kept tiles `(n, m)` bool of images `(n, c, h, w)`."""
    grid = kept.view(len(kept), 1, x.shape[2] // tile[0], x.shape[3] // tile[1])
    return grid.repeat_interleave(tile[0], 2).repeat_interleave(tile[1], 3)


Pooling = Callable[[Tensor, Tensor], Tensor]
"""From what the network says of instances `(n, m, a)`, and which there are `(n, m)` bool, to the
logits of bags `(n, k)`."""


class MeanPooling(nn.Module):
    """The mean of the instances' logits."""

    def forward(self, said: Tensor, present: Tensor) -> Tensor:
        """Logits of bags `(n, k)`."""
        kept = torch.where(present[:, :, None], said, 0.0)
        return kept.sum(1) / present.sum(1, keepdim=True)


class MaxPooling(nn.Module):
    """The logits of the instance that speaks most for the second of two classes.

    So a bag has the finding where any of its instances has it (Dietterich et al. 1997).
    """

    def forward(self, said: Tensor, present: Tensor) -> Tensor:
        """Logits of bags `(n, 2)`; InputError for another number of classes."""
        if said.shape[2] != 2:
            raise InputError(
                f"max pooling needs two classes, and the network has {said.shape[2]}; choose mean "
                f"or attention pooling"
            )
        ahead = (said[:, :, 1] - said[:, :, 0]).masked_fill(~present, -torch.inf)
        place = ahead.argmax(1)[:, None, None].expand(-1, 1, 2)
        return said.gather(1, place)[:, 0]


class AttentionPooling(nn.Module):
    """A linear head on the mean of the instances' embeddings, weighted by a softmax of scores.

    The score of embedding h is w tanh(V h), equation 8 of Ilse et al.
    """

    def __init__(self, width: int, hidden: int, classes: int) -> None:
        """`width` of an embedding, `hidden` rows of V."""
        super().__init__()
        self.hidden = hidden
        self.score = nn.Sequential(
            nn.Linear(width, hidden), nn.Tanh(), nn.Linear(hidden, 1, bias=False)
        )
        self.head = nn.Linear(width, classes)

    def weights(self, said: Tensor, present: Tensor) -> Tensor:
        """The weight of each instance `(n, m)`, 0 where there is none; they add up to 1."""
        scores: Tensor = self.score(said)[:, :, 0]
        return scores.masked_fill(~present, -torch.inf).softmax(1)

    def forward(self, said: Tensor, present: Tensor) -> Tensor:
        """Logits of bags `(n, classes)`."""
        weighted = self.weights(said, present)[:, :, None] * said
        logits: Tensor = self.head(torch.where(present[:, :, None], weighted, 0.0).sum(1))
        return logits


POOLINGS: dict[str, type[nn.Module]] = {"mean": MeanPooling, "max": MaxPooling}
"""Poolings of logits, which have no weights of their own."""


class BagNetwork(nn.Module):
    """Displayed bags `(n, c, h, w)` in [0, 1] to what a pooling makes of their instances.

    `instance` takes instances `(m, c, *tile)` as they are displayed, and gives logits `(m, k)`, or
    embeddings for attention pooling. A bag may have any number of instances.
    """

    def __init__(self, instance: nn.Module, pooling: str | nn.Module, tile: int | Tile) -> None:
        """`pooling` is mean, max or a module as in `Pooling`; InputError for another name."""
        super().__init__()
        if isinstance(pooling, str) and pooling not in POOLINGS:
            raise InputError(
                f"{pooling} pooling has weights of its own; name mean or max, or train the bags by "
                f"a recipe: bag = ... in [network]"
            )
        self.instance = instance
        self.pooling = POOLINGS[pooling]() if isinstance(pooling, str) else pooling
        self.tile: Tile = (tile, tile) if isinstance(tile, int) else (tile[0], tile[1])

    def forward(self, x: Tensor) -> Tensor:
        """What the pooling says of each bag."""
        tiles = cut_instances(x, self.tile)
        present = present_instances(tiles)
        every = tiles.flatten(0, 1)
        if bool(present.all()):
            said: Tensor = self.instance(every)
        else:  # batch statistics in training are those of instances alone
            found = self.instance(every[present.flatten()])
            said = found.new_zeros(len(every), found.shape[1])
            said = said.index_put((present.flatten(),), found)
        pooled: Tensor = self.pooling(said.view(*present.shape, -1), present)
        return pooled

    def describe(self) -> dict[str, Any]:
        """Pooling and tile as plain values, for the report."""
        return {
            "pooling": type(self.pooling).__name__.removesuffix("Pooling").lower(),
            "tile": list(self.tile),
        }
