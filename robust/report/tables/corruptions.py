"""Tables of corruptions: errors by kind and severity, by kind, and beside attacks of one size."""

from __future__ import annotations

from robust.records import CorruptedScores, CorruptionKind, CorruptionResult, Report
from robust.report.tables.model import (
    Column,
    Table,
    TableCell,
    TableRow,
    number_cell,
    percent_cell,
)
from robust.report.text.format import NONE, plain
from robust.report.text.words import words

FAMILIES = {"colour": "colour", "task": "specific to the modality"}
"""What a family is called, where its name does not say it."""
NOTE = "In brackets: 95 % intervals, by group. The {error}, in percent: {means}."
SIZES_NOTE = (
    "Median distances between the corrupted and the clean image, in units of [0, 1]. Attacked: the "
    "same error if each case shows, in place of the corrupted image, the most damaging image that "
    "an attack found no farther in L2."
)
RATIO_NOTE = (
    " BE: the mean error in units of that of the reference. rBE: the mean increase over the clean "
    "error in units of that of the reference. Below 1 the model does better."
)


def severity_table(report: Report) -> Table:
    """The error of each kind at each severity, shaded: a row for each kind."""
    result, said = report.corruptions, words(report)
    title = f"{said.error[0].upper()}{said.error[1:]} by kind and severity"
    if result is None:
        return Table("heat-corruptions", title, (), ())
    severities = sorted({one.severity for one in result.scores})
    columns = (
        Column("corruption", "corruption"),
        *(Column(f"severity {severity}") for severity in severities),
    )
    places = {(one.kind, one.severity): i for i, one in enumerate(result.scores)}
    rows = tuple(
        TableRow(
            (
                TableCell(plain(kind.kind)),
                *(_heated(result, places.get((kind.kind, severity))) for severity in severities),
            ),
            opens=i > 0 and kind.family != result.kinds[i - 1].family,
        )
        for i, kind in enumerate(result.kinds)
    )
    note = NOTE.format(error=said.error, means=said.error_means)
    return Table("heat-corruptions", title, columns, rows, note)


def kind_table(report: Report) -> Table:
    """Each kind over its severities: mean error, BE, rBE, and who defines it."""
    result, said = report.corruptions, words(report)
    kinds = () if result is None else result.kinds
    columns = [Column("corruption", "corruption"), Column("family")]
    columns.append(Column(f"{said.error}, mean %", said.error_term))
    relative = any(kind.be is not None or kind.rbe is not None for kind in kinds)
    if relative:
        columns += [Column("BE", "be"), Column("rBE", "rbe")]
    columns.append(Column("defined by"))
    rows = [_kind(kind, f"/corruptions/kinds/{i}", relative) for i, kind in enumerate(kinds)]
    if result is not None and rows:
        rows.append(_whole(result, relative))
    note = NOTE.format(error=said.error, means=said.error_means)
    note += RATIO_NOTE if relative else ""
    notes = {plain(kind.note): plain(kind.kind) for kind in kinds if kind.note}
    note += "".join(f" {listed_kinds(kinds, text)}: {text}." for text in dict.fromkeys(notes))
    return Table("corruptions", "Corruptions", tuple(columns), tuple(rows), note)


def listed_kinds(kinds: tuple[CorruptionKind, ...], note: str) -> str:
    """The kinds that a note is about."""
    return ", ".join(plain(kind.kind) for kind in kinds if plain(kind.note) == note)


def corruption_size_table(report: Report) -> Table:
    """Every kind at every severity: its size, its error, and that of attacks of the same size."""
    result, said = report.corruptions, words(report)
    scores = () if result is None else result.scores
    reference = any(one.reference is not None for one in scores)
    columns = [
        Column("corruption", "corruption"),
        Column("severity"),
        Column(f"{said.error} %", said.error_term),
        Column("attacked, same size %"),
        Column("L2", "distance"),
        Column("L∞", "distance"),
        *([Column("reference %")] if reference else []),
    ]
    rows, before = [], ""
    for i, one in enumerate(scores):
        rows.append(_size(one, f"/corruptions/scores/{i}", reference, opens=one.kind != before))
        before = one.kind
    title = "Corruptions beside attacks of the same size"
    return Table("corruption-sizes", title, tuple(columns), tuple(rows), SIZES_NOTE)


def _heated(result: CorruptionResult, place: int | None) -> TableCell:
    if place is None:
        return TableCell(NONE)
    error = result.scores[place].error
    cell = percent_cell(error, f"/corruptions/scores/{place}/error")
    # Orange where the error is above that without corruption, blue where it is below.
    rise = min(1.0, max(-1.0, error.value - result.clean.value))
    return TableCell(
        cell.text, cell.interval, cell.path, heat=-rise, groups_needed=cell.groups_needed
    )


def _kind(kind: CorruptionKind, path: str, relative: bool) -> TableRow:
    ratios = (_ratio(kind.be), _ratio(kind.rbe)) if relative else ()
    return TableRow(
        (
            TableCell(plain(kind.kind)),
            TableCell(FAMILIES.get(kind.family, plain(kind.family))),
            percent_cell(kind.error, f"{path}/error"),
            *ratios,
            TableCell(plain(kind.definition)),
        )
    )


def _whole(result: CorruptionResult, relative: bool) -> TableRow:
    ratios = (_ratio(result.be), _ratio(result.rbe)) if relative else ()
    return TableRow(
        (
            TableCell("all"),
            TableCell(NONE),
            percent_cell(result.mean, "/corruptions/mean"),
            *ratios,
            TableCell(NONE),
        ),
        strong=True,
        opens=True,
    )


def _ratio(value: float | None) -> TableCell:
    return TableCell(NONE if value is None else f"{value:.3f}")


def _size(one: CorruptedScores, path: str, reference: bool, opens: bool) -> TableRow:
    cells = [
        TableCell(plain(one.kind)),
        TableCell(str(one.severity), path=f"{path}/severity"),
        percent_cell(one.error, f"{path}/error"),
        percent_cell(one.attacked, f"{path}/attacked"),
        number_cell(one.median_l2, f"{path}/median_l2", digits=2),
        number_cell(one.median_linf, f"{path}/median_linf"),
    ]
    if reference:
        cells.append(percent_cell(one.reference, f"{path}/reference"))
    return TableRow(tuple(cells), opens=opens)
