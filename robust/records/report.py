"""The report and its rows: what came out of a run, as values. Standard library alone."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, overload

from robust.scenarios import Scenario as Scenario
from robust.sightings import Detection as Detection
from robust.sightings import Estimate as Estimate
from robust.survival import Survival as Survival

SCHEMA_VERSION = 3
"""Goes up whenever a reader of an older report.json would misread a newer one."""

GALLERY = "gallery"
"""Folder of a run directory that holds the pictures which `Exhibit` and `Frame` name."""


@dataclass(frozen=True)
class Scores:
    """How the classifier fares on one population under one condition.

    An entry is None where it has no meaning (no case with a finding, no success to measure).
    """

    accuracy: Estimate | None
    """On all cases; those wrong when clean stay as they are. As all that counts every case, None
    where more than 5 % of the attacked ones came to no verdict."""
    robust_accuracy: Estimate | None = None
    """On cases that are right when clean and were attacked."""
    success: Estimate | None = None
    """Share of attacked cases on which the attack reached its goal."""
    misses: Estimate | None = None
    """Of cases with the finding, right when clean: the share turned into no finding."""
    false_alarms: Estimate | None = None
    """Of cases without the finding, right when clean: the share turned into a finding."""
    sensitivity: Estimate | None = None
    specificity: Estimate | None = None
    auc: Estimate | None = None
    """Finding against no finding; macro one-against-rest where the plan names no finding."""
    recall: Mapping[str, Estimate | None] = field(default_factory=dict)
    """Of each class by name."""
    median_l2: Estimate | None = None
    """Distance of the successful adversarial images, in [0, 1] units."""
    median_linf: Estimate | None = None


@dataclass(frozen=True)
class Subgroup:
    """The scores of the cases that share one value of a metadata column."""

    column: str
    value: str
    cases: int
    scores: Scores


class _Score:
    """An entry of `Scores`, asked of the row itself: ValueError where it has no meaning there.

    `row.scores.auc` may be None; `row.auc.low > 0.8` is a claim, and a claim about a number that
    does not exist must fail with the reason.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, row: None, owner: type) -> _Score: ...
    @overload
    def __get__(self, row: Row, owner: type) -> Estimate: ...
    def __get__(self, row: Row | None, owner: type) -> Estimate | _Score:
        if row is None:
            return self
        estimate: Estimate | None = getattr(row.scores, self._name)
        if estimate is None:
            what = self._name.replace("_", " ")
            raise ValueError(
                f"{row.condition} has no {what}: {row.attacked} cases attacked, "
                f"{row.failed} of them without a verdict"
            )
        return estimate


@dataclass(frozen=True, repr=False)
class Row:
    """One condition: an attack at an eps, the worst case over all attacks, or no attack at all.

    `row.robust_accuracy` and its like are the entries of `scores`, or a ValueError for None.
    """

    attack: str
    """Its name in the plan; `clean`, or `worst case`."""
    norm: str
    eps: float | None
    """In [0, 1] units of the displayed image; None for a minimum-norm attack without a bound."""
    kind: str
    """`clean`; `exact`: run in full on every case; `curve`: stopped at the first success."""
    scores: Scores
    subgroups: tuple[Subgroup, ...] = ()
    attacked: int = 0
    """Cases the attack was run on: right when clean, and of the kind that the goal names."""
    failed: int = 0
    """Attacked cases without a verdict (crash, NaN, limits broken): never counted as robust."""
    saturated: int = 0
    """Cases whose cross-entropy saturated: there an attack on it climbs the margin instead."""
    passes: float = 0.0
    """Forward and backward passes a case, on average over the attacked ones."""
    same_as: str | None = None
    """The attack whose run this row repeats, where both are the same for this model."""
    confusion: tuple[tuple[int, ...], ...] = ()
    """Cases by label (down) and prediction (across), classes in the order of `data.classes`, those
    without a verdict left out; empty beyond 20 classes."""

    accuracy = _Score()
    robust_accuracy = _Score()
    success = _Score()
    misses = _Score()
    false_alarms = _Score()
    sensitivity = _Score()
    specificity = _Score()
    auc = _Score()

    @property
    def condition(self) -> str:
        """`PGD, Linf 4/255`."""
        if self.kind == "clean":
            return "clean"
        if self.eps is None:
            return f"{self.attack}, {self.norm} nearest"
        eps = f"{self.eps * 255:.4g}/255" if self.norm == "Linf" else f"{self.eps:.4g}"
        return f"{self.attack}, {self.norm} {eps}"

    def __repr__(self) -> str:
        """What a failed assert shows of it: the condition, and how many cases stand behind it."""
        name = "accuracy" if self.kind == "clean" else "robust_accuracy"
        estimate: Estimate | None = getattr(self.scores, name)
        if estimate is None:
            return f"<{self.condition}: no {name}, {self.attacked} attacked>"
        return (
            f"<{self.condition}: {name} {estimate.value:.3f} "
            f"[{estimate.low:.3f}, {estimate.high:.3f}], "
            f"{estimate.cases} cases, {estimate.groups} groups>"
        )


@dataclass(frozen=True)
class Frame:
    """One case of the gallery as the worst attack within one eps left it, attacked anew."""

    eps: float | None
    """As in `Row`."""
    attack: str
    """The attack whose image was the most damaging; empty where none came nearer than no attack."""
    prediction: str
    probability: float
    """Of the predicted class: the classifier's own softmax, not a calibrated confidence."""
    success: bool
    """Whether this picture reaches the attack's goal."""
    linf: float
    l2: float
    magnified: float
    """The factor by which the difference picture shows each change; grey means none. 0: none."""
    image: str
    """File name of the attacked image within the run's gallery folder."""
    difference: str
    """File name of the magnified difference; empty where nothing was changed."""


@dataclass(frozen=True)
class Exhibit:
    """One case of the gallery: the clean image and, eps ascending, what attacks made of it."""

    case: str
    label: str
    prediction: str
    probability: float
    fell_at: float | None
    """The least eps of the plan at which an attack of the run succeeded; None: it held."""
    norm: str
    pixels: tuple[int, int]
    """Height and width of the image that was attacked."""
    shown: tuple[int, int]
    """Height and width of the pictures, reduced where a page would grow too large."""
    image: str
    frames: tuple[Frame, ...]


@dataclass(frozen=True)
class Difficulty:
    """The least eps of the plan at which an attack succeeds on at least 99 % of attacked cases."""

    attack: str
    norm: str
    eps: float | None
    """None: not reached at any eps of the plan."""


@dataclass(frozen=True)
class EveryEps:
    """Robust accuracy at every eps, by the nearest image that minimum-norm attacks found."""

    attacks: tuple[str, ...]
    norm: str
    eps: tuple[float, ...]
    """Ascending from 0; at each further one a case falls, thinned out where they are many."""
    robust_accuracy: tuple[Estimate, ...]
    """At each eps, until the next."""


@dataclass(frozen=True)
class Flag:
    """A doubt about the numbers: it stands next to them wherever they are shown."""

    name: str
    seen: str
    """What was observed, with the figures."""
    why: str
    """Why it weakens a number."""
    remedy: str
    """What to do about it."""


@dataclass(frozen=True, repr=False)
class Report:
    """Everything that one audit found, and everything needed to repeat it."""

    title: str
    clean: Row
    rows: tuple[Row, ...]
    worst_cases: tuple[Row, ...]
    """Over all attacks, one row for each norm and eps, eps ascending."""
    difficulty: tuple[Difficulty, ...]
    flags: tuple[Flag, ...]
    plan: Mapping[str, Any]
    """The plan with its defaults filled in, attacks as they were given."""
    model: Mapping[str, Any]
    """What was audited: source, hash of the weights, head, preprocessing, threshold."""
    data: Mapping[str, Any]
    """What it was audited on: source, split, hash, counts, groups, skipped files."""
    environment: Mapping[str, Any]
    """Versions of everything that computes, and the device."""
    table_sha256: str
    """Hash of outcomes.csv, the per-case table; empty where the run is not finished."""
    timings: Mapping[str, Any] = field(default_factory=dict)
    """Seconds; the only part that differs between two runs of the same plan."""
    attacks: Mapping[str, str] = field(default_factory=dict)
    """Each attack by its name in the plan, with every parameter."""
    gallery: tuple[Exhibit, ...] = ()
    """Cases as pictures: those that fell first, then those that held longest."""
    detection: Detection | None = None
    every_eps: tuple[EveryEps, ...] = ()
    survival: tuple[Survival, ...] = ()
    scenarios: tuple[Scenario, ...] = ()
    """Attackers who have less than the model, or other means, as far as the plan asks for them."""
    """None where the plan names no detector, or the run is not finished."""
    schema_version: int = SCHEMA_VERSION

    def __repr__(self) -> str:
        """One line: the whole is thousands of them, and `to_json` shows it."""
        return f"<Report {self.title!r}: {len(self.rows)} rows, {len(self.flags)} flags>"

    @property
    def worst(self) -> Row:
        """The worst case at the largest eps of the plan's first norm."""
        norm = self.worst_cases[0].norm
        return [row for row in self.worst_cases if row.norm == norm][-1]

    def row(self, attack: str, eps: float | None = None) -> Row:
        """The row of that attack at that eps (within rounding); KeyError if there is none."""
        for row in self.rows:
            if row.attack == attack and (
                row.eps == eps
                or (row.eps is not None and eps is not None and abs(row.eps - eps) < 1e-9)
            ):
                return row
        raise KeyError(f"no row for {attack} at eps {eps}")

    def to_json(self) -> str:
        """The text of report.json; `Report.from_json` takes it back to an equal value."""
        return json.dumps(dataclasses.asdict(self), indent=1, allow_nan=False, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Report:
        """Read a report.json; ValueError if it is none or from a newer robust."""
        try:
            raw = json.loads(text)
            version = raw["schema_version"]
        except (ValueError, KeyError, TypeError):
            raise ValueError("this is not a report.json of robust") from None
        if version > SCHEMA_VERSION:
            raise ValueError(
                f"report.json has schema {version}, this robust reads up to {SCHEMA_VERSION}; "
                f"upgrade robust"
            )
        report: Report = build(cls, raw)
        return report

    def save(self, path: str | Path) -> None:
        Path(path).write_text(self.to_json(), encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Report:
        return cls.from_json(Path(path).read_text(encoding="utf-8"))


def build(kind: Any, raw: Any) -> Any:
    """Turn parsed JSON into the annotated type: dataclasses, optionals, tuples, mappings."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        return kind(**{name: build(hints[name], value) for name, value in raw.items()})
    if origin in (types.UnionType, typing.Union):
        return None if raw is None else build(arguments[0], raw)
    if origin is tuple:
        kinds = arguments[:1] * len(raw) if arguments[1:] == (...,) else arguments
        return tuple(build(one, value) for one, value in zip(kinds, raw, strict=True))
    if origin is Mapping or (origin is not None and issubclass(origin, Mapping)):
        return {key: build(arguments[1], value) for key, value in raw.items()}
    return raw
