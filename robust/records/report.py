"""The report of an audit: all results and what is needed to repeat it; imports no torch."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from robust.errors import InputError, excerpt
from robust.files import read_text, write_atomically
from robust.records.check import (
    check_corrupted,
    check_curves,
    check_dates,
    check_detection,
    check_numbers,
    check_plan,
    check_proofs,
    check_results,
)
from robust.records.detection import Detection
from robust.records.flags import Flag
from robust.records.from_plain import record_from
from robust.records.gallery import Exhibit, Visibility
from robust.records.inputs import AuditedData, AuditedModel, AuditedTask, Timings
from robust.records.scores import AccuracyCurve, AttackResult, Difficulty
from robust.records.stages.certificates import CertifiedAccuracy
from robust.records.stages.corruptions import CorruptionResult
from robust.records.stages.scenarios import Scenario, Twin
from robust.records.stages.storage import Survival
from robust.records.verdicts import verdict
from robust.units import same_eps

SCHEMA_VERSION = 6
"""Goes up whenever a reader of an older report.json would misread a newer one."""

MOST_BYTES = 256 << 20
"""Of a report.json."""
MOST_DIGITS = 19
"""Of a whole number in it: a seed has as many."""

STAGES = (
    *("attacks", "detectors", "adaptive", "storage", "certificates", "corruptions"),
    *("scenarios", "twin", "probe", "table", "gallery"),
)
"""Stages of a run: attacks on every case, detectors, adaptive attacks on them, the effect of saving
adversarial images, certificates, corruptions, scenarios, the comparison with the deployed version,
the probe, the per-case table, example images."""

_STAGE_WORDS = {
    "adaptive": "adaptive attacks",
    "storage": "the effect of saving",
    "twin": "the comparison with the deployed version",
    "probe": "the probe",
    "table": "the per-case table",
    "gallery": "example images",
}


def stages_text(stages: Iterable[str]) -> str:
    """`attacks, the probe, example images`: stages as a report names them."""
    return ", ".join(_STAGE_WORDS.get(stage, stage) for stage in stages)


GALLERY = "gallery"
"""Folder of a run directory with the image files that `Exhibit` and `ExhibitImage` name."""


@dataclass(frozen=True, repr=False)
class Report:
    """Everything that one audit found, and everything needed to repeat it."""

    title: str
    """Title of the report, from the plan."""
    clean: AttackResult
    """Result without attack."""
    rows: tuple[AttackResult, ...]
    """One result for each attack, norm and eps that was run in full, in the plan's order."""
    worst_cases: tuple[AttackResult, ...]
    """Worst case over all attacks: one result for each norm and eps, eps ascending."""
    difficulty: tuple[Difficulty, ...]
    """One for each attack and norm."""
    flags: tuple[Flag, ...]
    """Warnings about these numbers, the gravest first."""
    plan: Mapping[str, Any]
    """The plan with its defaults filled in, attacks as they were given."""
    model: AuditedModel
    """The model that was audited."""
    data: AuditedData
    """The cases that were audited."""
    environment: Mapping[str, Any]
    """Versions of everything that computes, by package, and the device."""
    table_sha256: str
    """SHA-256 of outcomes.csv, the per-case table; empty where the run is not finished."""
    timings: Timings = field(default_factory=Timings)
    """Dates and cost of the run; the only part that differs between two runs of the same plan."""
    attacks: Mapping[str, str] = field(default_factory=dict)
    """Each attack by its name in the plan, with all its parameters."""
    gallery: tuple[Exhibit, ...] = ()
    """Example images: missed findings, then other misread cases, each from the smallest eps; then
    those that stayed correct longest."""
    visibility: tuple[Visibility, ...] = ()
    """How large the changes are: one for each norm and eps at which an attack succeeded."""
    detection: Detection | None = None
    """Detector results; None where the plan names no detector, or the run is not finished."""
    accuracy_curves: tuple[AccuracyCurve, ...] = ()
    """Robust accuracy at every eps: one for each norm with a minimum-norm attack."""
    survival: tuple[Survival, ...] = ()
    """Effect of saving adversarial images as files, one for each eps; empty where the plan does not
    ask for it."""
    scenarios: tuple[Scenario, ...] = ()
    """Attackers with less knowledge or other means, as far as the plan asks for them."""
    task: AuditedTask = field(default_factory=AuditedTask)
    """What the model does, and when a case counts as right."""
    twin: Twin | None = None
    """The deployed version beside the audited model; None where the plan names none, or the run is
    not finished."""
    certificates: tuple[CertifiedAccuracy, ...] = ()
    """What certificates prove, one for each in the plan."""
    corruptions: CorruptionResult | None = None
    """Errors on corrupted images; None where the plan asks for none, or the run is not finished."""
    certificate_table_sha256: str = ""
    """SHA-256 of certificates.csv, what is proven of each case; empty without certificates."""
    corruption_table_sha256: str = ""
    """SHA-256 of corruptions.csv, the error of each case under each corruption; empty without."""
    missing_stages: tuple[str, ...] = ()
    """Stages that the plan asks for and that the run has not finished, of `STAGES`; empty for a
    finished run. No gate passes while any is missing."""
    schema_version: int = SCHEMA_VERSION
    """Version of this format."""
    verdicts: tuple[str, ...] = field(init=False)
    """The verdict on each of `worst_cases`: `robust`, `partly robust`, `mostly fooled`, `fails`,
    `undecided`, or `no verdict: ` and the name of the warning that voids it. It follows from the
    results and the flags, and is computed anew when a report is read."""

    def __post_init__(self) -> None:
        words = tuple(verdict(row, self.flags) for row in self.worst_cases)
        object.__setattr__(self, "verdicts", words)

    def __repr__(self) -> str:
        """One line: the whole is thousands of them, and `to_json` shows it."""
        return f"<Report {self.title!r}: {len(self.rows)} results, {len(self.flags)} flags>"

    @property
    def is_finished(self) -> bool:
        """Whether every stage that the plan asks for is finished, on every case."""
        return not self.missing_stages and not self.data.unfinished

    @property
    def missing_text(self) -> str:
        """What a run that is not finished lacks, as a report names it."""
        return stages_text(self.missing_stages) or "attacks"

    @property
    def cut_short(self) -> bool:
        """Whether the run has not come to its end, so that there is no per-case table yet."""
        return bool(self.data.unfinished) or "table" in self.missing_stages

    @property
    def worst(self) -> AttackResult:
        """The worst case at the largest eps of the plan's first norm."""
        norm = self.worst_cases[0].norm
        return [one for one in self.worst_cases if one.norm == norm][-1]

    def result(self, attack: str, eps: float | None = None) -> AttackResult:
        """The result of that attack at that eps (within 1e-9); KeyError if there is none."""
        for one in self.rows:
            if one.attack == attack and same_eps(one.eps, eps):
                return one
        raise KeyError(f"no result for {attack} at eps {eps}")

    def to_pandas(self) -> Any:
        """Every estimate, those of curves aside, as a row of a pandas DataFrame.

        Columns: `section` (`clean`, `worst case`, `attacks`, `detectors`, `scenarios`,
        `certificates`, `corruptions`, `storage`, `deployed version`), `subject`, `attack`, `norm`,
        `eps`, `kind`, `fitted_on`, `subgroup`, `of`, `measure`, `value`, `low`, `high`, `cases`,
        `groups`, `controls`, `doubt`. `MeasuredUnder` in `robust.report.numbers` says what those of
        the condition hold.
        """
        return _view("frame")(self)

    def _repr_html_(self) -> str:
        """What a notebook shows: the lead, the verdicts with their intervals, the warnings."""
        return str(_view("html")(self))

    def to_json(self) -> str:
        """The text of report.json; `Report.from_json` takes it back to an equal value."""
        text = json.dumps(dataclasses.asdict(self), indent=1, allow_nan=False, ensure_ascii=False)
        # Half a character, from a file name that is no UTF-8, becomes JSON's own escape of it.
        return text.encode("utf-8", "backslashreplace").decode("utf-8")

    @classmethod
    def from_json(cls, text: str) -> Report:
        """Read a report.json; InputError if it is none, or one of another schema version.

        It may come from anybody: fields of other types, numbers that are none and parts that do not
        fit together are refused.
        """
        try:
            raw = json.loads(text, parse_constant=_refuse, parse_float=_finite, parse_int=_whole)
            version = raw["schema_version"]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise InputError("this is not a report.json of robust") from None
        if not isinstance(version, int) or isinstance(version, bool):
            raise InputError("this is not a report.json of robust")
        if version > SCHEMA_VERSION:
            raise InputError(
                f"report.json has schema {version}, this robust reads {SCHEMA_VERSION}; upgrade "
                f"robust"
            )
        if version < SCHEMA_VERSION:
            raise InputError(
                f"report.json has schema {version} of an older robust, this one reads "
                f"{SCHEMA_VERSION}; audit again, or read it with the robust that wrote it"
            )
        try:
            raw.pop("verdicts", None)
            report: Report = record_from(cls, raw)
            for wrong in _contradictions(report, raw):
                raise ValueError(wrong)
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise InputError(
                f"this is not a whole report.json of robust: {excerpt(error)}"
            ) from None
        return report

    def save(self, path: str | Path) -> None:
        """Write the text of `to_json` to a file that its owner alone can read."""
        write_atomically(Path(path), self.to_json())

    @classmethod
    def load(cls, path: str | Path) -> Report:
        """Read a report.json file; InputError as for `from_json`."""
        return cls.from_json(read_text(Path(path), MOST_BYTES))


_VIEWS: dict[str, Callable[[Report], Any]] = {}


def provide_view(name: str, make: Callable[[Report], Any]) -> None:
    """Let rooms above say how a report is shown as `frame` or as `html`: records know no tables."""
    _VIEWS[name] = make


def _view(name: str) -> Callable[[Report], Any]:
    if name not in _VIEWS:  # a notebook then shows the line of `repr`
        raise NotImplementedError("tables and pages are those of robust.report: import it first")
    return _VIEWS[name]


def _contradictions(report: Report, raw: object) -> Iterator[str]:
    rows = (report.clean, *report.rows, *report.worst_cases)
    yield from check_numbers(raw)
    yield from check_results(rows, report.worst_cases, tuple(report.data.classes))
    yield from check_curves(report.accuracy_curves)
    yield from check_proofs(report.certificates)
    if report.corruptions is not None:
        yield from check_corrupted(report.corruptions)
    yield from check_plan(report.plan)
    yield from check_dates(report.timings)
    if report.detection is not None:
        yield from check_detection(report.detection)


def _refuse(text: str) -> Any:
    raise ValueError(f"{text} is not a number")


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refuse(text)


def _whole(text: str) -> int:
    return int(text) if len(text) < MOST_DIGITS else _refuse(text)
