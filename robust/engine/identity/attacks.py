"""Foreign attacks of a run: what its report needs of them, without their code."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from torch import Tensor

from attacks import ATTACKS, Attack, AttackTraits, Knowledge, Model, Streams, ThreatModel, canonical
from robust.engine.cells import make_attacks
from robust.engine.run_memory import FOREIGN_ATTACKS, AttackFacts
from robust.engine.run_store import RunStore
from robust.errors import InputError
from robust.plan.spec import AttackSpec, unique_labels


def attack_text(attack: Attack) -> str:
    """The attack with its parameters; the class name alone for what is no dataclass.

    Its `repr` may hold a memory address, which differs between runs.
    """
    return repr(attack) if dataclasses.is_dataclass(attack) else type(attack).__name__


@dataclass(frozen=True)
class _Equal:
    """Stands for all attacks that do the same to a model."""

    text: str


@dataclass(frozen=True, repr=False)
class RecordedAttack:
    """An attack as a run remembers it: everything but what it does to images."""

    facts: AttackFacts

    @property
    def norms(self) -> tuple[str, ...]:
        """As `Attack.norms`."""
        return self.facts.norms

    @property
    def minimum_norm(self) -> bool:
        """As `Attack.minimum_norm`."""
        return self.facts.minimum_norm

    @property
    def knowledge(self) -> Knowledge:
        """As `Attack.knowledge`."""
        return cast(Knowledge, self.facts.knowledge)

    @property
    def passes(self) -> int:
        """As `Attack.passes`."""
        return self.facts.passes

    @property
    def stream_key(self) -> str:
        """As `Attack.stream_key`."""
        return self.facts.stream_key

    @property
    def traits(self) -> AttackTraits:
        """As `Attack.traits`."""
        facts = self.facts
        travel = math.inf if facts.travel is None else facts.travel
        equals: object = _Equal(facts.equal_to)
        return AttackTraits(
            baseline=facts.baseline,
            steps=facts.steps,
            travel=travel,
            dense=facts.dense,
            dense_only=facts.dense_only,
            equals=equals,  # type: ignore[arg-type]
        )

    def __repr__(self) -> str:
        return self.facts.text

    def __call__(
        self,
        model: Model,
        x: Tensor,
        y: Tensor,
        threat: ThreatModel,
        streams: Streams,
        target: Tensor | None = None,
    ) -> Tensor:
        """It cannot be run: InputError."""
        raise InputError(f"the code of {self.facts.text} is not part of the run")


def remember_attacks(
    specs: Sequence[AttackSpec], attacks: Sequence[Attack], classes: int, store: RunStore
) -> None:
    """Keep what a report needs of foreign attacks; InputError where they are not those kept."""
    found = {
        label: _facts(attack, classes)
        for label, attack in zip(unique_labels(specs), attacks, strict=True)
        if ATTACKS.get(type(attack).__name__) is not type(attack)
    }
    for label, known in store.memo(FOREIGN_ATTACKS, lambda: found).items():
        if label in found and found[label] != known:
            raise InputError(
                f"the attack {label} is not what it was when this run began (its code has "
                f"changed?); choose another folder with --out"
            )


def attacks_of_run(specs: Sequence[AttackSpec], store: RunStore) -> list[Attack]:
    """The attacks of a run for its report: foreign ones as recorded, their code is not imported."""
    known = store.get(FOREIGN_ATTACKS) or {}
    found: list[Attack] = []
    for label, spec in zip(unique_labels(specs), specs, strict=True):
        if label in known:
            found.append(RecordedAttack(known[label]))
        else:
            found += make_attacks([spec])
    return found


def _facts(attack: Attack, classes: int) -> AttackFacts:
    traits = attack.traits
    return AttackFacts(
        text=attack_text(attack),
        equal_to=attack_text(canonical(attack, classes)),
        norms=tuple(attack.norms),
        minimum_norm=bool(attack.minimum_norm),
        knowledge=attack.knowledge,
        passes=int(attack.passes),
        stream_key=attack.stream_key,
        baseline=bool(traits.baseline),
        steps=int(traits.steps),
        travel=float(traits.travel) if math.isfinite(traits.travel) else None,
        dense=bool(traits.dense),
        dense_only=bool(traits.dense_only),
    )
