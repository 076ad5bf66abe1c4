"""Numbers of reports in long form, and a sweep from finished runs that differ in anything."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from robust.errors import InputError
from robust.files import read_json_table
from robust.models.model_json import MODEL
from robust.records import Report
from robust.records.sweep import SweepAxis, SweepMember, SweepNumber, SweepReport
from robust.report import read_report
from robust.report.comparison.compare import not_finished
from robust.report.numbers import ReportedNumber, reported_numbers
from robust.report.text.format import plain
from robust.sweeps.grid import text_of_value
from robust.units import eps_text, printed_threat

CLEAN_ACCURACY, ROBUST_ACCURACY, UNDER_ATTACK = (
    "clean accuracy",
    "robust accuracy",
    "accuracy under attack",
)
"""Share of all cases that are right without attack; of these the share that stays right; and the
share of all cases that are right under attack."""
SENSITIVITY, SPECIFICITY, AUC, ATTACKER_AUC = "sensitivity", "specificity", "AUC", "attacker AUC"
DICE, CORRUPTED_ERROR = "Dice", "corrupted error"
DETECTOR_AUC = "detector AUC"
"""Of adversarial images against clean images of the same cases; its null control and adaptive
attacks have measures of their own."""
MACHINE = "machine"
"""The axis of members that were audited on different processors."""


_NAMES = {
    "accuracy": CLEAN_ACCURACY,
    "sensitivity": SENSITIVITY,
    "specificity": SPECIFICITY,
    "auc": AUC,
    "dice": DICE,
    "robust_accuracy": ROBUST_ACCURACY,
    "accuracy_under_attack": UNDER_ATTACK,
    "attacker_auc": ATTACKER_AUC,
    "dice_under_attack": DICE,
    "detector_paired_auc": DETECTOR_AUC,
    "null_control_auc": f"{DETECTOR_AUC}, null control",
    "adaptive_paired_auc": f"{DETECTOR_AUC}, adaptive attack",
    "certified_accuracy": "certified accuracy",
    "mean_corrupted_error": CORRUPTED_ERROR,
}
"""By measure of a report the name in a sweep, in the order that those of a condition have there."""
_RANKS = {measure: rank for rank, measure in enumerate(_NAMES)}


def sweep_numbers(member: str, report: Report) -> tuple[SweepNumber, ...]:
    """Every number of a report that a sweep compares; of several structures each clean Dice."""
    outlines = report.clean.scores.outlines
    structures = {name: f"{DICE} of {plain(name)}" for name in outlines if len(outlines) > 1}
    chosen = [
        one
        for one in reported_numbers(report)
        if one.measure in _NAMES
        and not one.under.subgroup
        and (not one.under.of or (one.measure == "dice" and one.under.of in structures))
    ]
    return tuple(
        SweepNumber(
            member,
            structures.get(one.under.of, _NAMES[one.measure]),
            _condition(one),
            one.estimate,
        )
        for _, own in itertools.groupby(chosen, key=lambda one: one.condition)
        for one in sorted(own, key=lambda one: _RANKS[one.measure])
    )


def _condition(one: ReportedNumber) -> str:
    """The words of sweeps, which stay those of each sweep.json that was written before.

    A detector always bears what it is fitted on, as the key attack of a report follows from its
    results: two members may have two.
    """
    under, subject = one.under, plain(one.under.subject)
    size = printed_threat(under.norm, under.eps) if under.norm else ""
    if one.section == "certificates":
        return f"{subject}, {size}"
    if one.section == "corruptions":
        return subject or "all corruptions"
    if one.section != "detectors":
        return one.condition
    if (fitted := under.fitted_set) is not None:
        subject += f" fitted on {plain(fitted.name)} {eps_text(fitted.eps, fitted.norm)}"
    return f"{subject}, {plain(under.attack)}, {size}" if size else subject


def train_images(folder: Path) -> int | None:
    """Number of images that a model of `robust train` learned from; None where nobody says."""
    try:
        count = read_json_table(folder / MODEL)["data"]["splits"]["train"]["cases"]
    except (InputError, KeyError, TypeError):
        return None
    return count if isinstance(count, int) else None


def processor_of(report: Report) -> str:
    """The processor, or GPU, that a run was computed on."""
    environment = report.environment
    device = str(environment.get("device", ""))
    return device if device != "cpu" else str(environment.get("processor") or device)


def with_machines(
    axes: tuple[SweepAxis, ...], members: Sequence[SweepMember], reports: Mapping[str, Report]
) -> tuple[tuple[SweepAxis, ...], tuple[SweepMember, ...]]:
    """Axes and members with the random axis `machine`, where members ran on several."""
    machines = {name: plain(processor_of(report)) for name, report in reports.items()}
    every = tuple(dict.fromkeys(machines[m.name] for m in members if m.name in machines))
    if len(every) < 2 or any(axis.name == MACHINE for axis in axes):
        return axes, tuple(members)
    placed = tuple(
        SweepMember(
            m.name,
            {**m.levels, MACHINE: machines.get(m.name, "unknown")},
            *(m.run, m.training, m.train_images, m.flags, m.why_not),
        )
        for m in members
    )
    return (*axes, SweepAxis(MACHINE, every, "random")), placed


def read_runs(runs: Sequence[Path]) -> tuple[SweepReport, dict[str, Report], dict[str, Path]]:
    """A sweep of finished runs, without its analysis: axes are what differs between their plans.

    Also the reports and folders by member. InputError for a run that is missing or not finished,
    or one that is given twice.
    """
    reports = [read_report(run) for run in runs]
    for run, report in zip(runs, reports, strict=True):
        if report.cut_short:
            raise not_finished(run, report)
    places = [run.resolve() for run in runs]
    for run, place in zip(runs, places, strict=True):
        if places.count(place) > 1:
            raise InputError(f"{run} is given twice; name different runs")
    names = _names(reports)
    levels = _differing(reports)
    axes = tuple(
        SweepAxis(axis, tuple(dict.fromkeys(texts))) for axis, texts in levels.items()
    ) or (SweepAxis("run", tuple(names)),)
    members = tuple(
        SweepMember(
            name,
            {axis: texts[i] for axis, texts in levels.items()} or {"run": name},
            "",
            flags=tuple(flag.name for flag in report.flags),
        )
        for i, (name, report) in enumerate(zip(names, reports, strict=True))
    )
    named = dict(zip(names, reports, strict=True))
    numbers = tuple(n for name, report in named.items() for n in sweep_numbers(name, report))
    folders = {n: (run if run.is_dir() else run.parent) for n, run in zip(names, runs, strict=True)}
    return SweepReport("Several runs", axes, members, numbers), named, folders


def _names(reports: Sequence[Report]) -> list[str]:
    """Titles, told apart by the hash of their tables: a folder's name may be a patient's."""
    titles = [plain(report.title) for report in reports]
    found = []
    for i, (title, report) in enumerate(zip(titles, reports, strict=True)):
        name = title
        if titles.count(title) > 1:
            name = f"{title} ({report.table_sha256[:8]})"
        found.append(f"{name}, run {i + 1}" if name in found else name)
    return found


def _differing(reports: Sequence[Report]) -> dict[str, list[str]]:
    """Fields of plan and model in which the runs differ, with the text of each run."""
    flats = [_flat({"model": dict(r.model.source), **_told(r.plan)}) for r in reports]
    every = dict.fromkeys(name for flat in flats for name in flat)
    texts = {name: [flat.get(name, "none") for flat in flats] for name in every}
    return {name: found for name, found in texts.items() if len(set(found)) > 1}


def _told(plan: Mapping[str, Any]) -> dict[str, Any]:
    """A plan without what changes no number."""
    left_out = ("title", "report", "doubts", "gates", "model")
    return {name: value for name, value in plan.items() if name not in left_out}


def _flat(table: Mapping[str, Any], above: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in table.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{above}{name}.")
        elif value is not None:
            found[f"{above}{name}"] = plain(_short(value))
    return found


def _short(value: Any) -> str:
    """A value as text; of `[[attacks]]` and the like the names."""
    if isinstance(value, list | tuple) and value and all(isinstance(v, Mapping) for v in value):
        return ", ".join(str(v.get("label") or v.get("name")) for v in value)
    return text_of_value(value)
