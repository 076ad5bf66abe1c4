"""`Plan`: what to run, as a TOML file or as values; every field checked before anything runs."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from robust.engine.wanted import GatesSpec
from robust.errors import InputError, did_you_mean
from robust.radii import parse_eps as parse_eps

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


PLAN = "plan.toml"
"""The plan in a folder that is given in place of one."""

DEFAULT_ATTACKS = ("Noise", "FGSM", "BIM", "PGD", "CW")


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


_TABLES: dict[str, type[BaseModel]] = {
    "model": ModelSpec,
    "data": DataSpec,
    "audit": AuditSpec,
    "detection": DetectionSpec,
    "scenarios": ScenariosSpec,
    "doubts": DoubtsSpec,
    "report": ReportSpec,
    "gates": GatesSpec,
}


def load_plan(path: str | Path) -> Plan:
    """Read a TOML plan; InputError with the first thing that is wrong. Paths in it are as in a
    shell: relative to the current folder.
    """
    return make_plan(read_plan(path), str(path))


def read_plan(path: str | Path) -> dict[str, Any]:
    """The tables of a plan as they are written, not yet checked.

    A folder means the plan.toml in it, and where that names the folder of a trained model, this
    one: it may have been moved.
    """
    path = Path(path)
    inside = path / PLAN
    try:
        raw = tomllib.loads((inside if inside.is_file() else path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(
            f"no such plan: {path}; `robust audit --help` shows how to write one"
        ) from None
    except IsADirectoryError:
        raise InputError(f"{path} is a folder; give the TOML file in it") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not valid TOML: {error}") from None
    if inside.is_file() and "folder" in _table(raw, "model"):
        raw["model"]["folder"] = path.as_posix()
    return raw


def _table(raw: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    table = raw.get(name)
    return table if isinstance(table, dict) else {}


def make_plan(raw: dict[str, Any], source: str = "plan") -> Plan:
    """A checked plan from plain values; InputError with the first thing that is wrong."""
    try:
        plan = Plan.model_validate(raw)
    except pydantic.ValidationError as error:
        raise InputError(f"{source}: {first_error(error, Plan, _TABLES)}") from None
    own = () if plan.scenarios.eps is None else (plan.scenarios.eps,)
    for eps in [*plan.audit.eps, *own, *(e for a in plan.attacks for e in a.eps or ())]:
        _check_range(plan, eps)
    if not plan.attacks:
        raise InputError(f"{source}: no [[attacks]]; name one, for example name = 'PGD'")
    if not plan.audit.eps:
        raise InputError(f"{source}: [audit] eps is empty; give at least one, such as '1/255'")
    if plan.audit.target is not None and plan.audit.goal != "error":
        raise InputError(f"{source}: [audit] give either goal or target, not both")
    return plan


def _check_range(plan: Plan, eps: float) -> None:
    """In L-inf an eps above 1 moves nothing further than 1 does: surely a slip of units."""
    linf = plan.audit.norm == "Linf" or any(a.norm == "Linf" for a in plan.attacks)
    if linf and eps > 1:
        raise InputError(
            f"eps {eps:g} is above 1, the whole range of a displayed pixel; "
            f"for {eps:g} grey levels of 255 write '{eps:g}/255'"
        )


def first_error(
    error: pydantic.ValidationError, whole: type[BaseModel], tables: Mapping[str, type[BaseModel]]
) -> str:
    """The first thing that is wrong with a file that should say a `whole`, which has tables."""
    detail = error.errors()[0]
    place = [str(part) for part in detail["loc"]]
    where = ".".join(place)
    if detail["type"] == "extra_forbidden":
        section = tables.get(place[0], whole) if len(place) > 1 else whole
        return f"unknown entry {where}; {did_you_mean(place[-1], section.model_fields, limit=20)}"
    if detail["type"] == "missing":
        return f"{where} is missing"
    wanted = {"tuple_type": "must be a list in brackets", "model_type": "must be a table"}
    message = wanted.get(detail["type"], detail["msg"].removeprefix("Value error, "))
    return f"{where}: {message} (got {detail.get('input')!r})"


def unique_labels(specs: Sequence[AttackSpec]) -> list[str]:
    """A name for each attack of a plan; InputError where two would bear the same."""
    labels = [spec.label or spec.name for spec in specs]
    for label in labels:
        if label in ("clean", "worst case"):
            raise InputError(f"{label!r} is a row of its own; give the attack another label")
        if labels.count(label) > 1:
            raise InputError(f"two rows would be called {label!r}; give the attack its own label")
    return labels
