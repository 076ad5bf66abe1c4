"""Uniform noise: the baseline that every attack must beat (no paper)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from attacks.contract import AttackTraits, Knowledge, Model, require_fit, require_positive
from attacks.losses import margin
from attacks.streams import Streams, call_text
from attacks.threat import NORMS, ThreatModel, per_case


@dataclass(frozen=True)
class Noise:
    """Uniform draws from the ball; the most damaging of `restarts` draws is returned.

    Use it in every audit: an attack that succeeds on no more cases than noise has found nothing.
    """

    norms: ClassVar[tuple[str, ...]] = NORMS
    minimum_norm: ClassVar[bool] = False
    knowledge: ClassVar[Knowledge] = "none"
    traits: ClassVar[AttackTraits] = AttackTraits(baseline=True, dense=True)

    restarts: int = 1
    """Draws; with more than one, the logits decide between them."""

    def __post_init__(self) -> None:
        require_positive(self, "restarts")

    @property
    def stream_key(self) -> str:
        """As the first release wrote it."""
        return call_text("Noise", restarts=self.restarts)

    @property
    def passes(self) -> int:
        """A single draw needs none, but the image is predicted."""
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
        """The draw with the largest margin."""
        require_fit(self, threat, y.ndim > 1)
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
