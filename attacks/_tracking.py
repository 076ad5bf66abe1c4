"""Bookkeeping that attacks share: the cases still active, and the best image of each so far."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from attacks.losses import beyond_rounding, margin
from attacks.streams import Streams
from attacks.threat import per_case


@dataclass(frozen=True)
class ActiveCases:
    """The cases of a batch on which an attack still works."""

    rows: Tensor
    """Their indices in the whole batch, `(n,)`."""
    x: Tensor
    y: Tensor
    target: Tensor | None
    streams: Streams

    @classmethod
    def of(
        cls, x: Tensor, y: Tensor, streams: Streams, target: Tensor | None = None
    ) -> ActiveCases:
        """All cases of a call."""
        return cls(torch.arange(len(x), device=x.device), x, y, target, streams)

    def take(self, mask: Tensor) -> ActiveCases:
        """Those of a mask `(n,)` over the active cases."""
        if bool(mask.all()):
            return self  # spares a copy of the images
        target = None if self.target is None else self.target[mask]
        return ActiveCases(self.rows[mask], self.x[mask], self.y[mask], target, self.streams[mask])


class BestSoFar:
    """The most damaging image of each case so far: the one with the largest margin."""

    def __init__(self, x: Tensor) -> None:
        self.x_adv = x.clone()
        self.margin = x.new_full((len(x),), -torch.inf)

    def offer(self, batch: ActiveCases, candidate: Tensor, logits: Tensor) -> Tensor:
        """Keep the better images; returns `(n,)` where the candidate succeeds beyond rounding."""
        value = margin(logits, batch.y, batch.target).to(self.margin)
        before = self.margin[batch.rows]
        better = value > before
        if len(batch.rows) == len(self.x_adv):
            self.x_adv = torch.where(per_case(better, candidate), candidate, self.x_adv)
        else:
            kept = self.x_adv[batch.rows]
            self.x_adv[batch.rows] = torch.where(per_case(better, candidate), candidate, kept)
        self.margin[batch.rows] = torch.where(better, value, before)
        return beyond_rounding(value, logits)


class Nearest:
    """The nearest adversarial image of each case so far; until there is one, the most damaging."""

    def __init__(self, x: Tensor) -> None:
        self.x_adv = x.clone()
        self.distance = x.new_full((len(x),), torch.inf)
        self._margin = torch.full_like(self.distance, -torch.inf)

    def offer(
        self, candidate: Tensor, distance: Tensor, value: Tensor, rows: Tensor | None = None
    ) -> None:
        """Keep the better images, by margin (`value`) and distance, `(n,)` each.

        They are those of some `rows` of the batch, or of all.
        """
        own = slice(None) if rows is None else rows
        nearest, largest = self.distance[own], self._margin[own]
        value, distance = value.to(nearest), distance.to(nearest)
        none_yet = nearest.isinf() & (value > largest)
        better = torch.where(value > 0, distance < nearest, none_yet)
        self.x_adv[own] = torch.where(per_case(better, candidate), candidate, self.x_adv[own])
        self.distance[own] = torch.where(better & (value > 0), distance, nearest)
        self._margin[own] = torch.maximum(largest, value)
