"""What attacks on a classifier and its detector share: one look at both, and the best image kept.

A detector reaches an attack as a callable `suspicion`: images `(n, c, h, w)` to `(n,)`, rows apart
and differentiable, above 0 where it raises the alarm. The search is that of PGD; an attack says
which way to step.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, final

import torch
from torch import Tensor

from attacks._starts import random_start
from attacks.contract import Model, require_fit, require_positive
from attacks.losses import margin
from attacks.streams import Streams
from attacks.threat import ThreatModel, per_case

Suspicion = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class JointEvaluation:
    """What one look at a batch shows; `(n,)` each, and differentiable in `x`."""

    x: Tensor
    y: Tensor
    target: Tensor | None
    margin: Tensor
    suspicion: Tensor | None
    fooled: Tensor
    """Where the attacker is ahead by more than kappa."""
    balance: Tensor
    """Looks of this run at which the classifier was fooled, less those at which it was not."""
    restart: int

    def gradient(self, value: Tensor) -> Tensor:
        """Of `value (n,)` in `x`; 0 where it is not finite, as where a density underflows."""
        (found,) = torch.autograd.grad(value.sum(), self.x, retain_graph=True)
        return torch.nan_to_num(found, 0.0, 0.0, 0.0)


class LeastSuspicious:
    """Of each case the image that fools the classifier and is worth most; until one fools it, the
    image with the largest margin.
    """

    def __init__(self, x: Tensor) -> None:
        self.best = x.clone()
        self._fooled = torch.zeros(len(x), dtype=torch.bool, device=x.device)
        self._value = torch.full_like(x[:, 0, 0, 0], -torch.inf)

    def offer(self, seen: JointEvaluation, worth: Tensor) -> None:
        """Keep what is better; `worth (n,)` counts among the images that fool the classifier."""
        value = torch.where(seen.fooled, worth, seen.margin).detach().to(self._value)
        level = seen.fooled == self._fooled
        better = torch.where(level, value > self._value, seen.fooled)
        self.best = torch.where(per_case(better, seen.x), seen.x.detach(), self.best)
        self._value = torch.where(better, value, self._value)
        self._fooled = self._fooled | seen.fooled


@dataclass(frozen=True)
class AdaptivePGD(ABC):
    """PGD whose steps and whose choice among its iterates a named attack decides.

    Steps shorten from about twice `step_size` towards zero. Whatever the direction, kept is the
    least suspicious of the iterates that fool the classifier, the last one included. Without
    `suspicion` there is no detector to evade.
    """

    norms: ClassVar[tuple[str, ...]] = ("Linf", "L2")
    minimum_norm: ClassVar[bool] = False

    steps: int = 100
    step_size: float = 0.1
    """Mean length of a step as a fraction of eps."""
    restarts: int = 1
    start: str = "image"
    """`image`: the first run begins at the image, any further at random; or `random`."""
    kappa: float = 0.0
    """The margin above which the classifier counts as fooled (Carlini and Wagner's confidence)."""
    suspicion: Suspicion | None = field(default=None, repr=False, compare=False)
    begin: Tensor | None = field(default=None, repr=False, compare=False)
    """Where the first run begins in place of the image, `(n, c, h, w)`: what fools the classifier
    already, where gradients from the image lead nowhere."""

    def __post_init__(self) -> None:
        name = type(self).__name__
        require_positive(self, "steps", "step_size", "restarts")
        if not self.kappa >= 0:
            raise ValueError(f"{name}: kappa must be 0 or more, not {self.kappa}")
        if self.start not in ("image", "random"):
            raise ValueError(f"{name}: start must be image or random, not {self.start!r}")

    @abstractmethod
    def direction(self, seen: JointEvaluation, threat: ThreatModel) -> Tensor:
        """The next step, of length 1 in the norm of `threat` at most: `(n, c, h, w)`."""

    def worth(self, seen: JointEvaluation) -> Tensor:
        """What decides among images that fool the classifier: `(n,)`, larger is better."""
        return seen.margin if seen.suspicion is None else -seen.suspicion

    @property
    def passes(self) -> int:
        """The detector looks at each image as well, one pass more unless it shares the model's."""
        return self.restarts * (self.steps + 1) * (1 if self.suspicion is None else 2)

    @final
    def look(
        self, model: Model, x: Tensor, y: Tensor, target: Tensor | None, balance: Tensor, run: int
    ) -> JointEvaluation:
        """One pass through classifier and detector."""
        ahead = margin(model(x), y, target)
        suspicion = None if self.suspicion is None else self.suspicion(x)
        return JointEvaluation(x, y, target, ahead, suspicion, ahead > self.kappa, balance, run)

    @final
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
        kept = LeastSuspicious(x)
        for run in range(self.restarts):
            at_image = self.start == "image" and run == 0
            x_adv = x if at_image else random_start(x, threat, streams)
            if self.begin is not None and run == 0:
                x_adv = threat.project(self.begin, x)
            balance = torch.zeros_like(x[:, 0, 0, 0])
            for step in range(self.steps):
                with torch.enable_grad():
                    x_adv = x_adv.detach().requires_grad_()
                    seen = self.look(model, x_adv, y, target, balance, run)
                    worth = self.worth(seen)
                    direction = self.direction(seen, threat)
                kept.offer(seen, worth)
                balance = balance + 2 * seen.fooled.to(balance) - 1
                length = 2 * self.step_size * threat.eps * (self.steps - step) / (self.steps + 1)
                x_adv = threat.project(x_adv.detach() + length * direction, x)
            with torch.no_grad():
                seen = self.look(model, x_adv, y, target, balance, run)
                kept.offer(seen, self.worth(seen))
        return kept.best


RATE, REACH = 0.5, 6.0
"""How fast the weight follows, and how far: at its ends one side has a share of 1 in 20."""


def balanced(seen: JointEvaluation, fooling: Tensor, hiding: Tensor) -> Tensor:
    """Two directions `(n, c, h, w)` as one: each of length 1, and hiding weighs more the longer the
    classifier was fooled.
    """
    weight = (RATE * seen.balance.clamp(-REACH, REACH)).sigmoid()
    unit = ThreatModel("L2", 1.0).steepest
    return torch.lerp(unit(fooling), unit(hiding), per_case(weight, fooling))
