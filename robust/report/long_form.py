"""The numbers of a report in long form: a row for each estimate, with its condition."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from robust.records import Detection, Estimate, ImageSet, Report, Subgroup
from robust.units import eps_text, norm_text

if TYPE_CHECKING:
    import pandas as pd

LONG_COLUMNS = (
    *("part", "subject", "attack", "norm", "eps", "kind", "fitted_on", "subgroup", "of"),
    *("measure", "value", "low", "high", "cases", "groups"),
)
"""Columns of the table, in order."""
Row = dict[str, Any]


def report_frame(report: Report) -> pd.DataFrame:
    """The table of `report_rows`; numbers are floats, counts are integers that may be missing."""
    import pandas as pd

    table = pd.DataFrame(list(report_rows(report)), columns=list(LONG_COLUMNS))
    table = table.astype(dict.fromkeys(("eps", "value", "low", "high"), "float64"))
    return table.astype(dict.fromkeys(("cases", "groups"), "Int64"))


def report_rows(report: Report) -> Iterator[Row]:
    """A row for each estimate, by the names of `LONG_COLUMNS`.

    `part` is `results`, `certificates`, `corruptions`, `scenarios`, `storage`, `deployed version`,
    `detectors`, `null controls` or `adaptive attacks`. `subject` is the certificate, corruption,
    scenario or detector; `of` is the class, the structure, the severity, the budget or the
    false-alarm rate that the measure is of.
    """
    for row in (report.clean, *report.rows, *report.worst_cases):
        start: Row = {"part": "results", "attack": row.attack, "norm": row.norm, "eps": row.eps}
        start["kind"] = row.kind
        yield from _rows(row.scores, start)
        for part in row.subgroups:
            yield from _rows(part.scores, start | {"subgroup": _subgroup(part)})
    for proof in report.certificates:
        start = {"part": "certificates", "subject": proof.certificate, "norm": proof.norm}
        start["kind"] = proof.function
        yield from _rows(proof, start)
        for point in proof.points:
            yield from _rows(point, start | {"eps": point.eps, "attack": proof.attack})
    if (spoiled := report.corruptions) is not None:
        yield from _rows(spoiled, {"part": "corruptions", "subject": "all"})
        for kind in spoiled.kinds:
            yield from _rows(kind, {"part": "corruptions", "subject": kind.kind})
        for one in spoiled.scores:
            start = {"part": "corruptions", "subject": one.kind, "of": f"severity {one.severity}"}
            yield from _rows(one, start)
    for scenario in report.scenarios:
        start = {"part": "scenarios", "subject": scenario.name, "attack": scenario.attack}
        known = scenario.norm is not None  # else the size is a share or an angle, and no eps
        start |= {"norm": scenario.norm or "", "eps": scenario.size if known else None}
        start["of"] = "" if scenario.budget is None else f"budget {scenario.budget}"
        yield from _rows(scenario, start)
    for saved in report.survival:
        yield from _rows(saved, {"part": "storage", "norm": "Linf", "eps": saved.eps})
    if (twin := report.twin) is not None:
        yield from _rows(twin, {"part": "deployed version", "kind": "clean"})
        for shown in twin.shown:
            start = {"part": "deployed version", "norm": shown.norm, "eps": shown.eps}
            yield from _rows(shown, start | {"kind": "shown images"})
        for direct in twin.attacked:
            start = {"part": "deployed version", "norm": direct.norm, "eps": direct.eps}
            start |= {"attack": direct.attack, "of": f"budget {direct.queries}"}
            yield from _rows(direct, start | {"kind": "attacked"})
    if report.detection is not None:
        yield from _detector_rows(report.detection)


def _detector_rows(detection: Detection) -> Iterator[Row]:
    sets = detection.image_sets

    def fitted(place: int | None) -> str:
        return "" if place is None else _set_name(sets[place])

    for score in detection.detector_scores:
        tested = sets[score.image_set]
        start: Row = {"part": "detectors", "subject": score.detector, "attack": tested.name}
        start |= {"norm": tested.norm, "eps": tested.eps, "kind": tested.kind}
        yield from _rows(score, start | {"fitted_on": fitted(score.fitted_on)})
    for control in detection.null_controls:
        start = {"part": "null controls", "subject": control.detector}
        yield from _rows(control, start | {"fitted_on": fitted(control.fitted_on)})
    for result in detection.adaptive:
        yield from _rows(result, {"part": "adaptive attacks", "subject": result.detector})


def _set_name(images: ImageSet) -> str:
    """`PGD, L∞ 1/255`, as the report names it."""
    return f"{images.name}, {norm_text(images.norm)} {eps_text(images.eps, images.norm)}"


def _subgroup(part: Subgroup) -> str:
    return f"{part.column} = {part.value}"


def _rows(record: Any, start: Row) -> Iterator[Row]:
    """A row for each estimate that a record holds, itself or by name."""
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        if isinstance(value, Estimate):
            yield _row(start, field.name, value)
        elif isinstance(value, Mapping):
            for key, one in value.items():
                inner = start | {"of": str(key)}
                if isinstance(one, Estimate):
                    yield _row(inner, field.name, one)
                elif dataclasses.is_dataclass(one):
                    yield from _rows(one, inner)


def _row(start: Row, measure: str, estimate: Estimate) -> Row:
    texts = dict.fromkeys(LONG_COLUMNS[:9], "") | {"eps": None}
    numbers = {name: getattr(estimate, name) for name in LONG_COLUMNS[10:]}
    return {**texts, **start, "measure": measure, **numbers}
