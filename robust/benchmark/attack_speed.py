"""The time of one attack on one batch, beside the bare passes of the network that it needs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from attacks import Attack, Streams, ThreatModel
from attacks.contract import require_fit
from attacks.losses import climb
from robust.engine.cells import make_attacks
from robust.engine.verified_attack import Recorder
from robust.errors import InputError
from robust.models import Adapter, choose_device, prepare
from robust.plan.spec import AttackSpec
from robust.units import parse_eps


@dataclass(frozen=True)
class AttackSpeed:
    """The cost of one attack on one batch; medians over the rounds."""

    attack: str
    """With every parameter."""
    norm: str
    eps: float | None
    """None for a minimum-norm attack, which searches the nearest adversarial image."""
    cases: int
    device: str
    forward: float
    """Forward passes per case."""
    backward: float
    """Input gradients per case."""
    seconds: float
    floor_seconds: float
    """Time of the same passes on the same network at the same precision, without an attack."""

    @property
    def gradient_calls_per_second(self) -> float:
        """Input gradients of single images per second."""
        return self.backward * self.cases / self.seconds

    @property
    def ratio_to_floor(self) -> float | None:
        """Time over that of the bare passes, 1 at best; None for an attack without any pass."""
        return self.seconds / self.floor_seconds if self.forward else None


@dataclass(frozen=True)
class TimedAttack:
    """One attack under one threat model on one batch, ready to run any number of times."""

    attack: Attack
    threat: ThreatModel
    model: Adapter
    x: Tensor
    """`(n, c, h, w)` on the model's device."""
    y: Tensor
    """`(n,)`."""
    seed: int

    @staticmethod
    def make(
        attack: Attack,
        threat: ThreatModel,
        classifier: Adapter,
        batch: tuple[Tensor, Tensor],
        device: str,
        seed: int,
    ) -> TimedAttack:
        """Prepare the classifier on a device and move the batch `(x, y)` there; InputError."""
        x, y = batch
        if not len(x) or len(x) != len(y):
            raise InputError(f"there are {len(x)} images and {len(y)} labels; give as many of both")
        model = prepare(classifier, choose_device(device), images=x)
        x, y = x.to(model.mean.device), y.to(model.mean.device)
        return TimedAttack(attack, threat, model, x, y, seed)

    def count(self) -> Recorder:
        """Run once and count the rows that went through the network; this warms up as well."""
        counted = Recorder(self.model, self.y)
        self._run(counted)
        return counted

    def seconds(self) -> float:
        """Run once; the time that it took."""
        return _seconds(lambda: self._run(self.model), self.x)

    def floor_seconds(self, counted: Recorder) -> float:
        """The time of as many bare passes."""
        return _seconds(
            lambda: bare_passes(self.model, self.x, self.y, counted.forward, counted.backward),
            self.x,
        )

    def _run(self, model: Callable[[Tensor], Tensor]) -> None:
        # Streams remember what was drawn: new ones make every round the same work.
        keys = self.attack.stream_key, self.threat.stream_key
        streams = Streams.of(self.seed, range(len(self.x)), *keys)
        self.attack(model, self.x, self.y, self.threat, streams)


def choose_threat(
    attack: str | Attack, eps: str | float | None, norm: str | None
) -> tuple[Attack, ThreatModel]:
    """The attack and the threat model to time it under; InputError or ValueError.

    `eps` may be None for a minimum-norm attack, `norm` where the attack's first one will do.
    """
    made = make_attacks([AttackSpec(name=attack)])[0] if isinstance(attack, str) else attack
    if eps is None and not made.minimum_norm:
        raise InputError(f"{type(made).__name__} needs eps, such as '4/255'")
    threat = ThreatModel(norm or made.norms[0], math.inf if eps is None else parse_eps(eps))
    require_fit(made, threat)
    return made, threat


def bare_passes(
    model: Callable[[Tensor], Tensor], x: Tensor, y: Tensor, forward: int, backward: int
) -> None:
    """Send `forward` rows through the network, `backward` of them with their input gradient.

    In full batches of `x (n, c, h, w)`: an attack that drops finished cases works on smaller ones.
    """
    for rows in _batches(backward, len(x)):
        own = y[:rows, None]

        def own_logits(logits: Tensor, own: Tensor = own) -> Tensor:
            return logits.gather(1, own)[:, 0]

        climb(model, x[:rows], own_logits)
    with torch.no_grad():
        for rows in _batches(forward - backward, len(x)):
            model(x[:rows])


def _batches(rows: int, most: int) -> Iterator[int]:
    full, rest = divmod(max(rows, 0), most)
    yield from [most] * full + [rest] * (rest > 0)


def _seconds(work: Callable[[], None], x: Tensor) -> float:
    if x.is_cuda:
        torch.cuda.synchronize(x.device)
    began = time.perf_counter()
    work()
    if x.is_cuda:
        torch.cuda.synchronize(x.device)
    return time.perf_counter() - began
