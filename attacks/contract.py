"""The contract of an attack: a frozen dataclass that is called on one batch."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

from torch import Tensor

from attacks.streams import Streams
from attacks.threat import NORMS, ThreatModel

Model = Callable[[Tensor], Tensor]
"""Displayed pixels in [0, 1] to logits; rows do not mix.

The pixels are `(n, c, h, w)`, or `(n, c, d, h, w)` of volumes. The logits are `(n, k)`, k >= 2, or
dense: `(n, k, *space)`, one for each pixel of the image, where k = 1 will do if structures overlap.
"""

AttackFunction = Callable[[Model, Tensor, Tensor, ThreatModel, Streams, Tensor | None], Tensor]
"""What an attack is to its caller: `(model, x, y, threat, streams, target) -> x_adv`."""

Knowledge = Literal["none", "labels", "scores", "gradients", "gradients and scores"]
"""What an attack must know of the model. `none`: nothing; `labels`: the predicted label;
`scores`: the logits; `gradients`: logits and their gradients. `gradients and scores`: an ensemble
of both kinds, whose success does not show that gradients lead to it."""


@dataclass(frozen=True)
class AttackTraits:
    """Optional properties of an attack that an audit uses; the defaults mean that it has none."""

    baseline: bool = False
    """Random images, no search. Attacks are compared with it; it is never worth detecting."""
    detector_aware: bool = False
    """It is an `AdaptiveAttack`, which may be given access to a detector."""
    steps: int = 0
    """Gradient steps of one run."""
    travel: float = math.inf
    """Length of all steps from a random start together, in units of eps; below 2 they cannot cross
    an L-inf ball. Infinite where runs begin at the image or steps have no fixed length."""
    counts_passes: bool = True
    """Whether `passes` is an upper bound; else an estimate."""
    early_stopping: Attack | None = None
    """The same attack with early stopping: each case ends at its first success."""
    equals: Attack | None = None
    """Another attack that does the same to every model."""
    equals_on_two_classes: Attack | None = None
    """Another attack that does the same to every model with two classes and logits `(n, k)`. Not
    with dense ones: the gradients of a pixel are parallel, their sums over the pixels are not."""
    keeps_still: bool = False
    """It moves no pixel on which gradient and random draws are zero."""
    averaging: Callable[[int], Attack] | None = None
    """The same attack with means of so many passes of a network with random outputs; None: it does
    not average by itself."""
    dense: bool = False
    """It works on dense logits."""
    dense_only: bool = False
    """It works on dense logits alone, not on `(n, k)`."""


class Attack(Protocol):
    """A frozen dataclass that looks for an adversarial image of each case in a batch.

    Call it as `attack(model, x, y, threat, streams, target=None) -> x_adv`:

    - `x` is `(n, c, h, w)` in [0, 1], or `(n, c, d, h, w)`; `streams` holds one stream per case.
    - `y` is `(n,)` int64. With dense logits it is the class of each pixel, `(n, *space)` int64, or,
      where structures overlap, 0 and 1 in the shape of the logits; `dense.IGNORE` (-1) marks pixels
      that do not count.
    - `target` is None (anything but `y` will do) or, in the form of `y`, the label or mask to
      reach, IGNORE where the attacker has no wish.
    - `x_adv` has the shape, dtype and device of `x`, lies in [0, 1] and within `threat`. Where the
      attack finds nothing it returns the most damaging image that it saw, never NaN. What is more
      damaging, `losses.margin` says; an attack that stops early stops where it tells of success.
    - Nothing but the arguments decides the result: no global random state, no state on the model
      (no `.grad`, no change of mode), and a case's result does not depend on its neighbours.
    - Minimum-norm attacks take `threat.eps = inf`; all others refuse it.

    Tables are made from docstrings: the module's first line names idea and paper, the class
    docstring describes the attack and when to use it, a docstring under each field describes it.
    """

    @property
    def norms(self) -> tuple[str, ...]:
        """The norms this attack can work in."""

    @property
    def minimum_norm(self) -> bool:
        """Whether it looks for the nearest adversarial image instead of one within eps."""

    @property
    def knowledge(self) -> Knowledge:
        """What it must know of the model."""

    @property
    def traits(self) -> AttackTraits:
        """What else an audit uses; `AttackTraits()` will do."""

    @property
    def passes(self) -> int:
        """Upper bound on the forward passes per case; orders attacks from cheap to costly."""

    @property
    def stream_key(self) -> str:
        """Names attack and fields in the seeds of its random streams (`streams.call_text`).

        Two settings that may give different images have different keys. A key may never change:
        stored runs could not be repeated. So it is written out, not made from the fields' names.
        """

    def __call__(
        self,
        model: Model,
        x: Tensor,
        y: Tensor,
        threat: ThreatModel,
        streams: Streams,
        target: Tensor | None = None,
    ) -> Tensor:
        """The adversarial images."""


MEMBERS = ("norms", "minimum_norm", "knowledge", "traits", "passes", "stream_key", "__call__")


def require_members(attack: object) -> None:
    """Raise ValueError, with what is missing, for an object that is no attack."""
    name = attack.__name__ if isinstance(attack, type) else type(attack).__name__
    missing = [member for member in MEMBERS if member not in dir(attack)]
    if missing:
        raise ValueError(
            f"{name} is not an attack: it has no {', '.join(missing)}; "
            f"attacks/contract.py says what an attack has"
        )


def require_attack_class(kind: type[Any]) -> None:
    """Raise ValueError, with the reason, for a class that cannot be registered as an attack."""
    require_members(kind)
    settings: Any = vars(kind).get("__dataclass_params__")
    if settings is None or not settings.frozen:
        raise ValueError(
            f"{kind.__name__} is not a frozen dataclass; write @dataclass(frozen=True)"
        )
    try:
        attack: Attack = kind()
    except TypeError as error:
        raise ValueError(f"{kind.__name__}: every field needs a default ({error})") from None
    if not isinstance(attack.norms, tuple) or not {*attack.norms, "Linf"} <= set(NORMS):
        raise ValueError(f"{kind.__name__}: norms must be a tuple of {' and '.join(NORMS)}")
    if attack.knowledge not in get_args(Knowledge):
        known = ", ".join(map(repr, get_args(Knowledge)))
        raise ValueError(f"{kind.__name__}: knowledge must be one of {known}")
    if not isinstance(attack.traits, AttackTraits):
        raise ValueError(f"{kind.__name__}: traits must be an AttackTraits")


def require_fit(attack: Attack, threat: ThreatModel, dense: bool | None = None) -> None:
    """Raise ValueError where this attack cannot work under this threat model.

    With `dense`, whether the model's logits are dense, also where it does not work on such logits.
    """
    name = type(attack).__name__
    if threat.norm not in attack.norms:
        raise ValueError(
            f"{name} works in {' and '.join(attack.norms)}, not in {threat.norm}; "
            f"choose another attack or another norm"
        )
    if dense and not attack.traits.dense:
        raise ValueError(
            f"{_named(attack)} does not work on dense logits (segmentation); choose another attack "
            f"or loss, such as APGD on dice"
        )
    if dense is False and attack.traits.dense_only:
        raise ValueError(
            f"{_named(attack)} works on dense logits (segmentation) alone; choose another attack "
            f"or loss, such as APGD on cross_entropy"
        )
    if attack.minimum_norm and not math.isinf(threat.eps):
        raise ValueError(f"{name} looks for the nearest adversarial image: give it eps = inf")
    if not attack.minimum_norm and math.isinf(threat.eps):
        raise ValueError(f"{name} needs a finite eps; only minimum-norm attacks take eps = inf")


def _named(attack: object) -> str:
    """The attack's name, with its loss where it has one."""
    loss = getattr(attack, "loss", None)
    return type(attack).__name__ + (f" on {loss}" if loss else "")


def require_positive(attack: object, *fields: str) -> None:
    """Raise ValueError unless the named fields of an attack are above zero."""
    for field in fields:
        value = getattr(attack, field)
        if not value > 0:
            raise ValueError(f"{type(attack).__name__}: {field} must be above 0, not {value}")


def require_choice(attack: object, **allowed: tuple[str, ...]) -> None:
    """Raise ValueError unless each named field of an attack holds one of the values allowed."""
    for field, values in allowed.items():
        value = getattr(attack, field)
        if value not in values:
            raise ValueError(
                f"{type(attack).__name__}: {field} must be {' or '.join(values)}, not {value!r}"
            )
