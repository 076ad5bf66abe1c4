"""The task of a plan, by its data: classes or outlines."""

from __future__ import annotations

from robust.cases.case import Cases
from robust.plan.spec import Plan
from robust.records.inputs import AuditedTask
from robust.tasks.classification import classification_of
from robust.tasks.contract import Task
from robust.tasks.segmentation import segmentation_of


def task_of(plan: Plan, cases: Cases) -> Task:
    """The task of a plan on these cases; InputError for a goal that they do not have.

    Of outlines one image is read, for its spacing.
    """
    if cases.outlines is None:
        return classification_of(plan.audit, cases)
    return segmentation_of(plan, cases)


def remembered_task(plan: Plan, cases: Cases, record: AuditedTask | None) -> Task:
    """The same of a run that has begun, whose report names its task; no image is read."""
    if cases.outlines is None:
        return classification_of(plan.audit, cases)
    return segmentation_of(plan, cases, record or AuditedTask())
