"""Scores of a member case by case, so that members are compared on the same cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from robust.errors import InputError
from robust.metrics.arrays import Array, Mask, Places
from robust.metrics.outlines.scorer import OutlineStandard
from robust.metrics.scores import Condition
from robust.records import Report
from robust.report.comparison.judges import ClassJudge, Judge, OutlineJudge
from robust.report.comparison.outcomes import Outcomes, read_table, readable, select_cases
from robust.report.text.format import condition
from robust.sweeps.collect import (
    CLEAN_ACCURACY,
    DICE,
    ROBUST_ACCURACY,
    SENSITIVITY,
    SPECIFICITY,
    UNDER_ATTACK,
)

Key = tuple[str, str]
"""Measure and condition."""
_CLEAN_NAMES = {
    "accuracy": CLEAN_ACCURACY,
    "outlined well": CLEAN_ACCURACY,
    "sensitivity": SENSITIVITY,
    "specificity": SPECIFICITY,
    "mean Dice, in %": DICE,
}
_ATTACKED_NAMES = {
    "robust accuracy": ROBUST_ACCURACY,
    "still outlined well": ROBUST_ACCURACY,
    "accuracy": UNDER_ATTACK,
    "outlined well": UNDER_ATTACK,
    "mean Dice, in %": DICE,
}


@dataclass(frozen=True)
class CaseScores:
    """One member's readable cases, in the order of their names."""

    cases: tuple[str, ...]
    groups: tuple[str, ...]
    labels: tuple[str, ...]
    classes: tuple[str, ...]
    setting: tuple[object, ...]
    """Task, goal and target: what a number counts."""
    values: Mapping[Key, tuple[Array, Mask]]
    """By measure and condition the values `(n,)` in [0, 1] and the cases that count."""
    attacks: Mapping[str, str]
    """By condition the attacks behind it, with all their parameters; nothing for `clean`."""


def case_scores(run: Path, report: Report) -> CaseScores:
    """The scores of a finished run from its outcomes.csv; InputError where it is not the run's."""
    table = read_table(run, report)
    usable = readable(table).sort_values("case")
    cases = tuple(usable["case"])
    outcomes = select_cases(table, report, cases)
    judge = _judge(report, outcomes)
    values: dict[Key, tuple[Array, Mask]] = {}
    attacks: dict[str, str] = {}
    _add(values, "clean", outcomes.clean, judge, _CLEAN_NAMES)
    for row in (*report.worst_cases, *report.rows):
        where = condition(row)
        if row in report.worst_cases:
            found = outcomes.worst(row.norm, row.eps, outcomes.cells, judge)
            own = sorted({cell[0] for cell in outcomes.cells if cell[1] == row.norm})
        else:
            name = row.same_as or row.attack
            found, own = outcomes.at((name, row.norm, row.eps)), [name]
        attacks[where] = "; ".join(report.attacks.get(name, name) for name in own)
        _add(values, where, found, judge, _ATTACKED_NAMES)
    audit = report.plan["audit"]
    return CaseScores(
        cases,
        tuple(outcomes.groups),
        tuple(usable["label"]),
        tuple(report.data.classes),
        (report.task, audit.get("goal"), audit.get("target")),
        values,
        attacks,
    )


def _judge(report: Report, outcomes: Outcomes) -> Judge:
    if report.task.is_segmentation:
        standard, kept = OutlineStandard(report.task.dice, report.task.drop), outcomes.clean.kept
        return OutlineJudge(report.task.structures, standard, (kept, kept))
    names = list(report.data.classes)
    places: Places = np.array([names.index(name) for name in report.data.findings], dtype=np.int64)
    return ClassJudge(outcomes.labels, places)


def _add(
    values: dict[Key, tuple[Array, Mask]],
    where: str,
    condition: Condition,
    judge: Judge,
    names: Mapping[str, str],
) -> None:
    for score in judge.scores((condition, condition)):
        if score.name in names and score.masks[0].any():
            own = np.asarray(score.values[0], np.float64), np.asarray(score.masks[0], bool)
            values[names[score.name], where] = own


def why_not_comparable(one: CaseScores, other: CaseScores) -> str:
    """Why two members have no case that means the same in both; empty where they have."""
    if one.classes != other.classes:
        return "other classes"
    if one.setting != other.setting:
        return "another task, goal or target"
    places = {case: i for i, case in enumerate(other.cases)}
    shared = [(i, places[case]) for i, case in enumerate(one.cases) if case in places]
    if not shared:
        return "no case in common"
    if any(one.labels[i] != other.labels[j] for i, j in shared):
        return "the same cases have other labels"
    pairs = {(one.groups[i], other.groups[j]) for i, j in shared}
    if not len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs}):
        return "the same cases are grouped otherwise"
    return ""


@dataclass(frozen=True)
class Stack:
    """Cases of several pairs of members below one another; images of a group stay one group."""

    groups: tuple[str, ...]
    first: tuple[Array, Mask]
    second: tuple[Array, Mask]


def stacked(pairs: Sequence[tuple[CaseScores, CaseScores]], key: Key) -> Stack:
    """The cases that both of each pair have; InputError where a pair cannot be compared."""
    groups: list[str] = []
    sides: list[list[Array]] = [[], [], [], []]
    for one, other in pairs:
        wrong = why_not_comparable(one, other)
        if not wrong and (key not in one.values or key not in other.values):
            wrong = "only one of them has this number"
        if not wrong and one.attacks.get(key[1]) != other.attacks.get(key[1]):
            wrong = "the attacks have other parameters"
        if wrong:
            raise InputError(wrong)
        places = {case: i for i, case in enumerate(other.cases)}
        mine = [i for i, case in enumerate(one.cases) if case in places]
        theirs = [places[one.cases[i]] for i in mine]
        groups += [one.groups[i] for i in mine]
        for side, scores, rows in ((0, one, mine), (2, other, theirs)):
            values, mask = scores.values[key]
            sides[side].append(values[rows])
            sides[side + 1].append(mask[rows].astype(np.float64))
    a, in_a, b, in_b = (np.concatenate(side) for side in sides)
    return Stack(tuple(groups), (a, in_a.astype(bool)), (b, in_b.astype(bool)))
