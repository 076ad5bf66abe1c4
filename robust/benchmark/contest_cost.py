"""What a comparison will take, from one measured pass: time and memory."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from attacks import Attack
from attacks.losses import climb, margin
from robust.benchmark.peers import installed_peers
from robust.benchmark.workloads import Workload
from robust.models import full_precision
from robust.models.acceleration.memory import WORKING_MEMORY, bytes_for_gradient, free_memory
from robust.progress import clock_text

MEASURED = 4
"""Images of the measured pass, at most."""
OWN = 4
"""Ways in which this suite runs an attack within an eps: exact, curve and both floors."""
GIB = 2**30


@dataclass(frozen=True)
class ContestCost:
    """Upper bounds, roughly: faster copies of the network and early successes take less."""

    pass_seconds: float
    """One image through the network, forward and backward."""
    seconds: float
    """The whole comparison."""
    memory: int
    """Bytes that an attack on all images at once takes; 0 where that cannot be measured."""
    free: int | None
    """Bytes that are free; None where the system does not say."""

    @property
    def text(self) -> str:
        """One line, and a second one where memory will not do."""
        line = (
            f"This will take about {clock_text(self.seconds)} at most (one image forward and "
            f"backward: {self.pass_seconds:.2g} s)"
        )
        line += f" and {_size(self.memory)} of memory." if self.memory else "."
        if self.free is not None and self.memory > self.free:
            line += f"\nOnly {_size(self.free)} are free: take fewer images with --limit."
        return line


def _size(count: int) -> str:
    return f"{count / GIB:.1f} GiB" if count >= GIB else f"{count / 2**20:.0f} MiB"


def expect_cost(workload: Workload, attack: Attack, rounds: int) -> ContestCost:
    """Measure one pass and count those that the attack's rounds and the one before will make."""
    classifier, x, y = workload.classifier, workload.x, workload.y
    part, labels = x[:MEASURED], y[:MEASURED]

    def once() -> float:
        began = time.perf_counter()
        climb(classifier, part, lambda logits: margin(logits, labels))
        if x.is_cuda:
            torch.cuda.synchronize(x.device)
        return (time.perf_counter() - began) / len(part)

    with full_precision():
        once()
        pass_seconds = once()
        memory = WORKING_MEMORY * bytes_for_gradient(classifier, x[:1]) * len(x)
    everyone = OWN - attack.minimum_norm + len(installed_peers(attack))
    seconds = pass_seconds * len(x) * attack.passes * everyone * (rounds + 1)
    return ContestCost(pass_seconds, seconds, int(memory), free_memory(x.device))
