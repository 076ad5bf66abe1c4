"""What a detector's fit starts from: the detector, two splits, one attack, checked before work."""

from __future__ import annotations

from detectors import Detector
from robust.cases import Cases, open_cases
from robust.detection.factory import make_detectors
from robust.engine.cells import Cell, make_attacks, make_cells
from robust.errors import InputError
from robust.guard.artifact import fields_of
from robust.plan.load import make_plan
from robust.plan.spec import AttackSpec, DetectorSpec, Plan, parse_eps
from robust.units import at_eps


def detector_of(plan: Plan, wanted: str | Detector) -> tuple[str, str, Detector]:
    """Its label, its name, and a fresh one."""
    if isinstance(wanted, Detector):
        spec = DetectorSpec(name=type(wanted).__name__, **fields_of(wanted))
    else:
        known = [s for s in plan.detectors if wanted in (s.label, s.name)]
        named = [s for s in known if s.label == wanted]
        if len(known) > 1 and not named:
            labels = ", ".join(s.label or s.name for s in known)
            raise InputError(f"the plan has several {wanted}; name one by its label: {labels}")
        spec = (named or known or [DetectorSpec(name=wanted)])[0]
    ((label, made),) = make_detectors([spec]).items()
    return label, spec.name, made


def on_split(plan: Plan, split: str) -> Plan:
    """The plan with another split in its data, all of it."""
    if plan.data is None or plan.model is None:
        raise InputError("a plan needs a [model] and a [data] table")
    data = plan.data.model_copy(update={"split": split, "limit": None})
    return plan.model_copy(update={"data": data})


def open_splits(plan: Plan, split: str) -> tuple[Cases, Cases]:
    """Reference and calibration; InputError where they share a patient."""
    first = plan.detection.reference
    if split == first:
        raise InputError(
            f"detectors learn from {first}, so that it cannot set their threshold as well; "
            f"name another split with --split"
        )
    reference = _open(plan, first, "[detection] reference names the images to learn from")
    calibration = _open(plan, split, "--split names the images that set the threshold")
    if reference.classes != calibration.classes:
        raise InputError(
            f"{first} has the classes {', '.join(reference.classes)}, {split} has "
            f"{', '.join(calibration.classes)}; name them all: classes in [data]"
        )
    owners = {entry.group for entry in reference.entries}
    shared = sorted({entry.group for entry in calibration.entries} & owners)
    if shared:
        raise InputError(
            f"group {shared[0]} is in {first} and in {split}, and so are {len(shared) - 1} more: a "
            f"detector must not know whom its threshold is set on; keep each patient in one split"
        )
    return (
        reference.spread(plan.detection.reference_cases),
        calibration.spread(plan.detection.cases),
    )


def _open(plan: Plan, split: str, remedy: str) -> Cases:
    data = on_split(plan, split).data
    assert data is not None  # _on checks
    try:
        return open_cases(data.path, **data.options())
    except InputError as error:
        raise InputError(f"{error} ({remedy})") from None


def cell_of(plan: Plan, attack: str, eps: str | float | None, classes: int) -> Cell:
    """The one attack at one eps that is named, with the fields that the plan gives it."""
    known = [s for s in plan.attacks if attack in (s.label, s.name)]
    spec = known[0] if known else AttackSpec(name=attack)
    try:
        radii = {} if eps is None else {"eps": (parse_eps(eps),)}
    except ValueError as error:
        raise InputError(str(error)) from None
    raw = {**plan.model_dump(), "attacks": [spec.model_copy(update=radii).model_dump()]}
    made = make_plan(raw, "fit-detector")
    cells = make_cells(made.attacks, make_attacks(made.attacks), made.audit, classes)
    if len(cells) != 1:
        every = ", ".join(map(said, cells))
        raise InputError(f"a detector is fitted at one eps, the plan has {every}; name it: --eps")
    return cells[0]


def said(cell: Cell) -> str:
    return at_eps(cell.label, cell.threat.norm, cell.eps)
