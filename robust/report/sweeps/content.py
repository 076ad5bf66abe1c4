"""What the page over a sweep shows: which numbers, and models that differ in chance alone."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from robust.metrics.run_means import mean_over_runs
from robust.records import Estimate, SweepAxis, SweepMember, SweepReport
from robust.report.text.format import plain
from robust.units import parse_eps

CLEAN = "clean"
WORST = "worst case, "
"""How the condition of a worst case begins; norm and eps follow."""
MOST_COLUMNS = 12
"""Numbers that one table over models shows."""
_UNITS = ("AUC", "Dice", "distance", "Brier", "calibration", "IoU", "HD95")
"""Measures that are shown as they are; all others are shown in percent."""
_CLEAN_MEASURES = ("accuracy", "AUC", "Dice", "outlined well")
_NUMERIC = ("", "yes", "no", "true", "false")


@dataclass(frozen=True, order=True)
class NumberKey:
    """Which number: a measure under a condition."""

    measure: str
    condition: str

    @property
    def text(self) -> str:
        """`robust accuracy, worst case, L∞ 1/255`; of clean images the measure alone."""
        if self.is_clean:
            return plain(self.measure)
        return f"{plain(self.measure)}, {plain(self.condition)}"

    @property
    def is_clean(self) -> bool:
        """Whether no attack and no detector has a part in it."""
        return self.condition == CLEAN

    @property
    def is_percent(self) -> bool:
        """Whether it is a share that is shown in percent."""
        return not any(word in self.measure for word in _UNITS)

    @property
    def is_detector(self) -> bool:
        """Whether it says how well a detector finds attacks."""
        return "detector" in self.measure.lower()

    @property
    def threat(self) -> tuple[str, float] | None:
        """Norm as text and eps of a worst case; None for all others."""
        if not self.condition.startswith(WORST):
            return None
        norm, _, eps = self.condition.removeprefix(WORST).partition(" ")
        try:
            return norm, parse_eps(eps)
        except ValueError:
            return None


def number_key(measure: str, condition: str) -> NumberKey:
    """The key of a record; an empty condition means clean images."""
    return NumberKey(measure, condition or CLEAN)


@dataclass(frozen=True)
class ModelGroup:
    """Models that have the same level on every fixed axis."""

    levels: Mapping[str, str]
    """Level by fixed axis."""
    members: tuple[SweepMember, ...]
    """Those with numbers."""
    asked: int
    """How many the sweep asked for."""

    @property
    def name(self) -> str:
        """Its levels in a line."""
        if not self.levels:
            return plain(self.members[0].name) if self.asked == 1 else "all models"
        return ", ".join(level_text(axis, level) for axis, level in self.levels.items())


@dataclass(frozen=True)
class SweepContent:
    """A sweep with its numbers by member and key; numbers that are not finite are left out."""

    report: SweepReport
    by_member: Mapping[str, Mapping[NumberKey, Estimate]] = field(init=False)
    """Numbers of each member that has some."""

    def __post_init__(self) -> None:
        found: dict[str, dict[NumberKey, Estimate]] = {}
        for one in self.report.numbers:
            if (estimate := finite_estimate(one.estimate)) is not None:
                key = number_key(one.measure, one.condition)
                found.setdefault(one.member, {})[key] = estimate
        object.__setattr__(self, "by_member", found)

    @cached_property
    def finished(self) -> tuple[SweepMember, ...]:
        """Members with numbers, in the order of the grid."""
        return tuple(member for member in self.report.members if member.name in self.by_member)

    @cached_property
    def missing(self) -> tuple[SweepMember, ...]:
        """Members without a number, or with a reason why their numbers are not whole."""
        return tuple(
            member
            for member in self.report.members
            if member.why_not or member.name not in self.by_member
        )

    @cached_property
    def keys(self) -> tuple[NumberKey, ...]:
        """Every number that a member has, in the order of the records."""
        return tuple(dict.fromkeys(key for own in self.by_member.values() for key in own))

    @cached_property
    def model_keys(self) -> tuple[NumberKey, ...]:
        """Numbers of the table over models: clean images, then the worst case by norm and eps."""
        clean = [
            key
            for key in self.keys
            if key.is_clean
            and not key.is_detector
            and any(key.measure.endswith(word) for word in _CLEAN_MEASURES)
        ]
        return (*clean, *self.robust_keys)

    @cached_property
    def robust_keys(self) -> tuple[NumberKey, ...]:
        """Robust accuracy in the worst case, by norm, eps ascending."""
        found = [
            (key.threat, key) for key in self.keys if key.threat and key.measure in self._robust
        ]
        norms = list(dict.fromkeys(threat[0] for threat, _ in found if threat))
        ordered = sorted(found, key=lambda pair: (norms.index(pair[0][0]), pair[0][1]))
        return tuple(key for _, key in ordered)

    @property
    def _robust(self) -> tuple[str, ...]:
        return ("robust accuracy", "still outlined well")

    @cached_property
    def detector_keys(self) -> tuple[NumberKey, ...]:
        """Numbers of the table over detectors."""
        return tuple(key for key in self.keys if key.is_detector and "AUC" in key.measure)

    @cached_property
    def other_keys(self) -> tuple[NumberKey, ...]:
        """Numbers that the files alone have."""
        shown = {*self.model_keys, *self.detector_keys}
        return tuple(key for key in self.keys if key not in shown)

    @cached_property
    def fixed(self) -> tuple[SweepAxis, ...]:
        """Axes whose levels the sweep asks about."""
        return tuple(axis for axis in self.report.axes if axis.kind == "fixed")

    @cached_property
    def random(self) -> tuple[SweepAxis, ...]:
        """Axes whose levels are draws."""
        return tuple(axis for axis in self.report.axes if axis.kind == "random")

    @cached_property
    def groups(self) -> tuple[ModelGroup, ...]:
        """Members by their fixed levels; each alone where no axis is random."""
        members = self.report.members
        names = {member.name for member in self.finished}
        if not self.random:
            return tuple(
                ModelGroup(self._levels(one), (one,) if one.name in names else (), 1)
                for one in members
            )
        gathered: dict[tuple[str, ...], list[SweepMember]] = {}
        for one in members:
            gathered.setdefault(tuple(self._levels(one).values()), []).append(one)
        return tuple(
            ModelGroup(
                self._levels(own[0]), tuple(one for one in own if one.name in names), len(own)
            )
            for own in gathered.values()
        )

    @property
    def averaged(self) -> bool:
        """Whether a group has more than one model, so that its numbers are means."""
        return any(group.asked > 1 for group in self.groups)

    def _levels(self, member: SweepMember) -> dict[str, str]:
        return {axis.name: member.levels.get(axis.name, "") for axis in self.fixed}

    def number(self, member: SweepMember, key: NumberKey) -> Estimate | None:
        """One number of one member; None where it has none."""
        return self.by_member.get(member.name, {}).get(key)

    def mean(self, members: Iterable[SweepMember], key: NumberKey) -> Estimate | None:
        """The mean over these members, of those that have the number."""
        known = [found for one in members if (found := self.number(one, key)) is not None]
        return mean_over_runs(known) if known else None


def finite_estimate(estimate: Estimate) -> Estimate | None:
    """The estimate; without its interval where an end is no number, None where the value is."""
    if not math.isfinite(estimate.value):
        return None
    if estimate.interval is None or all(map(math.isfinite, estimate.interval)):
        return estimate
    return Estimate(estimate.value, None, None, estimate.cases, estimate.groups)


def level_text(axis: str, level: str) -> str:
    """A level that can stand alone: `resnet18`, but `train fraction 0.5`."""
    number = level.replace(".", "", 1).replace("/", "", 1).strip()
    if number.isdecimal() or level.lower() in _NUMERIC:
        return f"{plain(axis)} {plain(level)}".strip()
    return plain(level)


def groups_shown(groups: Sequence[ModelGroup]) -> list[ModelGroup]:
    """Those with a model that is finished."""
    return [group for group in groups if group.members]
