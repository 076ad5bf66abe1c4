"""Random numbers of a corruption: a few for each case, and noise that all channels share."""

from __future__ import annotations

from torch import Tensor

from attacks.streams import Streams
from robust.corruptions.draws import parameters


def case_draws(x: Tensor, count: int, streams: Streams) -> list[Tensor]:
    """Uniform numbers on [0, 1): `count` tensors `(n, 1, ..., 1)` with as many axes as `x`."""
    drawn = parameters(streams, count).to(x)
    return [column.view(-1, *[1] * (x.ndim - 1)) for column in drawn.unbind(1)]


def grey_noise(x: Tensor, streams: Streams) -> Tensor:
    """Standard normal noise `(n, 1, *space)`: a grey image stays grey if it is saved as colour."""
    return streams.normal(x[:, :1])
