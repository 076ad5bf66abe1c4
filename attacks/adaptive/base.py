"""Base of the adaptive attacks: PGD on classifier and detector at once.

A subclass defines the direction of a step; the search, the choice of the best image and the fields
are the same for all.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from attacks._starts import random_start
from attacks.adaptive.contract import NO_ACCESS, DetectorAccess
from attacks.contract import (
    AttackTraits,
    Knowledge,
    Model,
    require_choice,
    require_fit,
    require_positive,
)
from attacks.losses import margin
from attacks.streams import Streams, call_text
from attacks.threat import ThreatModel, per_case


@dataclass(frozen=True)
class JointEvaluation:
    """Classifier and detector evaluated on a batch; `(n,)` each, and differentiable in `x`."""

    x: Tensor
    y: Tensor
    target: Tensor | None
    margin: Tensor
    suspicion: Tensor | None
    """Above 0 where the detector raises the alarm; None where there is no access to a detector."""
    fooled: Tensor
    """Where the attacker's margin is above kappa."""
    balance: Tensor
    """Iterates of this run that fooled the classifier, less those that did not."""
    restart: int

    def gradient(self, value: Tensor) -> Tensor:
        """Of `value (n,)` in `x`; 0 where it is not finite, as where a density underflows."""
        (gradient,) = torch.autograd.grad(value.sum(), self.x, retain_graph=True)
        return torch.nan_to_num(gradient, 0.0, 0.0, 0.0)


class LeastSuspicious:
    """The best image of each case so far.

    Among images that fool the classifier the one preferred most; until one fools it, the image
    with the largest margin.
    """

    def __init__(self, x: Tensor) -> None:
        self.x_adv = x.clone()
        self._fooled = torch.zeros(len(x), dtype=torch.bool, device=x.device)
        self._value = x.new_full((len(x),), -torch.inf)

    def offer(self, current: JointEvaluation, preference: Tensor) -> None:
        """Keep the better images; `preference (n,)` ranks those that fool the classifier."""
        value = torch.where(current.fooled, preference, current.margin).detach().to(self._value)
        equal = current.fooled == self._fooled
        better = torch.where(equal, value > self._value, current.fooled)
        self.x_adv = torch.where(per_case(better, current.x), current.x.detach(), self.x_adv)
        self._value = torch.where(better, value, self._value)
        self._fooled = self._fooled | current.fooled


@dataclass(frozen=True)
class AdaptivePGD(ABC):
    """PGD in directions that a subclass chooses.

    Steps shorten from about twice `step_size` towards zero. Whatever the direction, the result is
    the least suspicious of the iterates that fool the classifier, the last one included.
    """

    norms: ClassVar[tuple[str, ...]] = ("Linf", "L2")
    minimum_norm: ClassVar[bool] = False
    knowledge: ClassVar[Knowledge] = "gradients"
    stream_name: ClassVar[str]
    """The attack's name in its stream key."""
    prefers_large_margin: ClassVar[bool]
    """Without a detector: whether the larger margin is better, once the classifier is fooled."""

    steps: int = 100
    """Gradient steps of each run."""
    step_size: float = 0.1
    """Mean length of a step as a fraction of eps."""
    restarts: int = 1
    """Runs; the best image of all is kept."""
    start: str = "image"
    """`image`: the first run begins at the image, any further at random; or `random`."""
    kappa: float = 0.0
    """The margin above which the classifier counts as fooled (Carlini and Wagner's confidence)."""

    def __post_init__(self) -> None:
        require_positive(self, "steps", "step_size", "restarts")
        if not self.kappa >= 0:
            raise ValueError(f"{type(self).__name__}: kappa must be 0 or more, not {self.kappa}")
        require_choice(self, start=("image", "random"))

    @abstractmethod
    def direction(
        self, current: JointEvaluation, threat: ThreatModel, access: DetectorAccess
    ) -> Tensor:
        """The next step, of length 1 in the norm of `threat` at most: `(n, c, h, w)`."""

    @final
    @property
    def traits(self) -> AttackTraits:
        """It takes access to a detector."""
        return AttackTraits(detector_aware=True, steps=self.steps)

    @final
    @property
    def passes(self) -> int:
        """Each iterate once; the detector's own passes are not counted."""
        return self.restarts * (self.steps + 1)

    @final
    @property
    def stream_key(self) -> str:
        """As the first release wrote it."""
        return call_text(
            self.stream_name,
            steps=self.steps,
            step_size=self.step_size,
            restarts=self.restarts,
            start=self.start,
            kappa=self.kappa,
        )

    @final
    def __call__(
        self,
        model: Model,
        x: Tensor,
        y: Tensor,
        threat: ThreatModel,
        streams: Streams,
        target: Tensor | None = None,
        *,
        access: DetectorAccess = NO_ACCESS,
    ) -> Tensor:
        """The least suspicious iterate that fools the classifier; with what `access` allows."""
        require_fit(self, threat, y.ndim > 1)

        def evaluate(images: Tensor, balance: Tensor, restart: int) -> JointEvaluation:
            value = margin(model(images), y, target)
            suspicion = None if access.suspicion is None else access.suspicion(images)
            fooled = value > self.kappa
            return JointEvaluation(images, y, target, value, suspicion, fooled, balance, restart)

        best = LeastSuspicious(x)
        for restart in range(self.restarts):
            at_image = self.start == "image" and restart == 0
            x_adv = x if at_image else random_start(x, threat, streams)
            if access.start is not None and restart == 0:
                x_adv = threat.project(access.start, x)
            balance = x.new_zeros(len(x))
            for step in range(self.steps):
                with torch.enable_grad():
                    x_adv = x_adv.detach().requires_grad_()
                    current = evaluate(x_adv, balance, restart)
                    direction = self.direction(current, threat, access)
                best.offer(current, self._preference(current))
                balance = balance + 2 * current.fooled.to(balance) - 1
                length = 2 * self.step_size * threat.eps * (self.steps - step) / (self.steps + 1)
                x_adv = threat.project(x_adv.detach() + length * direction, x)
            with torch.no_grad():
                current = evaluate(x_adv, balance, restart)
                best.offer(current, self._preference(current))
        return best.x_adv

    @final
    def _preference(self, current: JointEvaluation) -> Tensor:
        """Ranks the images that fool the classifier: `(n,)`, larger is better."""
        if current.suspicion is not None:
            return -current.suspicion
        return current.margin if self.prefers_large_margin else -current.margin


BALANCE_RATE, BALANCE_LIMIT = 0.5, 6.0
"""How fast the weight follows the balance, and how far: at its ends one side has 1 part in 20."""


def balanced(current: JointEvaluation, fooling: Tensor, hiding: Tensor) -> Tensor:
    """Weighted sum of two directions `(n, c, h, w)`, each first scaled to length 1.

    The weight of `hiding` grows with the number of iterates that fooled the classifier.
    """
    weight = (BALANCE_RATE * current.balance.clamp(-BALANCE_LIMIT, BALANCE_LIMIT)).sigmoid()
    unit = ThreatModel("L2", 1.0).steepest
    return torch.lerp(unit(fooling), unit(hiding), per_case(weight, fooling))
