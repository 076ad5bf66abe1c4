"""Networks with random outputs, read as the mean of several passes: Athalye et al. 2018 (EOT)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from attacks.contract import Attack, AttackFunction, Model
from attacks.streams import Streams
from attacks.threat import ThreatModel

PASSES = 10
"""Passes in the mean that an attack climbs."""
JUDGING_PASSES = 32
"""Passes in the mean that is a prediction. A single pass would count luck: of many attacks some
pass is always misread."""
AGAIN = 6
"""Passes compared with a first one: a network that draws once a pass, of few sizes or now and then,
may draw the same twice."""
TOLERANCE = 1e-4
"""Largest change between two passes, as a share of the spread of logits, that the order of
additions may cause."""


@torch.no_grad()
def is_random(model: Model, x: Tensor) -> bool:
    """Whether some of several passes of the batch `x (n, c, h, w)` give different logits."""
    first = model(x)
    spread = (first.max() - first.min()).clamp_min(torch.finfo(first.dtype).tiny)
    passes = (model(x) for _ in range(AGAIN))
    return any(float((first - again).abs().max() / spread) > TOLERANCE for again in passes)


@contextmanager
def draws_begin_at(seed: int, device: torch.device) -> Iterator[None]:
    """Draws of torch's own generators begin here; their state is put back."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


@dataclass(frozen=True)
class MeanOfPasses:
    """A model that gives the mean logits of several passes, and so their mean gradient.

    This is expectation over transformation (arXiv 1802.00420), over the network's own randomness.
    """

    model: Model
    passes: int = PASSES
    seed: int | None = None
    """Draws of torch's own generators begin here at every call, so that all images meet the same;
    their state is put back. None: they go on. Generators of the model's own are beyond reach."""

    def __call__(self, x: Tensor) -> Tensor:
        """The mean logits `(n, k)`."""
        if self.seed is None:
            return self._mean(x)
        with draws_begin_at(self.seed, x.device):
            return self._mean(x)

    def _mean(self, x: Tensor) -> Tensor:
        total = self.model(x)
        for _ in range(self.passes - 1):
            total = total + self.model(x)
        return total / self.passes


@dataclass(frozen=True)
class ClimbsMeans:
    """An attack that sees the mean of several passes in place of each one."""

    attack: AttackFunction
    passes: int

    def __call__(
        self,
        model: Model,
        x: Tensor,
        y: Tensor,
        threat: ThreatModel,
        streams: Streams,
        target: Tensor | None = None,
    ) -> Tensor:
        """The attack's images; every gradient is that of a mean over fresh passes."""
        return self.attack(MeanOfPasses(model, self.passes), x, y, threat, streams, target)


def climbing_means(attack: Attack, passes: int) -> AttackFunction:
    """The attack on a network with random outputs, by the mean of so many passes."""
    averaging = attack.traits.averaging
    return ClimbsMeans(attack, passes) if averaging is None else averaging(passes)


def passes_climbing_means(attack: Attack, passes: int) -> int:
    """Upper bound on the forward passes per case of that attack."""
    averaging = attack.traits.averaging
    return attack.passes * passes if averaging is None else averaging(passes).passes
