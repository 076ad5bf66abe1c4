"""What sets the members of a sweep apart: paired differences, spread by source, learning curves."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from robust.errors import InputError, did_you_mean
from robust.metrics.learning_curve import fit_learning_curve
from robust.metrics.variance_components import variance_components
from robust.records import Report
from robust.records.sweep import SweepNumber, SweepReport
from robust.records.sweep_statistics import LearningCurve, Spread
from robust.report.text.format import plain
from robust.sweeps.case_scores import CaseScores, case_scores
from robust.sweeps.collect import CORRUPTED_ERROR
from robust.sweeps.differences import level_differences, member_differences
from robust.sweeps.spec import TRAIN_FRACTION

FALLING = (CORRUPTED_ERROR,)
"""Measures of which less is better: the law is one of measures that rise."""


@dataclass(frozen=True)
class Analysis:
    """What an analysis starts from."""

    sweep: SweepReport
    """With its numbers."""
    reports: Mapping[str, Report]
    """Of finished members, by name."""
    runs: Mapping[str, Path]
    """Folder of each member's run."""
    wanted: Mapping[str, float] = field(default_factory=dict)
    """By measure the value that is to be reached with enough training images."""


def analyse(one: Analysis) -> SweepReport:
    """The sweep with differences, spread and learning curves."""
    sweep = one.sweep
    notes = list(sweep.notes)
    scores: dict[str, CaseScores] = {}
    for name, report in one.reports.items():
        try:
            scores[name] = case_scores(one.runs[name], report)
        except InputError as error:
            notes.append(f"{name} has no paired differences: {error}")
    differences = (
        *level_differences(sweep.axes, sweep.members, scores),
        *member_differences(sweep.members, scores),
    )
    spread = tuple(_spread(sweep))
    curves = tuple(_curves(sweep, one.wanted))
    drawn = dict.fromkeys(curve.measure for curve in curves)
    for measure in one.wanted:
        if drawn and measure not in drawn:
            notes.append(
                f"no learning curve is of {plain(measure)}; {did_you_mean(measure, drawn)}"
            )
    return dataclasses.replace(
        sweep, differences=differences, spread=spread, curves=curves, notes=tuple(notes)
    )


def _curves(sweep: SweepReport, wanted: Mapping[str, float]) -> Iterator[LearningCurve]:
    """Each number against the number of training images, for each level of the other axes."""
    if TRAIN_FRACTION not in [axis.name for axis in sweep.axes]:
        return
    fixed = [axis.name for axis in sweep.axes if axis.kind == "fixed"]
    others = [name for name in fixed if name != TRAIN_FRACTION]
    members = {member.name: member for member in sweep.members}
    for (measure, condition), found in numbers_by_key(sweep).items():
        if measure in FALLING:
            continue
        by_series: dict[str, list[tuple[int, float]]] = defaultdict(list)
        for number in found:
            member = members[number.member]
            series = ", ".join(f"{name} {member.levels[name]}" for name in others)
            if member.train_images:
                by_series[series].append((member.train_images, number.estimate.value))
        for series, points in by_series.items():
            images, values = zip(*points, strict=True)
            asked = (wanted[measure],) if measure in wanted else ()
            yield fit_learning_curve(
                images, values, wanted=asked, measure=measure, condition=condition, series=series
            )


def _spread(sweep: SweepReport) -> Iterator[Spread]:
    """Components of variance of each number that members share, over the random axes."""
    random = [axis.name for axis in sweep.axes if axis.kind == "random" and len(axis.levels) > 1]
    if not random:
        return
    levels = {member.name: member.levels for member in sweep.members}
    for (measure, condition), found in numbers_by_key(sweep).items():
        own = [levels[number.member] for number in found]
        values = [number.estimate.value for number in found]
        if len(values) < 2:
            continue
        axes = {axis.name: [one[axis.name] for one in own] for axis in sweep.axes}
        components, method, notes = variance_components(
            values,
            {name: texts for name, texts in axes.items() if name not in random},
            {name: axes[name] for name in random},
        )
        yield Spread(measure, condition, components, method, notes)


def numbers_by_key(sweep: SweepReport) -> dict[tuple[str, str], list[SweepNumber]]:
    """The numbers of all members by measure and condition."""
    found: dict[tuple[str, str], list[SweepNumber]] = defaultdict(list)
    for number in sweep.numbers:
        found[number.measure, number.condition].append(number)
    return found
