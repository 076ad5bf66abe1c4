"""Runs one attack on one batch and measures its images: distance, box and prediction."""

from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from attacks import AttackFunction, Model, Streams, ThreatModel
from attacks.losses import saturated
from attacks.repeated_passes import draws_begin_at
from attacks.streams import stream_seed
from attacks.threat import per_case
from robust.engine.run_store import Outcome
from robust.engine.touch.instances import within_limits
from robust.errors import BlackBoxFailure, type_and_line
from robust.metrics.worst_case import Ball
from robust.models.acceleration.memory import OutOfMemory, memory_ran_out
from robust.tasks.contract import Batch, Task
from robust.units import NORMS, distance_field, eps_text, norm_text

EXACT = ("Linf", "L0")
"""A largest change and a number of pixels are exact in float32; a sum is not."""


def slack(threat: ThreatModel, pixels: int) -> float:
    """Largest distance that counts as within eps at float32, for images of `pixels` values."""
    return Ball(threat.norm, threat.eps, pixels).limit


@dataclass(frozen=True)
class AttackSetup:
    """An attack to run on batches, with its threat model, task and seed."""

    attack: AttackFunction
    stream_key: str
    """Names the attack in the seeds of its random streams."""
    threat: ThreatModel
    task: Task
    seed: int
    stop: bool = False
    """End on each case at its first success."""
    keeps_still: bool = False
    """As in the traits of the attack."""
    random: bool = False
    """Whether the model's outputs are random: its draws then begin anew with each batch, so that a
    run that goes on repeats them."""


def attack_batch(
    model: Model, setup: AttackSetup, batch: Batch, quick: Model | None = None
) -> tuple[Tensor, list[Outcome]]:
    """The adversarial images `(n, c, h, w)`, and the outcomes that `model` gives them.

    The attack runs on `quick` in place of the model, where there is one. A crash, a NaN or an image
    outside the threat model is a failure, and its image the clean one. Raises OutOfMemory where a
    smaller batch may do, and BlackBoxFailure, which says nothing of the attack.
    """
    x, y = batch.x, batch.y
    recorder = Recorder(quick or model, y)
    x_adv, failures = _run(recorder, setup, batch)
    if any(failure is not None for failure in failures):
        sound = torch.tensor([failure is None for failure in failures], device=x.device)
        usable = x_adv if x_adv.shape == x.shape else x
        x_adv = torch.where(per_case(sound, x), usable, x)
    with torch.no_grad():
        logits = model(x_adv)
    # One copy for all cases: a GPU would wait for the CPU at each value.
    reached, finite, saturated_cases = torch.stack(
        [
            setup.task.success(logits, batch),
            torch.isfinite(logits.flatten(1)).all(1),
            recorder.saturated,
        ]
    ).tolist()
    distances = _distances(x_adv, x)
    kept = setup.task.keep(logits, batch.cases)
    outcomes = []
    for i, row in enumerate(batch.rows):
        failure = failures[i] if finite[i] else failures[i] or "NaN or infinite logits"
        outcomes.append(
            Outcome(
                row=row,
                kept=kept[i],
                **{name: values[i] for name, values in distances.items()},
                success=reached[i] and failure is None,
                saturated=saturated_cases[i],
                passes=recorder.passes,
                failure=failure,
            )
        )
    return x_adv, outcomes


def _distances(x_adv: Tensor, x: Tensor) -> dict[str, list[float]]:
    """How far each image was moved in each norm, by the field of an `Outcome`."""
    single, double = (x_adv, x), (x_adv.double(), x.double())
    found = [
        ThreatModel(norm, 0).distance(*(single if norm in EXACT else double)) for norm in NORMS
    ]
    each = torch.stack([one.double() for one in found]).tolist()
    return {distance_field(norm): values for norm, values in zip(NORMS, each, strict=True)}


def _distance(threat: ThreatModel, x_adv: Tensor, x: Tensor) -> list[float]:
    both = (x_adv, x) if threat.norm in EXACT else (x_adv.double(), x.double())
    found: list[float] = threat.distance(*both).tolist()
    return found


def _run(model: Model, setup: AttackSetup, batch: Batch) -> tuple[Tensor, list[str | None]]:
    """What the attack returns, and for each case why that is a failure, or None."""
    x, threat = batch.x, setup.threat
    ids = [case.id for case in batch.cases]
    streams = Streams.of(setup.seed, ids, setup.stream_key, threat.stream_key)
    target = setup.task.targets(batch)
    attack = within_limits(setup.task, setup.attack, batch, together=setup.keeps_still)
    try:
        if setup.stop:
            attack = setup.task.until_success(attack, batch)
        seed = stream_seed(setup.seed, ids, setup.stream_key, threat.stream_key)
        with draws_begin_at(seed, x.device) if setup.random else nullcontext():
            x_adv = attack(model, x, batch.y, threat, streams, target).detach()
        found = _violations(x_adv, x, threat)
        if setup.task.bags is not None and x_adv.shape == x.shape:
            beyond = setup.task.bags.violations(x_adv, x)
            found = [one or other for one, other in zip(found, beyond, strict=True)]
        return x_adv, found
    except (KeyboardInterrupt, BlackBoxFailure):
        raise
    except BaseException as error:  # noqa: BLE001  (a foreign attack may even call sys.exit)
        if memory_ran_out(error):
            raise OutOfMemory(len(x)) from None
        return x, [type_and_line(error)] * len(x)


def _violations(x_adv: Tensor, x: Tensor, threat: ThreatModel) -> list[str | None]:
    """For each case how its image breaks the contract (shape, box, distance), or None."""
    if x_adv.shape != x.shape or x_adv.dtype != x.dtype:
        return [f"returned {x_adv.dtype} {tuple(x_adv.shape)} for {tuple(x.shape)}"] * len(x)
    low, high = torch.stack([x_adv.flatten(1).amin(1), x_adv.flatten(1).amax(1)]).tolist()
    finite = [math.isfinite(least) and math.isfinite(most) for least, most in zip(low, high)]
    moved = _distance(threat, x_adv, x)
    allowed = slack(threat, x[0].numel())
    found: list[str | None] = []
    for i in range(len(x)):
        if not finite[i]:
            found.append("returned NaN or infinite pixels")
        elif low[i] < 0 or high[i] > 1:
            found.append(f"left the box: pixels from {low[i]:.6g} to {high[i]:.6g}")
        elif moved[i] > allowed:
            # A float32 has seven digits.
            sizes = float(f"{moved[i]:.7g}"), threat.eps
            size, most = (eps_text(one, threat.norm) for one in sizes)
            found.append(f"moved {size} in {norm_text(threat.norm)}, allowed {most}")
        else:
            found.append(None)
    return found


class Recorder:
    """A model that counts the passes through it.

    - `forward`, `backward`: rows that went through the network either way;
    - `saturated`: `(n,)` bool, the cases whose cross-entropy saturated in a pass with gradients.
    """

    def __init__(self, model: Model, y: Tensor) -> None:
        self._model = model
        self._y = y
        self.forward = 0
        self.backward = 0
        self.saturated = torch.zeros(len(y), dtype=torch.bool, device=y.device)

    def __call__(self, x: Tensor) -> Tensor:
        """The logits of the model."""
        logits = self._model(x)
        rows = len(x)
        self.forward += rows
        if logits.requires_grad:
            logits.register_hook(lambda _: self._count(rows))  # type: ignore[no-untyped-call]
            if rows == len(self._y):
                self.saturated |= saturated(logits.detach(), self._y)
        return logits

    @property
    def passes(self) -> float:
        """Forward and backward passes per case."""
        return (self.forward + self.backward) / max(len(self._y), 1)

    def _count(self, rows: int) -> None:
        self.backward += rows
