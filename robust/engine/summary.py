"""Results of a run from its store: each attack and eps, the worst case, attack difficulty."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from attacks import ThreatModel
from robust.cases.case import Cases
from robust.engine.cells import Cell, misread_cells, running_order
from robust.engine.run_store import RunStore
from robust.errors import InputError
from robust.metrics.arrays import Array, Mask
from robust.metrics.by_group import ByGroup
from robust.metrics.scores import Condition
from robust.metrics.worst_case import (
    Ball,
    CellOutcome,
    WorstCase,
    inside_of,
    worst_case,
)
from robust.records import AttackResult, Difficulty, Subgroup
from robust.tasks.contract import Found, Task
from robust.units import NORMS, distance_field

DIFFICULT = 0.99
"""Difficulty (Ma et al. 2021) is the smallest eps with at least this success rate."""


@dataclass(frozen=True)
class FinishedCases:
    """The cases of a run on which every cell is finished."""

    every_row: set[int]
    """Rows of all of them, also where the image could not be read."""
    rows: list[int]
    """Rows of those whose images could be read."""
    kept: Array
    """What is kept `(n, a)` of the clean predictions of `rows`."""
    hashes: list[str]
    """SHA-256 of their displayed images."""
    broken: int
    """How many images could not be read."""

    @staticmethod
    def of(store: RunStore, cells: Sequence[Cell], chunk: int) -> FinishedCases:
        """Read them from a store with `chunk` cases in a chunk; InputError where there are none."""
        done = store.done()
        keys = [*(cell.key for cell in running_order(cells)), *misread_cells(cells)]
        whole = [n for key, n in done if key == "clean" and all((k, n) in done for k in keys)]
        every_row = {row for n in whole for row in range(n * chunk, (n + 1) * chunk)}
        clean = [one for one in store.clean() if one.row in every_row]
        good = [(one.row, one.kept, one.pixels) for one in clean if one.kept is not None]
        if not good:
            raise InputError("no case is finished yet; look again later, or give the audit again")
        rows, kept, hashes = zip(*good, strict=True)
        return FinishedCases(
            every_row, list(rows), np.stack(kept), list(hashes), len(clean) - len(good)
        )


LOOKED_AT = 16
"""Images that are looked at for colour."""


@dataclass(frozen=True)
class KnownImages:
    """What a report says of the finished images themselves."""

    values_of: tuple[int, ...]
    """Number of values (c * h * w) of each."""
    grey_in_colour: int
    """How many of the first `LOOKED_AT` hold a grey image in a colour file."""
    brightest: float = 1.0
    """The highest value of them all, in [0, 1] as displayed."""

    @property
    def values(self) -> int:
        """Number of values of the first."""
        return self.values_of[0]


def known_images(store: RunStore, rows: Sequence[int]) -> KnownImages:
    """Of the cases at these rows, from what the run kept of them; no image is read."""
    first, grey, values, brightest = set(rows[:LOOKED_AT]), 0, {}, 0.0
    for one in store.known_cases():
        values[one.row] = one.pixel_values
        brightest = max(brightest, one.brightest)
        grey += one.grey_in_colour and one.row in first
    return KnownImages(tuple(values[row] for row in rows), grey, brightest)


class Summary:
    """Computes the results of a run from its store."""

    def __init__(
        self,
        store: RunStore,
        cases: Cases,
        cells: Sequence[Cell],
        finished: FinishedCases,
        task: Task,
        *,
        pixels: int,
    ) -> None:
        """`pixels` is the number of values of an image (c * h * w): distances round accordingly."""
        self.task = task
        self._store = store
        self._pixels = pixels
        self.rows = np.array(finished.rows)
        self.cases = cases.select(finished.rows)
        self.labels = np.array([entry.label for entry in self.cases.entries])
        """`(n,)`: class of each case; 0 where it has a mask."""
        self.clean = Condition.clean(finished.kept)
        self._place = {row: i for i, row in enumerate(self.rows.tolist())}
        self._cells = list(cells)
        by_group = ByGroup([entry.group for entry in self.cases.entries])
        self._scorer = task.scorer(by_group, self.cases, self.clean)
        self.groups = by_group.count
        self._subgroups = _subgroups(self.cases)
        self._conditions: dict[str, Condition] = {}
        self._populations = [np.ones(len(self.rows), bool), *(mask for *_, mask in self._subgroups)]

    @property
    def by_group(self) -> ByGroup:
        """Estimates by group, for all cases in order."""
        return self._scorer.by_group

    def by_group_at(self, rows: Sequence[int]) -> ByGroup:
        """The same for some cases, by their rows."""
        return self.by_group.at(np.array([self._place[row] for row in rows]))

    def clean_row(self) -> AttackResult:
        """Result without attack."""
        return self._row("clean", "", 0.0, "clean", self.clean)

    def cell_rows(self) -> list[AttackResult]:
        """One row for each cell that was run in full, in the order of the plan's eps."""
        rows = []
        for cell in self._cells:
            if not cell.exact:
                continue
            key = self._origin(cell).key
            totals = self._store.totals(key)
            row = self._row(cell.label, cell.threat.norm, cell.eps, "exact", self.condition(key))
            row = replace(
                row,
                saturated=totals.saturated,
                passes=totals.passes / max(totals.cases, 1),
                same_as=cell.same_as,
                baseline=cell.attack.traits.baseline,
            )
            rows.append(row)
        return rows

    def threats(self, first_norm: str) -> list[ThreatModel]:
        """Every norm and eps of the plan, `first_norm` first, eps ascending."""
        threats = {(c.threat.norm, c.threat.eps) for c in self._cells}
        bounded = [t for t in threats if np.isfinite(t[1])] or list(threats)
        ordered = sorted(bounded, key=lambda t: (t[0] != first_norm, *t))
        return [ThreatModel(norm, eps) for norm, eps in ordered]

    def worst_rows(self, first_norm: str) -> list[AttackResult]:
        """For each norm and eps the worst image that any attack found within it."""
        rows = []
        for threat in self.threats(first_norm):
            own = [c for c in self._cells if c.threat == threat]
            kind = "exact" if all(c.exact for c in own) else "curve"
            condition = self._scorer.by_part(self.worst(threat).condition, self._found(threat))
            pushed = self._scorer.pushed(self.clean, self._found(threat, misread=True))
            rows.append(self._row("worst case", threat.norm, own[0].eps, kind, condition, pushed))
        return rows

    def difficulty(self, rows: Sequence[AttackResult]) -> list[Difficulty]:
        """For each attack and norm the smallest eps with a success rate of `DIFFICULT` or more."""
        found: dict[tuple[str, str], float | None] = {}
        for row in rows:
            if row.eps is not None:
                found.setdefault((row.attack, row.norm), None)
                rate = row.scores.success
                if found[row.attack, row.norm] is None and rate and rate.value >= DIFFICULT:
                    found[row.attack, row.norm] = row.eps
        return [Difficulty(attack, norm, eps) for (attack, norm), eps in found.items()]

    def condition(self, key: str) -> Condition:
        """All cases under one cell, by its key; kept, since every worst case needs every cell."""
        if key in self._conditions:
            return self._conditions[key]
        n = len(self.rows)
        kept = self.clean.kept.copy()
        attacked, failed, success = (np.zeros(n, bool) for _ in range(3))
        distances = {distance_field(norm): np.full(n, np.nan) for norm in NORMS}
        for o in self._store.outcomes(key):
            i = self._place.get(o.row)
            if i is None:
                continue
            attacked[i], failed[i], success[i] = True, o.failure is not None, o.success
            if o.failure is None:
                kept[i] = o.kept
                for norm in NORMS:
                    distances[distance_field(norm)][i] = o.distance(norm)
        self._conditions[key] = Condition(kept, attacked, failed, success, **distances)
        return self._conditions[key]

    def worst(self, threat: ThreatModel) -> WorstCase:
        """Case by case the most damaging image within the ball; its cells are those of the run."""
        places = [
            place
            for place, cell in enumerate(self._cells)
            if cell.same_as is None and cell.threat.norm == threat.norm
        ]
        own = [self._cells[place] for place in places]
        outcomes = (CellOutcome(self.condition(c.key), c.threat.eps) for c in own)
        ball = Ball(threat.norm, threat.eps, self._pixels)
        found = worst_case(self.clean, self.damage, outcomes, ball)
        # The clean image, -1, takes the last entry.
        return WorstCase(found.condition, np.array([*places, -1])[found.cell])

    def damage(self, kept: Array) -> Array:
        """How far attacks have come with each case, from what is kept `(n, a)`: `(n,)`."""
        return self._scorer.damage(kept)

    def _found(self, threat: ThreatModel, misread: bool = False) -> Iterator[Found]:
        """What every attack found within a threat model, also on cases misread when clean."""
        ball = Ball(threat.norm, threat.eps, self._pixels)
        cells = {c.key: c for c in self._cells if c.same_as is None}
        for key, cell in (cells | (misread_cells(self._cells) if misread else {})).items():
            if cell.threat.norm == threat.norm:
                condition = self.condition(key)
                yield condition.kept, inside_of(condition, ball)

    def _row(
        self,
        attack: str,
        norm: str,
        eps: float | None,
        kind: str,
        condition: Condition,
        pushed: Array | None = None,
    ) -> AttackResult:
        scores, *parts = self._scorer.score(condition, self._populations, pushed)
        return AttackResult(
            attack=attack,
            norm=norm,
            eps=eps,
            kind=kind,
            scores=scores,
            subgroups=tuple(
                Subgroup(column, value, int(mask.sum()), part)
                for (column, value, mask), part in zip(self._subgroups, parts, strict=True)
            ),
            attacked=int(condition.attacked.sum()),
            failed=int(condition.failed.sum()),
            confusion=self._scorer.confusion(condition),
        )

    def _origin(self, cell: Cell) -> Cell:
        if cell.same_as is None:
            return cell
        return next(c for c in self._cells if c.label == cell.same_as and c.threat == cell.threat)


def _subgroups(cases: Cases) -> list[tuple[str, str, Mask]]:
    """Each value of each metadata column, with the cases that have it."""
    found = []
    columns = sorted({name for entry in cases.entries for name in entry.metadata})
    for column in columns:
        values = np.array([entry.metadata.get(column, "unknown") for entry in cases.entries])
        for value in sorted(set(values.tolist())):
            found.append((column, str(value), values == value))
    return found
