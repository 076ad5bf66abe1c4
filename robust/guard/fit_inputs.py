"""Inputs of `fit_detector`: detector, reference and calibration split, attack; all validated."""

from __future__ import annotations

from dataclasses import dataclass

from detectors import Detector
from robust.cases import Cases, open_cases
from robust.cases.consistency import check_no_shared_groups
from robust.detection.factory import make_detectors
from robust.engine.cells import Cell, make_attacks, make_cells
from robust.errors import InputError
from robust.plan.load import make_plan
from robust.plan.spec import AttackSpec, DetectorSpec, Plan, label_of, parse_eps
from robust.tasks.classification import Classification, classification_of
from robust.units import at_eps


@dataclass(frozen=True)
class FitInputs:
    """Detector, splits, attack and goal of one fit."""

    plan: Plan
    label: str
    """What the plan or the user calls the detector."""
    detector: Detector
    reference: Cases
    """The images that its statistics are learned from."""
    calibration: Cases
    """The images that its head and its threshold come from; no group of the reference."""
    cell: Cell | None
    """The attack that its head is fitted on, at one eps; None: no attack."""
    task: Classification


def open_inputs(
    plan: Plan, detector: str | Detector, attack: str | None, eps: str | float | None, split: str
) -> FitInputs:
    """Open all that `fit_detector` names; InputError for what does not fit together."""
    label, made = _detector(plan, detector)
    if made.needs_head and attack is None:
        raise InputError(f"{label} learns from attacked images: name an attack and its eps")
    if eps is not None and attack is None:
        raise InputError("an eps belongs to an attack; name the attack, or leave eps out")
    reference, calibration = _open_splits(plan, split)
    task = classification_of(plan.audit, calibration)
    return FitInputs(
        plan=plan,
        label=label,
        detector=made,
        reference=reference,
        calibration=calibration,
        cell=None if attack is None else _cell(plan, attack, eps, task),
        task=task,
    )


def on_split(plan: Plan, split: str) -> Plan:
    """The plan with another split in its data, all of it; InputError without model or data."""
    if plan.data is None or plan.model is None:
        raise InputError("a plan needs a [model] and a [data] table")
    data = plan.data.model_copy(update={"split": split, "limit": None})
    return plan.model_copy(update={"data": data})


def cell_text(cell: Cell) -> str:
    """The attack and its eps, for messages."""
    return at_eps(cell.label, cell.threat.norm, cell.eps)


def _detector(plan: Plan, detector: str | Detector) -> tuple[str, Detector]:
    """Its label, and the detector with the plan's parameters where the plan names it."""
    if isinstance(detector, Detector):
        return type(detector).__name__, detector
    known = [s for s in plan.detectors if detector in (label_of(s), s.name)]
    named = [s for s in known if s.label == detector]
    if len(known) > 1 and not named:
        labels = ", ".join(label_of(s) for s in known)
        raise InputError(f"the plan has several {detector}; name one by its label: {labels}")
    spec = (named or known or [DetectorSpec(name=detector)])[0]
    ((label, made),) = make_detectors([spec]).items()
    return label, made


def _open_splits(plan: Plan, split: str) -> tuple[Cases, Cases]:
    """Reference and calibration; InputError where they share a patient."""
    first = plan.detection.reference
    if split == first:
        raise InputError(
            f"detectors learn from {first}, so it cannot set their threshold as well; name "
            f"another split with --split"
        )
    reference = _open(plan, first, "[detection] reference names the images to learn from")
    calibration = _open(plan, split, "--split names the images that set the threshold")
    if reference.classes != calibration.classes:
        raise InputError(
            f"{first} has the classes {', '.join(reference.classes)}, {split} has "
            f"{', '.join(calibration.classes)}; name them all: classes in [data]"
        )
    check_no_shared_groups(reference, calibration, (first, split))
    return (
        reference.sample(plan.detection.reference_cases, plan.audit.seed),
        calibration.sample(plan.detection.cases, plan.audit.seed),
    )


def _open(plan: Plan, split: str, remedy: str) -> Cases:
    data = on_split(plan, split).data
    assert data is not None  # on_split checks
    try:
        return open_cases(data.path, **data.options())
    except InputError as error:
        raise InputError(f"{error} ({remedy})") from None


def _cell(plan: Plan, attack: str, eps: str | float | None, task: Classification) -> Cell:
    """The one attack at one eps that is named, with the fields that the plan gives it."""
    known = [s for s in plan.attacks if attack in (label_of(s), s.name)]
    spec = known[0] if known else AttackSpec(name=attack)
    try:
        radii = {} if eps is None else {"eps": (parse_eps(eps),)}
    except ValueError as error:
        raise InputError(str(error)) from None
    raw = {**plan.model_dump(), "attacks": [spec.model_copy(update=radii).model_dump()]}
    made = make_plan(raw, "fit-detector")
    cells = make_cells(made.attacks, make_attacks(made.attacks), made.audit, task)
    if len(cells) != 1:
        every = ", ".join(map(cell_text, cells))
        raise InputError(f"a detector is fitted at one eps, the plan has {every}; name it: --eps")
    return cells[0]
