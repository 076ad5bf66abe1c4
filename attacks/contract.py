"""The contract of an attack: one pure batch function, its parameters as fields."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

from torch import Tensor

from attacks.streams import Streams
from attacks.threat import ThreatModel

Model = Callable[[Tensor], Tensor]
"""Displayed pixels `(n, c, h, w)` in [0, 1] to logits `(n, k)`, k >= 2; rows do not mix."""


class Attack(Protocol):
    """A frozen dataclass that looks for an adversarial image of each case in a batch.

    Call it as `attack(model, x, y, threat, streams, target=None) -> x_adv`:

    - `x` is `(n, c, h, w)` in [0, 1], `y` is `(n,)` int64, `streams` holds one stream a case.
    - `target` is None (any label but `y` will do) or `(n,)` int64, the label to reach.
    - `x_adv` has the shape, dtype and device of `x`, lies in [0, 1] and within `threat`. Where the
      attack finds nothing it returns the most damaging image that it saw, never NaN.
    - Nothing but the arguments decides the result: no global random state, no state on the model
      (no `.grad`, no change of mode), and a case's result does not depend on its neighbours.
    - Minimum-norm attacks take `threat.eps = inf`; all others refuse it.
    """

    @property
    def norms(self) -> tuple[str, ...]:
        """The norms this attack can work in."""

    @property
    def minimum_norm(self) -> bool:
        """Whether it looks for the nearest adversarial image instead of one within eps."""

    @property
    def passes(self) -> int:
        """Upper bound on the forward passes a case costs; orders attacks from cheap to dear."""

    def __call__(
        self,
        model: Model,
        x: Tensor,
        y: Tensor,
        threat: ThreatModel,
        streams: Streams,
        target: Tensor | None = None,
    ) -> Tensor: ...


def require_fit(attack: Attack, threat: ThreatModel) -> None:
    """Raise ValueError where this attack cannot work under this threat model."""
    name = type(attack).__name__
    if threat.norm not in attack.norms:
        raise ValueError(
            f"{name} works in {' and '.join(attack.norms)}, not in {threat.norm}; "
            f"choose another attack or another norm"
        )
    if attack.minimum_norm and not math.isinf(threat.eps):
        raise ValueError(f"{name} looks for the nearest adversarial image: give it eps = inf")
    if not attack.minimum_norm and math.isinf(threat.eps):
        raise ValueError(f"{name} needs a finite eps; only minimum-norm attacks take eps = inf")


def require_positive(attack: object, *fields: str) -> None:
    """Raise ValueError unless the named fields of an attack are above zero."""
    for field in fields:
        value = getattr(attack, field)
        if not value > 0:
            raise ValueError(f"{type(attack).__name__}: {field} must be above 0, not {value}")
