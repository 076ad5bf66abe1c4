"""The request of one audit: a plan, its inputs opened, and how the run works."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from detectors import Detector
from robust.cases import Cases
from robust.certificates.registry import make_certificates
from robust.certificates.run import check_certificates
from robust.corruptions.run import check_corruptions
from robust.detection.factory import make_detectors
from robust.detection.reference import check_reference
from robust.engine.cells import Cell, make_attacks, make_cells
from robust.engine.database.clean_outputs import CleanOutputs
from robust.engine.inputs import (
    open_model,
    open_plan,
    open_reference,
    open_segmenter,
    open_twin,
)
from robust.engine.runner import RunOptions
from robust.engine.session import RunInputs, identity_of_run
from robust.errors import InputError
from robust.models import Adapter
from robust.models.blackbox.queries import QueryCounter
from robust.models.class_order import match_classes
from robust.models.gradients.gradient_free import fitting_plan
from robust.models.preparation import require_classifier
from robust.plan.machines import WorkerChoice
from robust.plan.spec import ModelSpec, Plan
from robust.progress import Announce, Progress, StagedProgress, no_announcement, no_progress
from robust.scenarios.run import check_scenarios
from robust.scenarios.twin import check_twin
from robust.tasks.contract import Task
from robust.tasks.make import task_of


@dataclass(frozen=True)
class AuditRequest:
    """The arguments of one audit, opened."""

    plan: Plan
    inputs: RunInputs
    detectors: Mapping[str, Detector]
    """By label."""
    out: str | Path | None
    """The run directory; None: a temporary one."""
    progress: StagedProgress
    device: str
    skip_broken: bool
    workers: WorkerChoice | None = None
    """None: this process attacks."""
    clean_outputs: CleanOutputs | None = None
    """Shared by the audits of several findings of one network."""

    @property
    def queries(self) -> QueryCounter | None:
        """Of a black box; None for a model that is here."""
        return self.inputs.classifier.origin.queries

    @property
    def options(self) -> RunOptions:
        """How the run works."""
        return RunOptions(self.device, self.skip_broken, self.progress, self.clean_outputs)

    @property
    def chunk_count(self) -> int:
        """How many chunks the cases are cut into."""
        return math.ceil(len(self.inputs.cases) / self.plan.audit.chunk)

    @property
    def cells(self) -> list[Cell]:
        """Every attack of the plan at every eps."""
        plan, inputs = self.plan, self.inputs
        return make_cells(plan.attacks, inputs.attacks, plan.audit, self.task)

    @cached_property
    def task(self) -> Task:
        """What the model is asked."""
        return task_of(self.plan, self.inputs.cases)

    @cached_property
    def identity(self) -> dict[str, str]:
        """What its run is claimed with; found once, since it takes a copy of the network."""
        return identity_of_run(self.plan, self.inputs, self.device)

    def check(self, *, parts: bool = False) -> None:
        """InputError for a request that cannot work, before a run directory is opened.

        `parts` says that other processes do the other parts of it.
        """
        if self.queries is not None and (parts or self.workers is not None):
            raise InputError(
                "a black box is asked by one process, so that its queries are counted and kept "
                "within the budget; leave --shard, --engine and --workers out"
            )
        self.task.check_stages(self.plan, twin=self.inputs.twin is not None)
        check_scenarios(self.plan.scenarios)
        check_certificates(self.plan.certificates, self.task, self.inputs.classifier)
        check_corruptions(self.plan.corruptions, self.inputs.cases.noun)
        check_twin(self.inputs.twin)
        if self.detectors:
            if self.inputs.reference is None:
                raise InputError(
                    "detectors need reference: the cases of the split that they learn from"
                )
            check_reference(self.inputs.reference, self.inputs.cases)


@dataclass(frozen=True)
class RunSettings:
    """Where and how the plan of a request runs."""

    out: str | Path | None = None
    device: str = "auto"
    skip_broken: bool = False
    progress: Progress = no_progress
    announce: Announce = no_announcement
    workers: WorkerChoice | None = None


def open_request(plan: Plan, settings: RunSettings) -> AuditRequest:
    """Open all that a plan names."""
    make_attacks(plan.attacks)  # a mistake in one is said before a model is read
    make_detectors(plan.detectors)
    make_certificates(plan.certificates)
    classifier, cases = open_plan(plan, settings.device)
    return request_on(plan, classifier, cases, settings)


def request_on(
    plan: Plan,
    classifier: Adapter,
    cases: Cases,
    settings: RunSettings,
    clean_outputs: CleanOutputs | None = None,
) -> AuditRequest:
    """The request of a plan whose classifier and cases are open; what else it names is opened."""
    task_of(plan, cases).check_stages(plan, twin=plan.twin is not None)
    detectors = make_detectors(plan.detectors)
    reference = open_reference(plan.data, plan.detection.reference) if detectors else None
    surrogate = _open_other(plan.scenarios.surrogate, cases)
    other = None if plan.corruptions is None else plan.corruptions.reference
    corruption_reference = _open_other(other, cases)
    twin = (
        None
        if plan.twin is None
        else open_twin(plan.twin, require_classifier(classifier), cases.classes)
    )
    plan = fitting_plan(plan, classifier, surrogate)
    attacks = make_attacks(plan.attacks)
    return AuditRequest(
        plan=plan,
        inputs=RunInputs(
            classifier, cases, attacks, reference, surrogate, twin, corruption_reference
        ),
        detectors=detectors,
        out=settings.out,
        progress=StagedProgress(settings.progress, settings.announce),
        device=settings.device,
        skip_broken=settings.skip_broken,
        workers=settings.workers,
        clean_outputs=clean_outputs,
    )


def _open_other(spec: ModelSpec | None, cases: Cases) -> Adapter | None:
    """Another model for the same task, where a plan names one."""
    if spec is None:
        return None
    other = open_model(spec) if cases.outlines is None else open_segmenter(spec)
    match_classes(other, cases.classes, cases.outlines)
    return other
