"""Cases of one shape as a batch of tensors."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from robust.cases.case import Case, Cases
from robust.errors import InputError


@dataclass(frozen=True)
class Batch:
    """Cases of one shape, ready to be attacked."""

    rows: tuple[int, ...]
    """Their places in `Cases`."""
    cases: tuple[Case, ...]
    x: Tensor
    y: Tensor
    logits: Tensor
    """Clean logits `(n, k)`."""

    def take(self, places: Sequence[int]) -> Batch:
        """The batch without all other cases."""
        if len(places) == len(self.rows):
            return self
        index = torch.as_tensor(places, dtype=torch.long, device=self.x.device)
        return Batch(
            tuple(self.rows[i] for i in places),
            tuple(self.cases[i] for i in places),
            self.x[index],
            self.y[index],
            self.logits[index],
        )


_log = logging.getLogger(__name__)


def read_batches(
    cases: Cases,
    rows: Sequence[int],
    like: Tensor,
    *,
    size: int = 64,
    skip_broken: bool = False,
) -> Iterator[tuple[list[int], list[Case], Tensor]]:
    """Rows, cases and images `(n, c, h, w)` of one shape, on the device and of the type of `like`.

    InputError for an image that cannot be read.
    """
    for start in range(0, len(rows), size):
        shapes: dict[tuple[int, ...], list[tuple[int, Case]]] = {}
        part = rows[start : start + size]
        for row, case in zip(part, cases.stream(part), strict=True):
            if isinstance(case, InputError):
                if not skip_broken:
                    raise case
                _log.warning("robust: skipped: %s", case)
                continue
            shapes.setdefault(tuple(case.image.shape), []).append((row, case))
        for found in shapes.values():
            x = torch.stack([case.image for _, case in found]).to(like)
            yield [row for row, _ in found], [case for _, case in found], x
