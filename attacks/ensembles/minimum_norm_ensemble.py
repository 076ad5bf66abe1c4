"""Minimum-norm ensemble of FMN and FAB (arXiv 2102.12827, 1907.02044): every eps in one run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from attacks._tracking import ActiveCases, Nearest
from attacks.contract import (
    Attack,
    AttackTraits,
    Knowledge,
    Model,
    require_fit,
    require_positive,
)
from attacks.losses import MAX_TARGETS, margin
from attacks.minimum_norm.fab import FAB
from attacks.minimum_norm.fmn import FMN, run_fmn
from attacks.minimum_norm.geometry import line_search
from attacks.streams import Streams, call_text
from attacks.threat import ThreatModel


@dataclass(frozen=True)
class MinimumNormEnsemble:
    """FMN, then FAB from near and from far (and towards each label), then FMN from the best image.

    Use it for the whole curve of accuracy over eps from one run: robust accuracy at eps is the
    share of cases whose distance is above it, an upper bound like that of any attack.
    """

    norms: ClassVar[tuple[str, ...]] = ("Linf", "L2")
    minimum_norm: ClassVar[bool] = True
    knowledge: ClassVar[Knowledge] = "gradients"

    steps: int = 100
    """Gradient steps of each run; the first of FMN takes twice as many."""
    line_steps: int = 10
    """Bisections on the line from the best image to the original."""

    def __post_init__(self) -> None:
        require_positive(self, "steps")
        if self.line_steps < 0:
            raise ValueError("MinimumNormEnsemble: line_steps must be 0 or more")

    @property
    def stream_key(self) -> str:
        """As the first release wrote it, which called the ensemble MinimumDistance."""
        return call_text("MinimumDistance", steps=self.steps, line_steps=self.line_steps)

    @property
    def traits(self) -> AttackTraits:
        """Steps alone."""
        return AttackTraits(steps=self.steps)

    @property
    def passes(self) -> int:
        """Those of all stages."""
        each = sum(attack.passes + 1 for attack in self._stages(MAX_TARGETS + 1, False))
        return 1 + each + FMN(self.steps, self.line_steps).passes

    def _stages(self, classes: int, targeted: bool) -> Iterator[Attack]:
        yield FMN(2 * self.steps, line_steps=0)
        yield FAB(self.steps, restarts=3, line_steps=0)
        if classes > 2 and not targeted:
            yield FAB(self.steps, targets=min(classes - 1, MAX_TARGETS), line_steps=0)

    def __call__(
        self,
        model: Model,
        x: Tensor,
        y: Tensor,
        threat: ThreatModel,
        streams: Streams,
        target: Tensor | None = None,
    ) -> Tensor:
        """The nearest adversarial image that any stage found."""
        require_fit(self, threat, y.ndim > 1)
        with torch.no_grad():
            classes = model(x[:1]).shape[1]
        nearest = Nearest(x)
        for attack in self._stages(classes, target is not None):
            x_adv = attack(model, x, y, threat, streams, target)
            with torch.no_grad():
                value = margin(model(x_adv), y, target)
            nearest.offer(x_adv, threat.distance(x_adv, x), value)
        cases = ActiveCases.of(x, y, streams, target)
        run_fmn(model, cases, threat, nearest, nearest.x_adv.clone(), self.steps)
        return line_search(
            x, nearest.x_adv, lambda z: margin(model(z), y, target) > 0, self.line_steps
        )
