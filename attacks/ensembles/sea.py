"""Segmentation ensemble attack (SEA): Croce et al. 2024 (arXiv 2306.12941)."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from attacks._starts import random_start
from attacks._tracking import ActiveCases, BestSoFar
from attacks.apgd import APGD
from attacks.contract import AttackTraits, Knowledge, Model, require_fit, require_positive
from attacks.streams import Streams, call_text
from attacks.threat import ThreatModel

SEA_LOSSES = ("jensen_shannon", "masked_cross_entropy", "masked_spherical")
"""Of its runs, in turn."""
STAGES = ((2.0, 0.3), (1.5, 0.3), (1.0, 0.4))
"""Radius in units of eps and share of a run's steps."""


@dataclass(frozen=True)
class SEA:
    """APGD on three losses of pixels, each from a wider ball inwards; the worst image of all.

    Use it for the final number of a segmenter within an eps: no single loss is the strongest at
    every eps. A run spends three tenths of its steps within 2 eps, three within 1.5 eps and the
    rest within eps; each stage goes on from the most damaging image of the one before. The losses:
    Jensen-Shannon divergence, and cross-entropy and spherical loss of the pixels that are still
    right.
    """

    norms: ClassVar[tuple[str, ...]] = ("Linf", "L2", "L2-slice")
    minimum_norm: ClassVar[bool] = False
    knowledge: ClassVar[Knowledge] = "gradients"

    steps: int = 300
    """Gradient steps of each of the three runs."""

    def __post_init__(self) -> None:
        require_positive(self, "steps")

    @property
    def stream_key(self) -> str:
        """Name and fields."""
        return call_text("SEA", steps=self.steps)

    @property
    def traits(self) -> AttackTraits:
        """There is no success at which it could stop early."""
        return AttackTraits(steps=self.steps, dense=True, dense_only=True)

    @property
    def passes(self) -> int:
        """Those of all stages of all runs."""
        return len(SEA_LOSSES) * sum(steps + 1 for _, steps in self._stages())

    def __call__(
        self,
        model: Model,
        x: Tensor,
        y: Tensor,
        threat: ThreatModel,
        streams: Streams,
        target: Tensor | None = None,
    ) -> Tensor:
        """The most damaging image within eps of all three runs."""
        require_fit(self, threat, y.ndim > 1)
        best_so_far, batch = BestSoFar(x), ActiveCases.of(x, y, streams, target)
        for loss in SEA_LOSSES:
            x_adv: Tensor | None = None
            for width, steps in self._stages():
                ball = dataclasses.replace(threat, eps=width * threat.eps)
                start = random_start(x, ball, streams) if x_adv is None else ball.project(x_adv, x)
                reached = BestSoFar(x) if width > 1 else best_so_far
                APGD(steps, loss=loss).run_from(start, model, batch, reached, ball, target)
                x_adv = reached.x_adv
        return best_so_far.x_adv

    def _stages(self) -> list[tuple[float, int]]:
        return [(width, max(round(share * self.steps), 1)) for width, share in STAGES]
