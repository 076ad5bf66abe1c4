"""Uniform noise: no gradient, no search; the baseline that every attack must beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from attacks.contract import Model, require_fit, require_positive
from attacks.losses import margin
from attacks.streams import Streams
from attacks.threat import ThreatModel, per_case


@dataclass(frozen=True)
class Noise:
    """Uniform draws from the ball; the most damaging of `restarts` draws is returned."""

    norms: ClassVar[tuple[str, ...]] = ("Linf", "L2")
    minimum_norm: ClassVar[bool] = False

    restarts: int = 1

    def __post_init__(self) -> None:
        require_positive(self, "restarts")

    @property
    def passes(self) -> int:
        return self.restarts

    @torch.no_grad()
    def __call__(
        self,
        model: Model,
        x: Tensor,
        y: Tensor,
        threat: ThreatModel,
        streams: Streams,
        target: Tensor | None = None,
    ) -> Tensor:
        require_fit(self, threat)
        best = threat.random(x, streams)
        if self.restarts == 1:
            return best
        best_margin = margin(model(best), y, target)
        for _ in range(self.restarts - 1):
            x_adv = threat.random(x, streams)
            value = margin(model(x_adv), y, target)
            better = value > best_margin
            best = torch.where(per_case(better, x), x_adv, best)
            best_margin = torch.where(better, value, best_margin)
        return best
