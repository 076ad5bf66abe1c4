"""`Plan`: what to run, as a TOML file or as values; every field checked before anything runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from robust.errors import InputError
from robust.plan.gates import GatesSpec
from robust.units import parse_eps as parse_eps

Eps = Annotated[float, BeforeValidator(parse_eps)]
Size = int | tuple[int, int]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelSpec(Section):
    """The classifier; the fields are those of `load_classifier`."""

    architecture: str | None = None
    weights: str | None = None
    pretrained: bool = False
    file: str | None = None
    factory: str | None = None
    folder: str | None = None
    """What `robust train` left; it says the rest itself."""
    outputs: int | tuple[str, ...] | None = None
    finding: int | str | None = None
    head: str = "auto"
    mean: float | tuple[float, ...] | None = None
    std: float | tuple[float, ...] | None = None
    size: Size | None = None
    interpolation: str | None = None
    fit: str = "squash"
    channels: int | None = None


class DataSpec(Section):
    """The cases; the fields are those of `open_cases` and of the readers behind it."""

    path: str
    split: str | None = None
    label: str | None = None
    where: str | None = None
    classes: tuple[str, ...] | None = None
    findings: tuple[str, ...] | None = None
    group: str | None = None
    group_pattern: str | None = None
    subgroups: tuple[str, ...] = ()
    keep_names: bool = False
    limit: int | None = Field(default=None, ge=1)
    size: Size | None = None
    grey: bool = False
    window: int | None = Field(default=None, ge=1)
    """Which window of DICOM files is shown, from 1; left out: each file's first."""
    count: int | None = None
    pixels: int | None = None
    seed: int | None = None

    def options(self) -> dict[str, Any]:
        """Keyword arguments of `open_cases`."""
        return self.model_dump(exclude={"path"})


class AttackSpec(BaseModel):
    """One `[[attacks]]` table: a name, what the audit would set otherwise, and its own fields."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str
    norm: Literal["Linf", "L2"] | None = None
    eps: tuple[Eps, ...] | None = None
    cells: Literal["exact", "curve"] | None = None
    label: str | None = None
    """How the report calls it, where one attack stands in a plan twice."""

    def fields(self) -> dict[str, Any]:
        """The attack's own fields."""
        return dict(self.__pydantic_extra__ or {})


class AuditSpec(Section):
    """What is asked of every attack, and how the numbers are made."""

    norm: Literal["Linf", "L2"] = "Linf"
    eps: tuple[Eps, ...] = tuple(k / 255 for k in (0.5, 1, 2, 4, 8))
    cells: Literal["exact", "curve"] = "exact"
    goal: Literal["error", "miss", "false alarm"] = "error"
    target: str | None = None
    """The class that attacks aim at; other cases than that class's are attacked."""
    threshold: float = Field(default=0.5, gt=0, lt=1)
    sensitivity: float | None = Field(default=None, gt=0, lt=1)
    """Set the threshold so that the val split reaches this sensitivity."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the network while attacks look for images; every one is confirmed at float32, and what
    survives bfloat16 runs again at float32. `auto` measures which is faster."""
    seed: int = Field(default=0, ge=0)
    chunk: int = Field(default=64, ge=1, le=4096)
    """Cases that are attacked as one batch and stored as one unit."""


class DetectorSpec(BaseModel):
    """One `[[detectors]]` table: a name and the detector's own fields."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str
    label: str | None = None
    """How the report calls it, where one detector stands in a plan twice."""

    def fields(self) -> dict[str, Any]:
        """The detector's own fields."""
        return dict(self.__pydantic_extra__ or {})


class DetectionSpec(Section):
    """How detectors learn and are judged."""

    reference: str = "train"
    """The split that detectors learn from; no patient of it may be audited."""
    layers: tuple[str, ...] | None = None
    """Names of layers; left out: the end of each stage and the penultimate layer."""
    fit_on: tuple[str, ...] | None = None
    """Attacks that heads are fitted on, by their names in the plan; left out: every one."""
    fit_eps: tuple[Eps, ...] | None = None
    """At these eps; left out: at every one."""
    cases: int = Field(default=2000, ge=10)
    """Judged at most, spread evenly over those that are right when clean."""
    reference_cases: int = Field(default=5000, ge=10)
    """Learned from at most, spread evenly over the split."""
    passes: int = Field(default=50, ge=2)
    """Dropout passes, for BayesianUncertainty."""
    adaptive: int = Field(default=100, ge=0)
    """Cases on which an attacker who knows a detector tries again; 0: such an attacker never
    comes."""
    adaptive_steps: int = Field(default=100, ge=1)
    """Of each attack on classifier and detector at once."""


class ScenariosSpec(Section):
    """Attackers who have less than the model, or other means; none comes unless asked for."""

    universal: tuple[Annotated[int, Field(ge=1)], ...] = ()
    """One perturbation for every image, fitted on so many images, for each number."""
    patch: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = ()
    """A square of any pixels, for each share of the image's area."""
    surrogate: ModelSpec | None = None
    """Another model of the same question; images made on it are shown to the audited one."""
    queries: tuple[Annotated[int, Field(ge=1, le=1_000_000)], ...] = ()
    """An attacker who hears the label alone, for each number of queries a case (needs foolbox)."""
    eps: Eps | None = None
    """Left out: the largest of the plan."""
    cases: int = Field(default=200, ge=2)
    """Attacked at most, spread evenly over those that are right when clean."""


class DoubtsSpec(Section):
    """What the audit doubts beyond its rows; nothing here changes a number."""

    probe: bool = True
    """Make short experiments on a few cases: are outputs stable, do gradients lead anywhere?"""
    claimed_accuracy: float | None = Field(default=None, gt=0, le=1)
    """On clean images, as whoever made the model says; far less raises a doubt."""
    claimed_auc: float | None = Field(default=None, gt=0, le=1)


class ReportSpec(Section):
    """How the report shows what was found; nothing here changes a number."""

    images: str | None = Field(default=None, min_length=1, max_length=60)
    """What the images are, in the plural, for its sentences: "chest X-rays"."""
    gallery: int | None = Field(default=None, ge=0, le=24)
    """Cases shown as pictures; 0 shows none. Left out: 6, and none where pixels may carry a
    patient's name (DICOM)."""


DEFAULT_ATTACKS = ("Noise", "FGSM", "BIM", "PGD", "MarginPGD")


class Plan(Section):
    """A whole audit. `model` and `data` are None where Python hands over the objects themselves."""

    title: str = "Robustness audit"
    model: ModelSpec | None = None
    data: DataSpec | None = None
    attacks: tuple[AttackSpec, ...] = tuple(AttackSpec(name=name) for name in DEFAULT_ATTACKS)
    audit: AuditSpec = AuditSpec()
    detectors: tuple[DetectorSpec, ...] = ()
    detection: DetectionSpec = DetectionSpec()
    scenarios: ScenariosSpec = ScenariosSpec()
    doubts: DoubtsSpec = DoubtsSpec()
    report: ReportSpec = ReportSpec()
    gates: GatesSpec = GatesSpec()

    def digest(self) -> str:
        """SHA-256 of the plan with its defaults filled in; what changes no number is left out."""
        content = self.model_dump(mode="json", exclude={"title", "doubts", "report", "gates"})
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def unique_labels(specs: Sequence[AttackSpec]) -> list[str]:
    """A name for each attack of a plan; InputError where two would bear the same."""
    labels = [spec.label or spec.name for spec in specs]
    for label in labels:
        if label in ("clean", "worst case"):
            raise InputError(f"{label!r} is a row of its own; give the attack another label")
        if labels.count(label) > 1:
            raise InputError(f"two rows would be called {label!r}; give the attack its own label")
    return labels
