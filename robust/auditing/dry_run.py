"""A dry run: what an audit would cost in time and disk, from a few seconds of measurement."""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from robust.auditing import cost, disk
from robust.auditing.attack_stage import computing
from robust.auditing.findings import CannotAuditFinding, FindingAudit, requested_findings
from robust.auditing.request import AuditRequest, RunSettings, open_request
from robust.cases.case import Case
from robust.detection.factory import make_extractor
from robust.engine.batch import group_by_shape, stack_images
from robust.engine.cells import running_order
from robust.errors import InputError
from robust.models import Adapter, choose_device, prepare
from robust.models.acceleration.accelerate import make_fast_models
from robust.models.preparation import image_template, require_classifier
from robust.plan.findings import asks_for_several
from robust.plan.spec import Plan
from robust.tasks.make import task_of

READING_SECONDS = 1.0
"""Images are read for so long, at most a chunk of them."""
PASSING_SECONDS = 2.0
"""Gradient passes are made for so long, two of them at least."""
BLACK_BOX_IMAGES = 4
"""A black box is shown no more: each costs a query, here two."""
WORKER_START = 8.0
"""Seconds until a worker process has imported what it needs and opened the data."""


@dataclass(frozen=True)
class Speed:
    """What was measured on a few images."""

    images: int
    correct: int
    """Of them, read correctly without an attack."""
    read: float
    """Seconds to read an image and to predict it."""
    each: float
    """Seconds of one pass of one image, the mean of those forward and backward."""
    gradients: bool
    """Whether a gradient leads from the outputs to the image."""
    shape: tuple[int, ...]
    """Of an image."""
    features: int
    """Values that detectors read of an image; 0 without detectors."""


@dataclass(frozen=True)
class DryRun:
    """What an audit would cost."""

    cases: int
    groups: int
    grouped: bool
    classes: Mapping[str, int]
    """Cases by class; empty where cases have masks."""
    cells: int
    """Runs of an attack at one eps on all cases."""
    attacks: int
    sizes: int
    """Different norms and eps."""
    passes: float
    """Of single images through the network, at most."""
    stages: Mapping[str, float]
    """Seconds by stage, at most."""
    least: Mapping[str, float]
    """The same where curve cells find every case fallen."""
    bytes: int
    """Of the run directory."""
    workers: int
    speed: Speed
    black_box: bool = False
    """Whether every pass is a query to a black box."""
    findings: tuple[str, ...] = ()
    """Of several that are audited; `classes` then has the cases with each, and `cells`, `passes`,
    `stages` and `bytes` are of all together."""
    not_audited: Mapping[str, str] = field(default_factory=dict)
    """Why, by finding."""

    @property
    def seconds(self) -> float:
        """Of the whole audit, at most."""
        return sum(self.stages.values())

    @property
    def least_seconds(self) -> float:
        """Of the whole audit, where curve cells find every case fallen."""
        return sum(self.least.values())

    @property
    def totals(self) -> dict[str, float]:
        """Seconds of the whole audit, at most and where curve cells find every case fallen."""
        return {"seconds": self.seconds, "least_seconds": self.least_seconds}


def dry_run(plan: Plan, settings: RunSettings) -> DryRun:
    """Open what a plan names, measure for about three seconds, and estimate; nothing is written.

    InputError for a plan that cannot run, as far as a few images show it.
    """
    if plan.model is not None and asks_for_several(plan.model):
        return _of_findings(requested_findings(plan, settings))
    return dry_run_of(open_request(plan, settings), settings)


def _of_findings(audits: Sequence[FindingAudit]) -> DryRun:
    """The audits of several findings of one network, whose speed is measured once."""
    found: dict[str, DryRun] = {}
    not_audited: dict[str, str] = {}
    speed = None
    for one in audits:
        try:
            request = one.request(None)
        except CannotAuditFinding as error:
            not_audited[one.name] = str(error)
            continue
        found[one.name] = dry_run_of(request, one.settings, speed)
        speed = found[one.name].speed
    if not found:
        name, why = next(iter(not_audited.items()))
        raise InputError(f"no finding can be audited: {name}: {why}")
    first, *others = found.values()
    stages, least = Counter(first.stages), Counter(first.least)
    for other in others:  # they share the clean passes
        stages.update({name: s for name, s in other.stages.items() if name != cost.CLEAN})
        least.update({name: s for name, s in other.least.items() if name != cost.CLEAN})
    return dataclasses.replace(
        first,
        cases=max(one.cases for one in found.values()),
        groups=max(one.groups for one in found.values()),
        classes={name: [*one.classes.values()][1] for name, one in found.items()},
        cells=sum(one.cells for one in found.values()),
        passes=sum(one.passes for one in found.values()),
        stages=stages,
        least=least,
        bytes=sum(one.bytes for one in found.values()),
        findings=tuple(found),
        not_audited=not_audited,
    )


def dry_run_of(request: AuditRequest, settings: RunSettings, speed: Speed | None = None) -> DryRun:
    """One audit; its speed is measured where it is not known."""
    request.check()
    plan = request.plan
    inputs, cells = request.inputs, request.cells
    task_of(plan, inputs.cases)
    workers = 1 if settings.workers is None else settings.workers.count or 1
    if speed is None:
        with computing(settings.device):
            torch.set_num_threads(max(1, torch.get_num_threads() // workers))
            speed = measure_speed(request)
    told = cost.told_cost(request)
    size = dataclasses.replace(told.size, read=speed.read)
    expected = cost.estimate(plan, cells, size)
    stages, least = expected.seconds(speed.each), expected.least().seconds(speed.each)
    if workers > 1:
        for seconds in (stages, least):
            seconds[cost.ATTACKS] = seconds.get(cost.ATTACKS, 0.0) / workers + WORKER_START
    labels = Counter(entry.label for entry in inputs.cases.entries)
    classes = {name: labels[i] for i, name in enumerate(inputs.cases.classes)}
    if inputs.cases.outlines is not None:
        classes = {}
    return DryRun(
        cases=len(inputs.cases),
        groups=len({entry.group for entry in inputs.cases.entries}),
        grouped=inputs.cases.grouped,
        classes=classes,
        cells=len(running_order(cells)),
        attacks=len({cell.label for cell in cells}),
        sizes=len({cell.threat for cell in cells}),
        passes=sum(expected.passes.values()),
        stages=stages,
        least=least,
        bytes=disk.estimate_bytes(plan, inputs.cases, cells, size, speed.shape, speed.features),
        workers=workers,
        speed=speed,
        black_box=size.black_box,
    )


def measure_speed(request: AuditRequest) -> Speed:
    """Read and predict some images, and differentiate the network as attacks would."""
    plan, cases = request.plan, request.inputs.cases
    began = time.perf_counter()
    good: list[tuple[int, Case]] = []
    most = plan.audit.chunk if request.queries is None else BLACK_BOX_IMAGES
    rows = range(len(cases))[:: max(1, len(cases) // most)][:most]
    request.inputs.classifier.origin.asks_for("measuring the speed")
    for row, case in zip(rows, cases.stream(rows, ahead=4)):
        if not isinstance(case, InputError):
            good.append((row, case))
        elif not request.skip_broken:
            raise InputError(f"{case}, or go on without it: --skip-broken")
        if good and time.perf_counter() - began > READING_SECONDS:
            break
    if not good:
        raise InputError("none of the first images could be read; there is nothing to measure")
    read = (time.perf_counter() - began) / len(good)
    shaped = max(group_by_shape(good), key=len)
    device = choose_device(request.device)
    ready = prepare(request.inputs.classifier, device, images=stack_images(shaped, torch.empty(0)))
    x = stack_images(shaped, image_template(ready))
    with torch.no_grad():
        logits, forward = _timed(lambda: ready(x), x)
    own = [case for _, case in shaped]
    request.task.check(logits, own)
    right = request.task.right(request.task.keep(logits, own), own)
    each, gradients = _seconds_of_pass(request, ready, x, forward / len(x))
    features = 0
    if request.detectors:
        with torch.no_grad():
            extract = make_extractor(
                require_classifier(ready),
                list(request.detectors.values()),
                x[:1],
                plan.detection.layers,
            )
            found = extract(x[:1])
        features = found.logits.shape[1] + sum(v.shape[1] for v in found.layers.values())
    return Speed(
        images=len(x),
        correct=int(right.sum()),
        read=read + forward / len(x),
        each=each,
        gradients=gradients,
        shape=tuple(x.shape[1:]),
        features=features,
    )


def _seconds_of_pass(
    request: AuditRequest, ready: Adapter, x: Tensor, forward: float
) -> tuple[float, bool]:
    """Seconds of a pass of one image, half of them backward, and whether it has a gradient."""
    if not ready.origin.differentiable:
        return forward, False
    passes = sum(float(cell.attack.passes) for cell in running_order(request.cells))
    chunk = request.plan.audit.chunk
    models = make_fast_models(
        ready,
        x,
        request.plan.audit.precision,
        passes=passes * len(request.inputs.cases),
        rows=chunk,
        gain=False,
    )
    model = models.low_precision or models.float32

    def both(images: Tensor) -> Callable[[], object]:
        def run() -> object:
            free = images.detach().requires_grad_()
            out = model(free).double().logsumexp(1).sum()
            return torch.autograd.grad(out, free)

        return run

    try:
        _timed(both(x[:1]), x)  # the first pass of all takes longest
        _, first = _timed(both(x[:1]), x)
    except RuntimeError:  # an attack will say it in its own words
        return forward, False
    count = max(1, min(len(x), int(PASSING_SECONDS / 2 / max(first, 1e-6))))
    _timed(both(x[:count]), x)  # the first batch of a shape takes longer than those that follow
    times: list[float] = []
    while sum(times) < PASSING_SECONDS and len(times) < 50:
        times.append(_timed(both(x[:count]), x)[1])
    return min(times) / count / 2, True


def _timed(work: Callable[[], Tensor] | Callable[[], object], x: Tensor) -> tuple[Tensor, float]:
    began = time.perf_counter()
    found = work()
    if x.is_cuda:
        torch.cuda.synchronize(x.device)
    return found, time.perf_counter() - began  # type: ignore[return-value]
