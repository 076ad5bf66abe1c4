"""Cells: every attack of a plan at every eps, in the order in which they run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from attacks import Attack, ThreatModel, canonical, make_attack, require_members
from attacks.contract import require_fit
from robust.errors import InputError, type_and_line
from robust.plan.code import load_class, names_code
from robust.plan.spec import AttackSpec, AuditSpec, unique_labels
from robust.tasks.contract import Task
from robust.units import TYPICAL, check_eps, typical_text


@dataclass(frozen=True)
class Cell:
    """One attack under one threat model."""

    label: str
    attack: Attack
    threat: ThreatModel
    exact: bool
    """Run in full on every case; else (a curve cell) only until the first success, and only on
    cases on which no attack has succeeded up to this eps."""
    same_as: str | None = None
    """Label of an earlier attack that is equal on this model; its outcomes count for both."""

    @property
    def key(self) -> str:
        """The cell's key in the store."""
        return f"{self.label}|{self.threat.norm}|{self.threat.eps!r}"

    @property
    def eps(self) -> float | None:
        """Eps as in records: None for infinity."""
        return None if math.isinf(self.threat.eps) else self.threat.eps


def make_attacks(specs: Sequence[AttackSpec]) -> list[Attack]:
    """The attacks of a plan, each with its fields; InputError for an unknown name or field.

    A name `package.module:Class` imports that class, which runs its code.
    """
    return [_make(spec) for spec in specs]


def _make(spec: AttackSpec) -> Attack:
    if not names_code(spec.name):
        try:
            return make_attack(spec.name, **spec.fields())
        except ValueError as error:
            raise InputError(str(error)) from None
    kind = load_class(spec.name, "attack")
    try:
        return make_attack(kind, **spec.fields())
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001  (of foreign code)
        reason = str(error) if isinstance(error, ValueError) else type_and_line(error)
        raise InputError(f"attack {spec.name}: {reason}") from None


def make_cells(
    specs: Sequence[AttackSpec], attacks: Sequence[Attack], audit: AuditSpec, task: Task
) -> list[Cell]:
    """All cells in the order of the plan, eps ascending. An attack of one step always runs in full.

    Raises InputError for an object that is no attack, and for a norm or an eps that does not fit.
    """
    cells: list[Cell] = []
    for label, spec, attack in zip(unique_labels(specs), specs, attacks, strict=True):
        _require_attack(attack)
        task.check_attack(label, attack)
        norm = spec.norm or (audit.norm if audit.norm in attack.norms else attack.norms[0])
        # An eps of the audit is one of its norm: an attack in another norm needs its own.
        radii = spec.eps or (audit.eps if norm == audit.norm else ())
        if attack.minimum_norm:
            radii = (math.inf,)
        elif not radii and norm in TYPICAL:
            raise InputError(
                f"{label} works in {norm}, but eps in [audit] is in {audit.norm}; give {label} "
                f"its own, such as {typical_text(norm)}"
            )
        elif not radii:
            raise InputError(
                f"{label} works in {norm}, but eps in [audit] is in {audit.norm}; give {label} "
                f"its own eps"
            )
        exact = (spec.cells or audit.cells) == "exact" or attack.traits.steps == 1
        for eps in sorted(set(radii)):
            try:
                check_eps(eps, norm)
                threat = ThreatModel(norm, eps)
                require_fit(attack, threat)
            except ValueError as error:
                raise InputError(str(error)) from None
            cells.append(
                Cell(
                    label,
                    attack,
                    threat,
                    exact,
                    _equal_earlier(cells, attack, threat, task.class_count),
                )
            )
    return cells


def running_order(cells: Sequence[Cell]) -> list[Cell]:
    """The cells that run: exact ones first, then eps ascending and attacks from cheap to costly."""
    own = [cell for cell in cells if cell.same_as is None]
    return sorted(own, key=lambda c: (not c.exact, c.threat.eps, c.attack.passes))


def misread_cells(cells: Sequence[Cell]) -> dict[str, Cell]:
    """The cells that also run on the cases misread without attack, by the key of their outcomes.

    One for each norm and eps, in full: the costliest of the plan that follows gradients alone (an
    ensemble stops at an image that is misread already), else the costliest of any kind. They serve
    the attacker's AUC and no other number. None of a baseline, and none without a bound.
    """
    found: dict[ThreatModel, Cell] = {}
    for cell in cells:
        bounded = not cell.attack.minimum_norm and math.isfinite(cell.threat.eps)
        if cell.same_as is not None or cell.attack.traits.baseline or not bounded:
            continue
        if cell.threat not in found or _rank(cell) > _rank(found[cell.threat]):
            found[cell.threat] = replace(cell, exact=True)
    return {
        replace(cell, label=f"{cell.label} on misread cases").key: cell for cell in found.values()
    }


def _rank(cell: Cell) -> tuple[bool, int]:
    return cell.attack.knowledge == "gradients", cell.attack.passes


def _require_attack(attack: object) -> None:
    try:
        require_members(attack)
    except ValueError as error:
        raise InputError(str(error)) from None


def _equal_earlier(
    cells: list[Cell], attack: Attack, threat: ThreatModel, classes: int
) -> str | None:
    for other in cells:
        if other.same_as is None and other.threat == threat:
            if canonical(other.attack, classes) == canonical(attack, classes):
                return other.label
    return None
