"""Audits of several findings of a multilabel model: one each, their clean passes shared."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from robust.auditing.api import run_request
from robust.auditing.request import AuditRequest, RunSettings, request_on
from robust.cases import Cases, finding_names
from robust.engine.database.clean_outputs import CleanOutputs
from robust.engine.inputs import open_data, open_model, require_one_threshold, set_threshold
from robust.errors import InputError, did_you_mean
from robust.models import Classifier, choose_device, prepare
from robust.models.loading import OUTPUTS_WITHOUT_NAMES
from robust.models.weights import weights_hash
from robust.plan.findings import ALL, asks_for_several, same_finding
from robust.plan.machines import WorkerChoice
from robust.plan.spec import ModelSpec, Plan
from robust.progress import Announce, Progress, no_announcement, no_progress
from robust.records import FindingEntry, FindingsReport, Report
from robust.tracking import require_tracking


class CannotAuditFinding(InputError):
    """Why one finding of several is not audited; the message names no file."""


Written = Callable[[FindingEntry, Report], None]
"""Called with each report as soon as it is finished."""


def nothing_written(entry: FindingEntry, report: Report) -> None:
    """Nothing more is to be done with a report."""


def audit_findings(
    plan: Plan,
    *,
    out: str | Path | None = None,
    device: str = "auto",
    skip_broken: bool = False,
    progress: Progress = no_progress,
    announce: Announce = no_announcement,
    workers: WorkerChoice | None = None,
    written: Written = nothing_written,
) -> FindingsReport:
    """Audit each finding that `[model] finding`, a list or `all`, names.

    Each is an audit of its own in a folder below `out`: it has its own cases, threshold,
    intervals, warnings and verdicts, and resumes by itself. The network runs once on each clean
    image. A finding that the labels do not know, or that no case has or every case, keeps its place
    with the reason. Raises InputError where none can be audited.
    """
    require_tracking(plan.track)
    settings = RunSettings(out, device, skip_broken, progress, announce, workers)
    audits = requested_findings(plan, settings)
    place = None if out is None else Path(out)
    shared = CleanOutputs(place, _identity(audits[0].classifier, device))
    folders = _folders([one.name for one in audits])
    entries: list[FindingEntry] = []
    reports: list[tuple[FindingEntry, Report]] = []
    for one, folder in zip(audits, folders, strict=True):
        name = one.name
        announce(f"Finding {len(entries) + 1} of {len(audits)}: {name}")
        try:
            request = one.request(None if place is None else place / folder, shared)
        except CannotAuditFinding as error:
            entries.append(FindingEntry(name, folder, str(error)))
            announce(f"Not audited: {name}: {error}")
            continue
        report = run_request(request)
        entries.append(FindingEntry(name, folder))
        reports.append((entries[-1], report))
        written(entries[-1], report)
    if not reports:
        raise InputError(f"no finding can be audited: {entries[0].finding}: {entries[0].why_not}")
    found = FindingsReport(plan.title, tuple(entries), tuple(reports))
    if place is not None:
        found.save(place)
    shared.remove()
    return found


@dataclass(frozen=True)
class FindingAudit:
    """What the audit of one finding is made from."""

    plan: Plan
    settings: RunSettings
    classifier: Classifier
    """Of any finding: the network is shared."""
    known: Sequence[str]
    """Findings that the data have labels of."""
    output: int
    name: str

    def request(self, out: Path | None, shared: CleanOutputs | None = None) -> AuditRequest:
        """Its request; CannotAuditFinding where its cases cannot be audited, or InputError.

        `shared` holds the clean outputs of the network for all findings.
        """
        plan = self._plan()
        assert plan.data is not None  # audit_findings checks
        cases = open_data(plan.data)
        _require_both(cases)
        settings = replace(self.settings, out=out)
        return request_on(plan, self._classifier(plan, shared), cases, settings, shared)

    def _plan(self) -> Plan:
        """The plan of this finding alone: the same audit by itself, and what it is known by."""
        assert self.plan.model is not None and self.plan.data is not None
        model = self.plan.model.model_copy(update={"finding": self.output})
        title = f"{self.plan.title}: {self.name}"
        label = _label_of(self.name, self.output, self.known)
        only = {"label": label} if self.plan.data.path.endswith(".npz") else {"positive": (label,)}
        data = self.plan.data.model_copy(update=only)
        twin = self.plan.twin
        if twin is not None and twin.finding is None:
            twin = twin.model_copy(update={"finding": self.output})
        changes = {"model": model, "data": data, "title": title, "twin": twin}
        return self.plan.model_copy(update=changes)

    def _classifier(self, plan: Plan, shared: CleanOutputs | None) -> Classifier:
        """The shared network, asked for this finding, at its threshold."""
        classifier = copy.copy(self.classifier)
        classifier.finding = self.output
        set_threshold(classifier, plan, self.settings.device, shared)
        return classifier


def requested_findings(plan: Plan, settings: RunSettings) -> list[FindingAudit]:
    """The audit of each finding that a plan asks for, with one network for all; InputError."""
    if plan.model is None or plan.data is None or not asks_for_several(plan.model):
        raise InputError('name the findings: [model] finding = "all", or a list')
    require_one_threshold(plan.audit)
    classifier = open_model(plan.model.model_copy(update={"finding": 0}), plan.audit.threshold)
    known = finding_names(plan.data.path, **plan.data.options())
    return [
        FindingAudit(plan, settings, classifier, known, output, name)
        for output, name in _names(plan.model, classifier)
    ]


def _names(model: ModelSpec, classifier: Classifier) -> list[tuple[int, str]]:
    """Numbers and names of the outputs to audit, in their order; InputError."""
    known = list(classifier.output_names or ())
    if model.finding == ALL:
        if not known:
            raise InputError(
                'finding = "all" needs the names of the outputs: outputs = ["...", ...] in [model]'
            )
        return [(place, name) for place, name in enumerate(known) if name]
    assert isinstance(model.finding, tuple)
    found: dict[int, str] = {}
    for one in model.finding:
        if isinstance(one, int):
            if known and not 0 <= one < len(known):
                raise InputError(f"finding {one} is out of range: there are {len(known)} outputs")
            found[one] = known[one] if known else str(one)
        elif one in known:
            found[known.index(one)] = one
        else:
            hint = did_you_mean(one, known) if known else OUTPUTS_WITHOUT_NAMES
            raise InputError(f"finding {one!r} is not among the outputs; {hint}")
    return sorted(found.items())


def _label_of(name: str, output: int, known: Sequence[str]) -> str:
    """What the data call a finding; CannotAuditFinding where they do not know it.

    Columns without names go by number.
    """
    if all(one.isdigit() for one in known):
        name = str(output)
    for one in known:
        if same_finding(one, name):
            return one
    raise CannotAuditFinding("the data have no labels of it; outputs can name it as they do")


def _require_both(cases: Cases) -> None:
    """CannotAuditFinding where a finding is never there, or always."""
    if len(cases.classes) != 2:
        raise InputError(
            f"the labels of a finding have {len(cases.classes)} classes; absence and presence are "
            f"needed"
        )
    counts = [sum(entry.label == label for entry in cases.entries) for label in (0, 1)]
    if not all(counts):
        which = "no case has it" if not counts[1] else "every case has it"
        raise CannotAuditFinding(f"{which} in split {cases.split}")


def _folders(names: Sequence[str]) -> list[str]:
    """A folder for each finding: its name in plain letters, unique."""
    found: list[str] = []
    for name in names:
        plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40] or "finding"
        count = 2
        unique = plain
        while unique in found:
            unique, count = f"{plain}-{count}", count + 1
        found.append(unique)
    return found


def _identity(classifier: Classifier, device: str) -> str:
    """What outputs belong to: the weights and the preprocessing."""
    said = classifier.describe()
    for name in ("finding_output", "threshold"):
        said.pop(name)
    weights = weights_hash(prepare(classifier, choose_device(device)))
    return f"{weights} {said}"
