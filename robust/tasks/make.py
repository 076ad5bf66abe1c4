"""The task of a plan, by its data: classes or outlines."""

from __future__ import annotations

from robust.cases.case import Cases
from robust.errors import InputError
from robust.plan.spec import Plan
from robust.records.inputs import AuditedTask
from robust.tasks.bags import bag_limits
from robust.tasks.classification import classification_of
from robust.tasks.contract import Task
from robust.tasks.segmentation import segmentation_of


def task_of(plan: Plan, cases: Cases) -> Task:
    """The task of a plan on these cases; InputError for a goal that they do not have.

    Of outlines one image is read, for its spacing.
    """
    if cases.outlines is None:
        return _classes(plan, cases)
    return _outlines(plan, cases)


def remembered_task(plan: Plan, cases: Cases, record: AuditedTask | None) -> Task:
    """The same of a run that has begun, whose report names its task; no image is read."""
    if cases.outlines is None:
        return _classes(plan, cases)
    return _outlines(plan, cases, record or AuditedTask())


def _classes(plan: Plan, cases: Cases) -> Task:
    return classification_of(plan.audit, cases, bag_limits(plan.audit, plan.model))


def _outlines(plan: Plan, cases: Cases, record: AuditedTask | None = None) -> Task:
    for name in ("instances", "tile"):
        if getattr(plan.audit, name) is not None:
            raise InputError(
                f"[audit] {name} is for bags with a class, the data have masks; remove it"
            )
    return segmentation_of(plan, cases, record)
