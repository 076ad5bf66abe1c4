"""Changes of certified accuracy and of corrupted accuracy, from the tables case by case."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from robust.metrics.arrays import Array, Mask
from robust.metrics.balanced_error import balanced_error
from robust.metrics.by_group import ByGroup
from robust.metrics.paired import Paired, balanced_difference
from robust.records import Estimate, Report
from robust.report.comparison.outcomes import plain_cell, verified_table
from robust.report.text.format import listed, plain
from robust.units import printed_threat, same_eps

CERTIFICATES, CORRUPTIONS = "certificates.csv", "corruptions.csv"
_TEXTS = ("case", "group", "label", "certificate", "prediction", "kind")
"""Columns in which a spreadsheet's formula is guarded against."""
ROUNDED = 1e-8
"""Share of a radius that nine digits may lose."""


@dataclass(frozen=True)
class CaseChange:
    """A number in both runs on the cases that both tables have, and NEW - OLD."""

    score: str
    condition: str
    old: Estimate
    new: Estimate
    difference: Estimate
    equal: bool
    attacked: bool
    """Whether warnings on attacks void it."""


def case_changes(
    folders: tuple[Path, Path], reports: tuple[Report, Report]
) -> tuple[list[CaseChange], list[str]]:
    """What certificates and corruptions of both runs say, and notes on what is left out.

    InputError where a table is not that of its report.
    """
    notes: list[str] = []
    found = [*_certified(folders, reports, notes), *_corrupted(folders, reports, notes)]
    return found, notes


def _certified(
    folders: tuple[Path, Path], reports: tuple[Report, Report], notes: list[str]
) -> Iterator[CaseChange]:
    old, new = reports
    named = {one.certificate: one for one in new.certificates}
    pairs = [(one, named[one.certificate]) for one in old.certificates if one.certificate in named]
    alike = [(a, b) for a, b in pairs if a.text == b.text]
    _note(notes, "certificates", [a.certificate for a, b in pairs if a.text != b.text])
    if not alike:
        return
    tables = [
        _table(folder, CERTIFICATES, report.certificate_table_sha256)
        for folder, report in zip(folders, reports, strict=True)
    ]
    for before, after in alike:
        sides = [table[table["certificate"] == before.certificate] for table in tables]
        a, b = _shared(sides)
        if not len(a):
            continue
        single, paired = ByGroup(tuple(a["group"])), Paired(tuple(a["group"]))
        every = np.ones(len(a), bool)
        for point in before.points:
            if not any(same_eps(point.eps, other.eps) for other in after.points):
                continue
            values = [_is_proven(side, point.eps) for side in (a, b)]
            rates = [single.rate(value, every) for value in values]
            difference = paired.difference((values[0], every), (values[1], every))
            assert rates[0] and rates[1] and difference  # there are cases
            size = printed_threat(before.norm, point.eps)
            yield CaseChange(
                "certified accuracy",
                f"{plain(before.certificate)}, {size}",
                rates[0],
                rates[1],
                difference,
                bool((values[0] == values[1]).all()),
                True,
            )


def _is_proven(side: pd.DataFrame, eps: float) -> Mask:
    """Which cases are read correctly and proven to stay so."""
    right = (side["prediction"] == side["label"]) & (side["failure"] == "")
    proven: Mask = (right & (side["radius"] >= eps * (1 - ROUNDED))).to_numpy(bool)
    return proven


def _corrupted(
    folders: tuple[Path, Path], reports: tuple[Report, Report], notes: list[str]
) -> Iterator[CaseChange]:
    results = [report.corruptions for report in reports]
    if results[0] is None or results[1] is None:
        return
    first, second = ({kind.kind: kind for kind in one.kinds} for one in results if one)
    alike = [name for name in first if name in second]
    other = [n for n in alike if first[n].definition != second[n].definition]
    _note(notes, "corruptions", other)
    shared = [name for name in alike if name not in other]
    tables = [
        _table(folder, CORRUPTIONS, report.corruption_table_sha256)
        for folder, report in zip(folders, reports, strict=True)
    ]
    each: list[tuple[Array, Array]] = []
    cases: pd.DataFrame | None = None
    outlines = reports[0].task.is_segmentation
    for name in shared:
        wide = [_errors(table[table["kind"] == name]) for table in tables]
        severities = wide[0].columns.intersection(wide[1].columns)
        common = wide[0].index.intersection(wide[1].index, sort=False)
        if not len(severities) or not len(common):
            continue
        values = [one.loc[common, severities].to_numpy(np.float64).mean(1) for one in wide]
        cases = tables[0].drop_duplicates("case").set_index("case").loc[common]
        each.append((values[0], values[1]))
        yield _corrupted_change(f"{plain(name)}", cases, values, outlines=outlines)
    if cases is not None and len(each) > 1:
        means = [np.mean([pair[side] for pair in each], axis=0) for side in (0, 1)]
        yield _corrupted_change("all corruptions", cases, means, outlines=outlines)


def _errors(table: pd.DataFrame) -> pd.DataFrame:
    """The error of each case by severity."""
    return table.pivot(index="case", columns="severity", values="error")


def _corrupted_change(
    condition: str, cases: pd.DataFrame, errors: list[Array], *, outlines: bool
) -> CaseChange:
    """1 less the error, so that more is better."""
    groups = tuple(cases["group"])
    kept = [1 - one for one in errors]
    every = np.ones(len(cases), bool)
    single = ByGroup(groups)
    estimates: list[Estimate]
    if outlines:
        found = [single.mean(one, every) for one in kept]
        estimates = [one for one in found if one]
        difference = Paired(groups).difference((kept[0], every), (kept[1], every))
    else:
        labels = np.unique(cases["label"], return_inverse=True)[1].astype(np.int64)
        estimates = [balanced_error(single, one, labels).complement for one in errors]
        difference = balanced_difference(groups, labels, kept[0], kept[1])
    assert difference is not None  # there are cases
    equal = bool(np.allclose(kept[0], kept[1], rtol=0, atol=1e-9))
    name = "mean Dice, in %" if outlines else "balanced accuracy"
    old, new = estimates
    return CaseChange(name, condition, old, new, difference, equal, attacked=False)


def _shared(sides: list[pd.DataFrame]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The cases that both have, in the order of OLD."""
    old, new = (side.set_index("case") for side in sides)
    common = old.index.intersection(new.index, sort=False)
    return old.loc[common], new.loc[common]


def _table(folder: Path, name: str, sha256: str) -> pd.DataFrame:
    verified_table(folder, name, sha256)
    table = pd.read_csv(folder / name, dtype=str, keep_default_na=False, encoding="utf-8")
    for column in table.columns.intersection(["radius", "error", "severity"]):
        table[column] = pd.to_numeric(table[column])
    read: Callable[[str], str] = plain_cell
    for column in table.columns.intersection(list(_TEXTS)):
        table[column] = table[column].map(read)
    return table


def _note(notes: list[str], what: str, names: list[str]) -> None:
    if names:
        shown = listed([plain(name) for name in names], 6)
        notes.append(f"{what} {shown}: defined otherwise in the two runs, so left out")
