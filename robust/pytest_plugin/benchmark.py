"""How fast an attack runs, beside the bare passes that it cannot do without."""

from __future__ import annotations

import dataclasses
import math
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from attacks import Attack, Streams, ThreatModel, make_attack
from attacks.contract import require_fit
from robust.engine.verified_attack import Recorder
from robust.errors import InputError
from robust.models import Classifier, choose_device, full_precision, prepare, settle_head
from robust.plan.spec import parse_eps
from robust.pytest_plugin.options import refuse

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Speed:
    """What one attack cost on one batch; medians over the rounds."""

    attack: str
    """With every parameter."""
    norm: str
    eps: float | None
    """None for the nearest adversarial image."""
    cases: int
    device: str
    forward: float
    """Forward passes a case."""
    backward: float
    """Input gradients a case."""
    seconds: float
    floor_seconds: float
    """The same passes on the same network at the same precision, and nothing else."""

    @property
    def gradient_calls_per_second(self) -> float:
        """Input gradients of one image each."""
        return self.backward * self.cases / self.seconds

    @property
    def ratio_to_floor(self) -> float | None:
        """1 would be an attack that costs nothing beside its passes; None for one without any."""
        return self.seconds / self.floor_seconds if self.forward else None


class AttackBenchmark:
    """What the fixture `attack_benchmark` is: pytest-benchmark's own, told how to run an attack."""

    def __init__(self, benchmark: Any, device: str) -> None:
        self._benchmark = benchmark
        self._device = device

    def __call__(
        self,
        attack: str | Attack,
        classifier: Classifier,
        x: Tensor,
        y: Tensor,
        *,
        eps: str | float | None = None,
        norm: str | None = None,
        rounds: int = 5,
        device: str | None = None,
        seed: int = 0,
    ) -> Speed:
        """Time the attack on `x (n, c, h, w)` with labels `y (n,)`; bad input fails the test.

        `eps` may be left out for a minimum-norm attack, `norm` where its first will do. Every round
        attacks the same images from the same random numbers, and makes its bare passes just before:
        so both meet the same machine. With --benchmark-disable there is one round.
        """
        with full_precision():
            run = _ready(attack, classifier, x, y, eps, norm, device or self._device, seed)
            if isinstance(run, ValueError):  # outside the handler, else pytest shows its chain
                refuse(run)
            return self._time(run, max(rounds, 1))

    def _time(self, run: _Run, rounds: int) -> Speed:
        seen = Recorder(run.model, run.y)
        run.attack_on(seen)  # also warms up
        attacked: list[float] = []
        bare: list[float] = []

        def before() -> None:
            bare.append(_seconds(lambda: run.passes(seen.forward, seen.backward), run.x))

        def once() -> None:
            attacked.append(_seconds(lambda: run.attack_on(run.model), run.x))

        self._benchmark.pedantic(once, setup=before, rounds=rounds, iterations=1)
        n = len(run.x)
        speed = Speed(
            attack=repr(run.attack),
            norm=run.threat.norm,
            eps=None if math.isinf(run.threat.eps) else run.threat.eps,
            cases=n,
            device=str(run.x.device),
            forward=seen.forward / n,
            backward=seen.backward / n,
            seconds=statistics.median(attacked),
            floor_seconds=statistics.median(bare),
        )
        self._benchmark.extra_info.update(
            dataclasses.asdict(speed),
            gradient_calls_per_second=speed.gradient_calls_per_second,
            ratio_to_floor=speed.ratio_to_floor,
        )
        return speed


@dataclass(frozen=True)
class _Run:
    """One attack on one batch."""

    attack: Attack
    model: Classifier
    x: Tensor
    y: Tensor
    threat: ThreatModel
    seed: int

    def attack_on(self, model: Callable[[Tensor], Tensor]) -> None:
        # Streams remember what was drawn: new ones make every round the same work.
        keys = self.attack.stream_key, self.threat.stream_key
        streams = Streams.of(self.seed, range(len(self.x)), *keys)
        self.attack(model, self.x, self.y, self.threat, streams)

    def passes(self, forward: int, backward: int) -> None:
        """So many rows through the network, `backward` of them with their input gradient.

        In full batches: an attack that drops the cases it is done with works on smaller ones.
        """
        for rows in _batches(backward, len(self.x)):
            x = self.x[:rows].detach().requires_grad_()
            own = self.model(x).gather(1, self.y[:rows, None]).sum()
            torch.autograd.grad(own, x)
        with torch.no_grad():
            for rows in _batches(forward - backward, len(self.x)):
                self.model(self.x[:rows])


def _batches(rows: int, most: int) -> list[int]:
    full, rest = divmod(max(rows, 0), most)
    return [most] * full + [rest] * (rest > 0)


def _seconds(work: Callable[[], None], x: Tensor) -> float:
    if x.is_cuda:
        torch.cuda.synchronize(x.device)
    began = time.perf_counter()
    work()
    if x.is_cuda:
        torch.cuda.synchronize(x.device)
    return time.perf_counter() - began


def _ready(
    attack: str | Attack,
    classifier: Classifier,
    x: Tensor,
    y: Tensor,
    eps: str | float | None,
    norm: str | None,
    device: str,
    seed: int,
) -> _Run | ValueError:
    """The run, or what is wrong with what was asked for."""
    try:
        made = make_attack(attack) if isinstance(attack, str) else attack
        if eps is None and not made.minimum_norm:
            raise InputError(f"{type(made).__name__} needs eps, such as '4/255'")
        threat = ThreatModel(norm or made.norms[0], math.inf if eps is None else parse_eps(eps))
        require_fit(made, threat)
        if not len(x) or len(x) != len(y):
            raise InputError(f"there are {len(x)} images and {len(y)} labels; give as many of both")
        model = prepare(classifier, choose_device(device))
        x, y = x.to(model.mean.device), y.to(model.mean.device)
        with torch.no_grad():
            settle_head(model, x)
    except ValueError as error:
        return error
    return _Run(made, model, x, y, threat, seed)
