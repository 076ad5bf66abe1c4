"""Audits of several findings of one multilabel model: an index of reports, one for each finding."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robust.errors import InputError, excerpt
from robust.files import MOST_TEXT, read_text, write_atomically
from robust.records.report import Report

INDEX = "findings.json"
"""In the folder of such an audit; each finding has a folder below it with its own report.json."""
INDEX_VERSION = 1
"""Goes up whenever an older reader would misread a newer index."""


@dataclass(frozen=True)
class FindingEntry:
    """One finding that was asked for."""

    finding: str
    """Its name."""
    folder: str
    """The folder of its audit, below that of the index."""
    why_not: str = ""
    """Why it was not audited; empty where it was."""


@dataclass(frozen=True, repr=False)
class FindingsReport:
    """The reports of all findings of a model, in the order of its outputs."""

    title: str
    """Title, from the plan."""
    entries: tuple[FindingEntry, ...]
    """Every finding that was asked for, audited or not."""
    reports: tuple[tuple[FindingEntry, Report], ...]
    """Those that were audited, each with its report."""

    def __repr__(self) -> str:
        """One line: the reports are long."""
        left = len(self.entries) - len(self.reports)
        return f"<FindingsReport {self.title!r}: {len(self.reports)} audited, {left} not>"

    @property
    def not_audited(self) -> tuple[FindingEntry, ...]:
        """Findings without a report, each with the reason."""
        return tuple(entry for entry in self.entries if entry.why_not)

    def report(self, finding: str) -> Report:
        """The report of one finding; KeyError where it was not audited."""
        for entry, report in self.reports:
            if entry.finding == finding:
                return report
        raise KeyError(f"no report on {finding!r}")

    def save(self, folder: str | Path) -> None:
        """Write the index; the reports lie in their own folders already."""
        raw = {
            "version": INDEX_VERSION,
            "title": self.title,
            "findings": [dataclasses.asdict(entry) for entry in self.entries],
        }
        text = json.dumps(raw, indent=1, ensure_ascii=False)
        write_atomically(
            Path(folder) / INDEX, text.encode("utf-8", "backslashreplace").decode("utf-8")
        )

    @classmethod
    def load(cls, folder: str | Path) -> FindingsReport:
        """The index of a folder and the reports that it names; InputError where one is missing."""
        folder = Path(folder)
        path = folder / INDEX
        try:
            raw: dict[str, Any] = json.loads(read_text(path, MOST_TEXT))
            version = raw["version"]
            entries = tuple(FindingEntry(**entry) for entry in raw["findings"])
            title = raw["title"]
            texts = [title, *(t for entry in entries for t in dataclasses.astuple(entry))]
            if version == INDEX_VERSION and not all(isinstance(text, str) for text in texts):
                raise ValueError
        except InputError:
            raise
        except (ValueError, KeyError, TypeError, RecursionError):
            raise InputError(f"{excerpt(path, 300)} is not an index of findings") from None
        if version != INDEX_VERSION:
            raise InputError(
                f"{excerpt(path, 300)} has version {excerpt(version)}, this robust reads "
                f"{INDEX_VERSION}; use the version that wrote it"
            )
        if any(Path(entry.folder).name != entry.folder for entry in entries):
            raise InputError(f"{excerpt(path, 300)} names a folder outside its own")
        audited = [entry for entry in entries if not entry.why_not]
        reports = [Report.load(folder / entry.folder / "report.json") for entry in audited]
        return cls(title, entries, tuple(zip(audited, reports, strict=True)))
