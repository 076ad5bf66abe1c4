"""The report and its rows: what came out of a run, as values. Standard library alone."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from robust.records.build import build
from robust.records.detection import Detection
from robust.records.flags import Flag
from robust.records.gallery import Exhibit
from robust.records.scenarios import Scenario
from robust.records.scores import AccuracyCurve, AttackResult, Difficulty
from robust.records.storage import Survival

SCHEMA_VERSION = 3
"""Goes up whenever a reader of an older report.json would misread a newer one."""

GALLERY = "gallery"
"""Folder of a run directory that holds the pictures which `Exhibit` and `Frame` name."""


@dataclass(frozen=True, repr=False)
class Report:
    """Everything that one audit found, and everything needed to repeat it."""

    title: str
    clean: AttackResult
    rows: tuple[AttackResult, ...]
    worst_cases: tuple[AttackResult, ...]
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
    every_eps: tuple[AccuracyCurve, ...] = ()
    survival: tuple[Survival, ...] = ()
    scenarios: tuple[Scenario, ...] = ()
    """Attackers who have less than the model, or other means, as far as the plan asks for them."""
    """None where the plan names no detector, or the run is not finished."""
    schema_version: int = SCHEMA_VERSION

    def __repr__(self) -> str:
        """One line: the whole is thousands of them, and `to_json` shows it."""
        return f"<Report {self.title!r}: {len(self.rows)} rows, {len(self.flags)} flags>"

    @property
    def worst(self) -> AttackResult:
        """The worst case at the largest eps of the plan's first norm."""
        norm = self.worst_cases[0].norm
        return [row for row in self.worst_cases if row.norm == norm][-1]

    def row(self, attack: str, eps: float | None = None) -> AttackResult:
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
