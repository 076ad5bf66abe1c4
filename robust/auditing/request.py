"""The request of one audit: a plan, its inputs opened, and how the run works."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from detectors import Detector
from robust.detection.factory import make_detectors
from robust.detection.reference import check_reference
from robust.engine.cells import Cell, make_attacks, make_cells
from robust.engine.inputs import open_model, open_plan, open_reference, open_twin
from robust.engine.runner import RunOptions
from robust.engine.session import RunInputs, identity_of_run
from robust.errors import InputError
from robust.models.gradient_free import fitting_plan
from robust.plan.machines import WorkerChoice
from robust.plan.spec import Plan
from robust.progress import Announce, Progress, StagedProgress, no_announcement, no_progress
from robust.scenarios.run import check_scenarios
from robust.scenarios.twin import check_twin


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

    @property
    def options(self) -> RunOptions:
        """How the run works."""
        return RunOptions(self.device, self.skip_broken, self.progress)

    @property
    def chunk_count(self) -> int:
        """How many chunks the cases are cut into."""
        return math.ceil(len(self.inputs.cases) / self.plan.audit.chunk)

    @property
    def cells(self) -> list[Cell]:
        """Every attack of the plan at every eps."""
        plan, inputs = self.plan, self.inputs
        return make_cells(plan.attacks, inputs.attacks, plan.audit, len(inputs.cases.classes))

    @cached_property
    def identity(self) -> dict[str, str]:
        """What its run is claimed with; found once, since it takes a copy of the network."""
        return identity_of_run(self.plan, self.inputs, self.device)

    def check(self) -> None:
        """InputError for a request that cannot work, before a run directory is opened."""
        check_scenarios(self.plan.scenarios)
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
    detectors = make_detectors(plan.detectors)
    classifier, cases = open_plan(plan, settings.device)
    reference = open_reference(plan.data, plan.detection.reference) if detectors else None
    other = plan.scenarios.surrogate
    surrogate = None if other is None else open_model(other)
    twin = None if plan.twin is None else open_twin(plan.twin, classifier)
    plan = fitting_plan(plan, classifier, surrogate)
    attacks = make_attacks(plan.attacks)
    inputs = RunInputs(classifier, cases, attacks, reference, surrogate, twin)
    staged = StagedProgress(settings.progress, settings.announce)
    return AuditRequest(
        plan=plan,
        inputs=inputs,
        detectors=detectors,
        out=settings.out,
        progress=staged,
        device=settings.device,
        skip_broken=settings.skip_broken,
        workers=settings.workers,
    )
