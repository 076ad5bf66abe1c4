"""Speed against other libraries: the same model, images and gradient budget, timed in turn."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from attacks import PGD, Attack, CarliniWagnerL2, ThreatModel
from robust.benchmark.attack_speed import bare_passes
from robust.benchmark.peers import PeerAttack, installed_peers, seeded
from robust.benchmark.workloads import Workload
from robust.cases.case import Case
from robust.engine.cells import Cell
from robust.engine.mixed_precision import MixedPrecisionAttacker, make_mixed_precision_attacker
from robust.engine.run_store import RunStore
from robust.engine.runner import TIMING_IMAGES
from robust.errors import first_line
from robust.models import full_precision
from robust.models.acceleration.memory import keep_freed_memory
from robust.progress import Progress, no_progress
from robust.tasks.classification import ANY_ERROR
from robust.tasks.contract import Batch

OURS, OURS_EARLY_STOP = "robust", "robust, first success"
FLOOR, PLAIN = "bare passes, as quick", "bare passes, plain network"


@dataclass
class Contestant:
    """One implementation of an attack, with its times, its peak memory and its strength."""

    name: str
    run: Callable[[int], Tensor]
    """Makes the adversarial images; the argument is the round's number, used as the seed."""
    seconds: list[float] = field(default_factory=list)
    memory: float = 0.0
    """Peak MiB above what was in use before, on the GPU where there is one."""
    strength: float = math.nan
    """PGD: robust accuracy; a minimum-norm attack: median L2 distance of the images that fooled the
    model."""
    failed: str = ""
    """Why it could not run."""

    @property
    def median_seconds(self) -> float:
        """Median time of a round, in seconds; NaN where there is none."""
        return statistics.median(self.seconds) if self.seconds else math.nan


def contest(
    workload: Workload,
    attack: Attack,
    eps: float,
    *,
    rounds: int = 3,
    precision: str = "auto",
    passes: float = 0,
    defaults: bool = False,
    progress: Progress = no_progress,
) -> tuple[list[Contestant], MixedPrecisionAttacker]:
    """Run every library's implementation of the attack on a workload.

    After a round to warm up, `rounds` rounds of each in turn. The floor is the least time that an
    attack with all its steps can take: its passes without the attack, in the precision that ours
    runs in. A bounded attack runs twice: as in an exact cell, and as in a curve cell, where it
    stops at the first success on a case. `passes` is how many an audit would make, from which it
    follows whether the network is compiled. With `defaults` the other libraries run as torch sets
    itself up, with TF32 in the convolutions of a GPU, else at full float32.
    """
    classifier, x, y = workload.classifier, workload.x, workload.y
    threat = ThreatModel(attack.norms[0], math.inf if attack.minimum_norm else eps)
    exact = Cell(type(attack).__name__, attack, threat, exact=True)
    curve = dataclasses.replace(exact, exact=False)
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.closing(RunStore(Path(folder))) as store,
        full_precision(),
    ):
        attacker = make_mixed_precision_attacker(
            classifier, x[:TIMING_IMAGES], precision, store, len(x), passes=passes
        )
        batch = _batch(workload)

        def ours(seed: int, cell: Cell = exact) -> Tensor:
            return attacker.run(cell, batch, ANY_ERROR, seed)[0]

        models = attacker.models
        rows = len(x) * (attack.passes - (not attack.minimum_norm))

        def floor(model: Callable[[Tensor], Tensor]) -> Tensor:
            bare_passes(model, x, y, forward=rows, backward=rows)
            return x

        contestants = [
            Contestant(OURS, ours),
            Contestant(FLOOR, lambda _: floor(models.low_precision or models.float32)),
            Contestant(PLAIN, lambda _: floor(classifier)),
        ]
        if not attack.minimum_norm:
            contestants.insert(1, Contestant(OURS_EARLY_STOP, lambda seed: ours(seed, curve)))
        for name, peer in installed_peers(attack).items():

            def theirs(_: int, peer: PeerAttack = peer) -> Tensor:
                with library_defaults() if defaults else nullcontext():
                    return peer(classifier, x, y, eps)

            contestants.append(Contestant(name, theirs))
        turns = (rounds + 1) * len(contestants)
        for number in range(rounds + 1):
            stage = f"round {number} of {rounds}" if number else "warming up"
            for place, one in enumerate(contestants):
                progress(number * len(contestants) + place, turns, f"{stage}, {one.name}")
                if not one.failed:
                    _measure(one, number, workload, threat)
    return contestants, attacker


@contextmanager
def library_defaults() -> Iterator[None]:
    """TF32 in convolutions and any kernel, as torch sets itself up; restored afterwards."""
    with torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=False, allow_tf32=True
    ):
        yield


def _measure(one: Contestant, number: int, workload: Workload, threat: ThreatModel) -> None:
    x = workload.x
    try:
        ours = one.name in (OURS, OURS_EARLY_STOP, FLOOR)
        kept = keep_freed_memory(x.device) if ours else nullcontext()
        with kept, seeded(number), _memory(one, x):
            began = time.perf_counter()
            x_adv = one.run(number)
            if x.is_cuda:
                torch.cuda.synchronize(x.device)
            seconds = time.perf_counter() - began
    except Exception as error:  # noqa: BLE001  (another library may fail in any way)
        one.failed = f"{type(error).__name__}: {first_line(error)}"
        return
    if number:  # the first round warms up
        one.seconds.append(seconds)
    if one.name not in (FLOOR, PLAIN):
        one.strength = measure_strength(workload, x_adv.detach(), threat)


def measure_strength(workload: Workload, x_adv: Tensor, threat: ThreatModel) -> float:
    """Robust accuracy within eps, or the median distance where eps is infinite.

    Measured on the network as it is; an image outside its limits fools nobody.
    """
    with torch.no_grad():
        fooled = workload.classifier(x_adv).argmax(1) != workload.y
    moved = threat.distance(x_adv, workload.x)
    inside = ((x_adv >= 0) & (x_adv <= 1)).flatten(1).all(1)
    if math.isfinite(threat.eps):
        return 1 - float((fooled & inside & (moved <= threat.eps + 2e-6)).double().mean())
    far = torch.where(fooled & inside, moved, math.inf)
    return float(far.median())


def _batch(workload: Workload) -> Batch:
    x, y = workload.x, workload.y
    with torch.no_grad():
        logits = workload.classifier(x)
    cases = tuple(Case(f"{i}", int(label), f"{i}", x[i]) for i, label in enumerate(y))
    return Batch(tuple(range(len(x))), cases, x, y, logits)


@contextmanager
def _memory(one: Contestant, x: Tensor) -> Iterator[None]:
    """Record the peak of memory in use inside the block, above what was in use before."""
    if x.is_cuda:
        torch.cuda.reset_peak_memory_stats(x.device)
        before = torch.cuda.memory_allocated(x.device)
        yield
        peak = torch.cuda.max_memory_allocated(x.device)
        one.memory = max(one.memory, (peak - before) / 2**20)
        return
    before = _resident()
    highest, over = before, threading.Event()

    def watch() -> None:
        nonlocal highest
        while not over.wait(0.02):
            highest = max(highest, _resident())

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
        one.memory = max(one.memory, (highest - before) / 2**20)


def _resident() -> int:
    """Bytes of this process in memory; 0 where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * 4096


def benchmark_attacks(names: Sequence[str], steps: int) -> dict[str, Attack]:
    """The attacks of these names, PGD or CarliniWagnerL2, for a budget of gradients."""
    known: dict[str, Attack] = {
        "PGD": PGD(steps=steps),
        "CarliniWagnerL2": CarliniWagnerL2(steps=steps, binary_steps=5),
    }
    return {name: known[name] for name in names}
