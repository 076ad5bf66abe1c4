"""The report and its rows: what came out of a run, as values. Standard library alone."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SCHEMA_VERSION = 3
"""Goes up whenever a reader of an older report.json would misread a newer one."""

GALLERY = "gallery"
"""Folder of a run directory that holds the pictures which `Exhibit` and `Frame` name."""


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval, resampled by group."""

    value: float
    low: float
    high: float
    cases: int
    """Cases the number is computed from."""
    groups: int
    """Groups (patients, lesions) among them: the unit of resampling."""


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


@dataclass(frozen=True)
class Row:
    """One condition: an attack at an eps, the worst case over all attacks, or no attack at all."""

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
class Shown:
    """What detectors were shown beside clean images: those of one attack, or of a control."""

    kind: str
    """`attack`: its successes; `noise`: random change of the same size; `change`: what an image
    meets in daily life, such as JPEG. Controls show every case."""
    name: str
    """The attack's name in the plan, or what was changed."""
    norm: str
    eps: float | None
    """As in `Row`; for noise beside an attack without a bound each image moves as far as the
    attack moved it. None as well for a change of daily life."""
    cases: int
    empty: str = ""
    """Why no detector could be fitted on this attack."""


@dataclass(frozen=True)
class Sighting:
    """What a detector fitted on one attack is worth against one attack or control."""

    detector: str
    """Its name in the plan."""
    fitted: int | None
    """The attack fitted on, as a place in `Detection.shown`; None where nothing is fitted."""
    shown: int
    """As a place in `Detection.shown`."""
    auc: Estimate | None
    """Clean against shown; below 0.5 the shown images look more harmless than clean ones."""
    seen: Mapping[str, Estimate | None]
    """By share of false alarms (`0.01`, `0.05`, `0.1`): the share of shown images above the
    threshold, which is set on clean images alone."""
    few: bool
    """Too few images shown (below 30) for a verdict."""


@dataclass(frozen=True)
class NullControl:
    """The whole pipeline on clean images, half of whose groups play the attacked ones."""

    detector: str
    fitted: int | None
    """The fitting that it stands beside, as in `Sighting`."""
    auc: Estimate
    """Mean over draws of who plays; 0.5 where there is nothing to find."""
    p: float
    """Two-sided, of a mean this far from 0.5."""
    alarm: bool
    """Further than 0.03 from 0.5, at 1 % after Holm's correction over all null controls: then no
    figure of this detector is to be believed."""


@dataclass(frozen=True)
class Trace:
    """Scores of one detector, fitted on the key attack, image by image."""

    detector: str
    roc: tuple[tuple[float, float], ...]
    """(share of false alarms, share seen), ascending from (0, 0) to (1, 1)."""
    edges: tuple[float, ...]
    """Of the histogram's bins; what lies outside counts in the outermost."""
    clean: tuple[int, ...]
    """Images in each bin."""
    attacked: tuple[int, ...]
    noise: tuple[int, ...]
    """Noise of the key attack's size."""


@dataclass(frozen=True)
class Scatter:
    """Deep features in two dimensions (t-SNE): neighbours stay near, distances mean little."""

    shown: int
    """The attack, as a place in `Detection.shown`."""
    clean: tuple[tuple[float, float], ...]
    attacked: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Detection:
    """Whether detectors notice: the transfer matrix with its controls."""

    detectors: Mapping[str, str]
    """Each by its name in the plan, with every parameter."""
    layers: tuple[str, ...]
    """Whose activations were read, from input to output."""
    reference: Mapping[str, Any]
    """What detectors learned from: `split`, `cases`, `groups`, and `left_out`: images that are
    copies of judged ones."""
    cases: int
    """Judged on: right when clean, at most as many as the plan allows."""
    groups: int
    of: int
    """Cases that are right when clean."""
    folds: int
    key: int | None
    """The attack that sentences and figures are about, as a place in `shown`: the strongest at the
    smallest eps with 30 successes. None where no attack succeeded."""
    shown: tuple[Shown, ...]
    sightings: tuple[Sighting, ...]
    nulls: tuple[NullControl, ...]
    traces: tuple[Trace, ...] = ()
    scatters: tuple[Scatter, ...] = ()

    def sighting(self, detector: str, shown: int | None) -> Sighting | None:
        """Of a detector fitted on the key attack, where it needs fitting; None if there is none."""
        fitted = (None, self.key)
        found = (s for s in self.sightings if s.detector == detector and s.fitted in fitted)
        return next((s for s in found if s.shown == shown), None)

    def null(self, detector: str) -> NullControl | None:
        """That of a detector fitted on the key attack."""
        fitted = (None, self.key)
        own = (n for n in self.nulls if n.detector == detector and n.fitted in fitted)
        return next(own, None)


@dataclass(frozen=True)
class Difficulty:
    """The least eps of the plan at which an attack succeeds on at least 99 % of attacked cases."""

    attack: str
    norm: str
    eps: float | None
    """None: not reached at any eps of the plan."""


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


@dataclass(frozen=True)
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
    """None where the plan names no detector, or the run is not finished."""
    schema_version: int = SCHEMA_VERSION

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
        report: Report = _build(cls, raw)
        return report

    def save(self, path: str | Path) -> None:
        Path(path).write_text(self.to_json(), encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Report:
        return cls.from_json(Path(path).read_text(encoding="utf-8"))


def _build(kind: Any, raw: Any) -> Any:
    """Turn parsed JSON into the annotated type: dataclasses, optionals, tuples, mappings."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        return kind(**{name: _build(hints[name], value) for name, value in raw.items()})
    if origin in (types.UnionType, typing.Union):
        return None if raw is None else _build(arguments[0], raw)
    if origin is tuple:
        kinds = arguments[:1] * len(raw) if arguments[1:] == (...,) else arguments
        return tuple(_build(one, value) for one, value in zip(kinds, raw, strict=True))
    if origin is Mapping or (origin is not None and issubclass(origin, Mapping)):
        return {key: _build(arguments[1], value) for key, value in raw.items()}
    return raw
