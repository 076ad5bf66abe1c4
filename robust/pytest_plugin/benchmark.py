"""The fixture `attack_benchmark`: the time of an attack through pytest-benchmark."""

from __future__ import annotations

import dataclasses
import math
import statistics
from typing import TYPE_CHECKING, Any

from robust.pytest_plugin.options import quiet_libraries, refuse

if TYPE_CHECKING:
    from torch import Tensor

    from attacks import Attack
    from robust.benchmark.attack_speed import AttackSpeed, TimedAttack
    from robust.models import Adapter


class AttackBenchmark:
    """The fixture `attack_benchmark`: pytest-benchmark's fixture, set up to time an attack."""

    def __init__(self, benchmark: Any, device: str) -> None:
        self._benchmark = benchmark
        self._device = device

    def __call__(
        self,
        attack: str | Attack,
        classifier: Adapter,
        x: Tensor,
        y: Tensor,
        *,
        eps: str | float | None = None,
        norm: str | None = None,
        rounds: int = 5,
        device: str | None = None,
        seed: int = 0,
    ) -> AttackSpeed:
        """Time the attack on `x (n, c, h, w)` with labels `y (n,)`; bad input fails the test.

        `eps` may be left out for a minimum-norm attack, `norm` where its first will do. Every round
        attacks the same images with the same random numbers and makes its bare passes just before,
        so that both meet the same machine. With --benchmark-disable there is one round.
        """
        with quiet_libraries():
            from robust.benchmark.attack_speed import TimedAttack, choose_threat
            from robust.models import full_precision

        with quiet_libraries(), full_precision():
            wrong: ValueError | None = None
            try:
                resolved, threat = choose_threat(attack, eps, norm)
                run = TimedAttack.make(
                    resolved, threat, classifier, (x, y), device or self._device, seed
                )
            except ValueError as error:
                wrong = error
            if wrong is not None:  # outside the handler, else pytest shows its chain
                refuse(wrong)
            return self._time(run, max(rounds, 1))

    def _time(self, run: TimedAttack, rounds: int) -> AttackSpeed:
        from robust.benchmark.attack_speed import AttackSpeed

        counted = run.count()
        attacked: list[float] = []
        bare: list[float] = []

        def before() -> None:
            bare.append(run.floor_seconds(counted))

        def once() -> None:
            attacked.append(run.seconds())

        self._benchmark.pedantic(once, setup=before, rounds=rounds, iterations=1)
        n = len(run.x)
        speed = AttackSpeed(
            attack=repr(run.attack),
            norm=run.threat.norm,
            eps=None if math.isinf(run.threat.eps) else run.threat.eps,
            cases=n,
            device=str(run.x.device),
            forward=counted.forward / n,
            backward=counted.backward / n,
            seconds=statistics.median(attacked),
            floor_seconds=statistics.median(bare),
        )
        self._benchmark.extra_info.update(
            dataclasses.asdict(speed),
            gradient_calls_per_second=speed.gradient_calls_per_second,
            ratio_to_floor=speed.ratio_to_floor,
        )
        return speed
