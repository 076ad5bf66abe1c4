"""What a sweep would cost: a few steps of each kind of training and a dry run of its audit."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from robust.auditing.dry_run import DryRun, dry_run, dry_run_of
from robust.auditing.request import RunSettings, request_on
from robust.engine.inputs import open_data
from robust.models import Adapter, choose_device
from robust.models.class_order import match_classes
from robust.progress import Announce, Progress, no_announcement, no_progress
from robust.sweeps.grid import Member, members_of
from robust.sweeps.run import check_members
from robust.sweeps.spec import SweepSpec
from robust.training.network import make_untrained
from robust.training.recipe import Recipe
from robust.training.splits import Splits, open_training_splits

MEASURED_SECONDS = 1.5
"""Steps of a kind of training are repeated for so long, two of them at least."""
EVALUATION = 1 / 3
"""Cost of a forward pass as a share of a training step of the same images."""


@dataclass(frozen=True)
class SweepCost:
    """What a sweep would cost, at most."""

    members: int
    trainings: int
    """Distinct models that are trained."""
    training_seconds: float
    audit_seconds: float
    least_audit_seconds: float
    """The same where curve cells find every case fallen."""
    bytes: int
    by_member: tuple[tuple[str, float, float], ...]
    """Name, seconds of its training (0 where another member has it trained), seconds of its
    audit."""

    @property
    def least_seconds(self) -> float:
        """Of the whole sweep, where curve cells find every case fallen."""
        return self.training_seconds + self.least_audit_seconds

    @property
    def seconds(self) -> float:
        """Of the whole sweep, at most."""
        return self.training_seconds + self.audit_seconds

    @property
    def totals(self) -> dict[str, float]:
        """Seconds of the whole sweep, at most and where curve cells find every case fallen."""
        return {"seconds": self.seconds, "least_seconds": self.least_seconds}


def sweep_cost(
    spec: SweepSpec,
    settings: RunSettings,
    *,
    allow_code: bool = False,
    progress: Progress = no_progress,
    announce: Announce = no_announcement,
) -> SweepCost:
    """Measure one member of each kind, and estimate all; nothing is kept.

    Members of a kind share network, image size, adversarial training, data, and the plan but its
    seed. The audit of a model that is trained is measured on its network before training.
    """
    members = members_of(spec, allow_code=allow_code)
    check_members(members)
    training: dict[str, tuple[float, int]] = {}
    audits: dict[str, DryRun] = {}
    trained: set[str] = set()
    rows = []
    size, least = 0, 0.0
    for place, member in enumerate(members):
        progress(place, len(members), member.name)
        spent = 0.0
        recipe = member.recipe
        if recipe is not None and member.training not in trained:
            trained.add(member.training)
            spent, weights = _training(recipe, training, settings.device)
            size += weights
        kind = _audit_kind(member)
        if kind not in audits:
            announce(f"Measuring: {member.name}")
            audits[kind] = _audit(member, settings)
        size += audits[kind].bytes
        least += audits[kind].least_seconds
        rows.append((member.name, spent, audits[kind].seconds))
    return SweepCost(
        members=len(members),
        trainings=len(trained),
        training_seconds=sum(row[1] for row in rows),
        audit_seconds=sum(row[2] for row in rows),
        least_audit_seconds=least,
        bytes=size,
        by_member=tuple(rows),
    )


def _training(
    recipe: Recipe, known: dict[str, tuple[float, int]], device: str
) -> tuple[float, int]:
    """Expected seconds of a training, and bytes of its folder."""
    splits = open_training_splits(recipe)
    network = recipe.network.model_dump_json()
    kind = f"{network} {recipe.training.batch} {recipe.adversarial} {recipe.data}"
    if kind not in known:
        known[kind] = _seconds_per_image(recipe, splits, device)
    each, weights = known[kind]
    held_out = len(splits.val) + (0 if splits.test is None else len(splits.test))
    images = len(splits.train) * recipe.training.repeats + len(splits.val) * EVALUATION
    final = held_out * EVALUATION
    return each * (recipe.training.epochs * images + final), 2 * weights


def _seconds_per_image(recipe: Recipe, splits: Splits, device: str) -> tuple[float, int]:
    """Seconds of one image in a training step, and bytes of the weights."""
    adapter = make_untrained(recipe, splits.train)
    weights = sum(v.numel() * v.element_size() for v in adapter.network.state_dict().values())
    rows = range(min(recipe.training.batch, len(splits.train)))
    began = time.perf_counter()
    images = torch.stack([splits.train[row].image for row in rows if _alike(splits, row)])
    reading = (time.perf_counter() - began) / len(images)
    step = _seconds_of_step(adapter, images, choose_device(device))
    passes = 1 if recipe.adversarial is None else 1 + recipe.adversarial.steps
    return reading + passes * step / len(images), weights


def _alike(splits: Splits, row: int) -> bool:
    return splits.train[row].image.shape == splits.train[0].image.shape


def _seconds_of_step(adapter: Adapter, images: torch.Tensor, device: torch.device) -> float:
    """Seconds of a forward and backward pass to the weights."""
    adapter = adapter.to(device).train()
    images = images.to(device)
    parameters = [p for p in adapter.network.parameters() if p.requires_grad]
    times: list[float] = []
    while len(times) < 2 or sum(times) < MEASURED_SECONDS:
        began = time.perf_counter()
        torch.autograd.grad(
            adapter(images).double().logsumexp(1).sum(), parameters, allow_unused=True
        )
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - began)
    return min(times[1:])


def _audit_kind(member: Member) -> str:
    plan = member.plan.model_dump_json(exclude={"title": True, "audit": {"seed"}})
    if member.recipe is None:
        return plan
    return f"{plan} {member.recipe.network.model_dump_json(exclude={'pretrained', 'weights'})}"


def _audit(member: Member, settings: RunSettings) -> DryRun:
    """The cost of an audit, of the untrained network where the model is trained."""
    plan = member.plan
    if member.recipe is None or plan.data is None:
        return dry_run(plan, settings)
    cases = open_data(plan.data)
    adapter = make_untrained(member.recipe, open_training_splits(member.recipe).train)
    match_classes(adapter, cases.classes, cases.outlines)
    return dry_run_of(request_on(plan, adapter, cases, settings), settings)
