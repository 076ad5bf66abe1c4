"""Tables of the page over a sweep: models, detectors, differences, spread, curves, warnings."""

from __future__ import annotations

import collections
import math
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath
from urllib.parse import quote

from robust.records import (
    FLAG_TEXTS,
    Estimate,
    FittedValue,
    LearningCurve,
    Spread,
    SweepMember,
    VarianceComponent,
)
from robust.report.sweeps.content import (
    MOST_COLUMNS,
    NumberKey,
    SweepContent,
    finite_estimate,
    groups_shown,
    number_key,
)
from robust.report.sweeps.differences import JudgedDifference
from robust.report.tables.model import (
    Column,
    Table,
    TableCell,
    TableRow,
    number_cell,
)
from robust.report.text.format import NONE, capital, plain

MEANS = (
    "Each number is the mean over the models of its row. Its interval allows for other draws of "
    "the random axes (Student's t over the models) and for other patients (the mean reach of the "
    "single intervals): the two are added as squares. With two or three models it is wide, as it "
    "has to be. Where a row has one model, the interval is for other patients alone."
)
SINGLE = "Intervals are at 95 %, by group: for other patients, not for another training run."
_MOST_NAMES = 6
"""Members that a cell names."""
_NONE = "[no interval]"


def key_column(key: NumberKey) -> Column:
    """Head of the column of a number."""
    name = plain(key.measure)
    if key.is_percent:
        name += " %"
    if not key.is_clean:
        name += f", {plain(key.condition).removeprefix('worst case, ')}"
    return Column(name, _term(key))


def _term(key: NumberKey) -> str:
    if key.is_detector:
        return "detector"
    if key.measure == "robust accuracy":
        return "robust-accuracy"
    if key.measure == "AUC":
        return "auc"
    return "accuracy" if key.measure == "clean accuracy" else ""


def sweep_cell(estimate: Estimate | None, key: NumberKey) -> TableCell:
    """A number in the units of its measure."""
    shown = None if estimate is None else finite_estimate(estimate)
    return number_cell(shown, "", "", 100 if key.is_percent else 1, 1 if key.is_percent else 3)


def groups_table(content: SweepContent, keys: Sequence[NumberKey], name: str, title: str) -> Table:
    """A row for each combination of fixed levels, with means over what is random."""
    axes = content.fixed if content.averaged else ()
    heads = [Column(plain(axis.name)) for axis in axes] or [Column("model")]
    columns = (*heads, Column("models"), *map(key_column, keys[:MOST_COLUMNS]))
    rows = []
    for group in groups_shown(content.groups):
        if axes:
            cells = [TableCell(plain(group.levels[axis.name])) for axis in axes]
        else:
            cells = [TableCell(group.name)]
        done = len(group.members)
        count = str(done) if done == group.asked else f"{done} of {group.asked}"
        numbers = [sweep_cell(content.mean(group.members, k), k) for k in keys[:MOST_COLUMNS]]
        rows.append(TableRow((*cells, TableCell(count), *numbers)))
    return Table(name, title, columns, tuple(rows), _cut(MEANS, keys))


def members_table(content: SweepContent, keys: Sequence[NumberKey], name: str, title: str) -> Table:
    """A row for each model that is finished."""
    members = content.finished
    trained = any(member.train_images is not None for member in members)
    columns = [Column("model"), *([Column("training images")] if trained else [])]
    columns += [*map(key_column, keys[:MOST_COLUMNS]), Column("warnings")]
    rows = []
    for member in members:
        cells = [member_cell(member)]
        if trained:
            cells.append(TableCell(_count(member.train_images)))
        cells += [sweep_cell(content.number(member, key), key) for key in keys[:MOST_COLUMNS]]
        rows.append(TableRow((*cells, TableCell(str(len(member.flags))))))
    return Table(name, title, tuple(columns), tuple(rows), _cut(SINGLE, keys))


def _cut(note: str, keys: Sequence[NumberKey]) -> str:
    if (more := len(keys) - MOST_COLUMNS) > 0:
        return f"{note} The first {MOST_COLUMNS} columns are shown; sweep.csv has {more} more."
    return note


def member_cell(member: SweepMember) -> TableCell:
    """The name of a model, with a link to its own report where there is one."""
    return TableCell(plain(member.name), link="" if member.why_not else report_link(member.run))


def report_link(run: str) -> str:
    """Relative address of the report of a run; empty for a folder that is not below the sweep's."""
    path = PurePosixPath(run)
    if not run or path.is_absolute() or ".." in path.parts:
        return ""
    # Half a character, from a name that is no UTF-8, has no address.
    return "./" + quote(f"{path}/report.html", errors="replace")


def missing_table(members: Iterable[SweepMember]) -> Table:
    """Models without numbers, with the reason."""
    rows = tuple(
        TableRow((member_cell(member), TableCell(plain(member.why_not or "not finished"))))
        for member in members
    )
    return Table("sweep-missing", "Without numbers", (Column("model"), Column("why")), rows)


def differences_table(judged: Iterable[JudgedDifference], name: str, title: str) -> Table:
    """A row for each paired difference, with what it shows."""
    columns = (
        Column("number"),
        Column("model or level"),
        Column("less"),
        Column("difference", "paired-difference"),
        Column("result"),
        Column("after Holm", "holm"),
    )
    rows = []
    for one in judged:
        record = one.record
        if one.difference is None:
            result = f"{one.result}: {plain(record.why_not)}" if record.why_not else one.result
            cell = TableCell(NONE)
        else:
            result = _with_reason(one)
            cell = _signed(one.difference, one.key)
        after = NONE if not one.tested else "remains" if one.remains else "does not remain"
        if not one.is_shown:
            after = NONE
        texts = (plain(one.key.text), plain(record.other), plain(record.baseline))
        cells = (*map(TableCell, texts), cell, TableCell(plain(result)), TableCell(after))
        rows.append(TableRow(cells))
    return Table(name, title, columns, tuple(rows))


def _with_reason(one: JudgedDifference) -> str:
    if one.result == "no interval" and one.record.why_not:
        return f"no interval: {one.record.why_not}"
    return one.result


def _signed(difference: Estimate, key: NumberKey) -> TableCell:
    scale, digits = (100, 1) if key.is_percent else (1, 3)
    cell = number_cell(difference, "", "", scale, digits)
    # Too few groups are one reason of several: the result says which.
    interval = _NONE if difference.interval is None else cell.interval
    return TableCell(f"{scale * difference.value:+.{digits}f}", interval)


def spread_table(spreads: Iterable[Spread]) -> Table:
    """A row for each source of variance of each number."""
    columns = (
        Column("number"),
        Column("source"),
        Column("levels"),
        Column("share of the variance %", "variance-share"),
        Column("standard deviation", "standard-deviation"),
        Column("why no interval"),
    )
    rows = []
    for spread in spreads:
        key = number_key(spread.measure, spread.condition)
        for place, one in enumerate(spread.components):
            cells = (
                TableCell(key.text),
                TableCell(plain(one.source)),
                TableCell(str(one.levels) if one.levels else NONE),
                TableCell(f"{100 * one.share:.0f}" if math.isfinite(one.share) else NONE),
                deviation_cell(one, key),
                TableCell(plain(one.why_no_interval) or NONE),
            )
            rows.append(TableRow(cells, opens=place == 0))
    return Table("sweep-spread", "Variance by source", columns, tuple(rows))


def deviation_cell(one: VarianceComponent, key: NumberKey) -> TableCell:
    """The square root of a variance, in points of a percentage or in units of the measure."""
    value, ends = spread_deviation(one, key)
    digits = 1 if key.is_percent else 3
    if value is None:
        return TableCell(NONE)
    if ends is None:
        return TableCell(f"{value:.{digits}f}", _NONE)
    return TableCell(f"{value:.{digits}f}", f"[{ends[0]:.{digits}f}, {ends[1]:.{digits}f}]")


def spread_deviation(
    one: VarianceComponent, key: NumberKey
) -> tuple[float | None, tuple[float, float] | None]:
    """Standard deviation and the ends of its interval; None where there is none."""
    scale = 100 if key.is_percent else 1
    if not (math.isfinite(one.variance) and one.variance >= 0):
        return None, None
    value = scale * math.sqrt(one.variance)
    if one.low is None or one.high is None or not (math.isfinite(one.high) and one.low >= 0):
        return value, None
    return value, (scale * math.sqrt(one.low), scale * math.sqrt(one.high))


def points_table(curves: Iterable[LearningCurve]) -> Table:
    """What was measured at each number of training images."""
    columns = (
        Column("number"),
        Column("models with"),
        Column("training images"),
        Column("models"),
        Column("measured"),
    )
    rows = []
    for curve in curves:
        key = number_key(curve.measure, curve.condition)
        for place, point in enumerate(curve.points):
            cells = (
                TableCell(key.text),
                TableCell(plain(curve.series) or "all"),
                TableCell(str(point.images)),
                TableCell(str(point.models)),
                sweep_cell(point.estimate, key),
            )
            rows.append(TableRow(cells, opens=place == 0))
    note = (
        "The mean over the models with so many training images; its interval is for other "
        "training runs, on the same test images."
    )
    return Table("sweep-points", "Measured points", columns, tuple(rows), note)


def fits_table(curves: Iterable[LearningCurve]) -> Table:
    """The constants of each power law, with the warning where the fit does not hold."""
    columns = (
        Column("number"),
        Column("models with"),
        Column("best that more images reach", "learning-curve"),
        Column("exponent c", "learning-curve"),
        Column("can the fit be relied on?", "misfit"),
    )
    rows = []
    for curve in curves:
        key = number_key(curve.measure, curve.condition)
        cells = (
            TableCell(key.text),
            TableCell(plain(curve.series) or "all"),
            _limit_cell(curve.asymptote, key),
            _fitted_cell(curve.exponent),
            TableCell(_verdict(curve)),
        )
        rows.append(TableRow(cells))
    return Table("sweep-fits", "Fitted power laws", columns, tuple(rows))


def _verdict(curve: LearningCurve) -> str:
    """The loud voice before the quiet one."""
    if curve.misfit:
        return f"no: {plain(curve.misfit)}"
    if curve.undecided:
        return f"not decided: {plain(curve.undecided)}"
    return "nothing speaks against it"


def _limit_cell(asymptote: FittedValue | None, key: NumberKey) -> TableCell:
    """What the curve tends to: 1 - a."""
    if asymptote is None or not math.isfinite(asymptote.value):
        return TableCell(NONE)
    scale, digits = (100, 1) if key.is_percent else (1, 3)
    value = f"{scale * (1 - asymptote.value):.{digits}f}"
    if asymptote.low is None or asymptote.high is None:
        return TableCell(value, _NONE)
    low, high = scale * (1 - asymptote.high), scale * (1 - asymptote.low)
    return TableCell(value, f"[{low:.{digits}f}, {high:.{digits}f}]")


def _fitted_cell(value: FittedValue | None) -> TableCell:
    if value is None or not math.isfinite(value.value):
        return TableCell(NONE)
    if value.low is None:
        return TableCell(f"{value.value:.2f}", _NONE)
    high = "no upper end" if value.high is None else f"{value.high:.2f}"
    return TableCell(f"{value.value:.2f}", f"[{value.low:.2f}, {high}]")


def wanted_table(curves: Iterable[LearningCurve]) -> Table:
    """The number of images at which a wanted accuracy is to be expected."""
    columns = (
        Column("number"),
        Column("models with"),
        Column("wanted"),
        Column("training images", "wanted-images"),
        Column("remarks"),
    )
    rows = []
    for curve in curves:
        key = number_key(curve.measure, curve.condition)
        for one in curve.wanted:
            remarks = [text for text in (one.why_not, curve.misfit, curve.undecided) if text]
            wanted = f"{100 * one.value:g} %" if key.is_percent else f"{one.value:g}"
            cells = (
                TableCell(key.text),
                TableCell(plain(curve.series) or "all"),
                TableCell(wanted),
                images_cell(one.images, one.low, one.high),
                TableCell(plain("; ".join(dict.fromkeys(remarks))) or NONE),
            )
            rows.append(TableRow(cells))
    return Table("sweep-wanted", "Images needed", columns, tuple(rows))


def images_cell(images: float | None, low: float | None, high: float | None) -> TableCell:
    """A number of images with its interval, which may have no upper end."""
    if images is None or not math.isfinite(images):
        return TableCell(NONE)
    if low is None:
        return TableCell(rounded_count(images), _NONE)
    upper = "no upper end" if high is None else rounded_count(high)
    return TableCell(rounded_count(images), f"[{rounded_count(low)}, {upper}]")


def rounded_count(value: float) -> str:
    """A number of images with three significant digits: `1,230`."""
    if not math.isfinite(value):
        return NONE
    if abs(value) < 100:
        return f"{math.ceil(value)}"
    if abs(value) >= 1e9:
        return "more than 1,000,000,000"
    digits = 2 - math.floor(math.log10(abs(value)))
    return f"{round(value, digits):,.0f}"


def sweep_warnings_table(members: Sequence[SweepMember]) -> Table:
    """Every warning of the members' reports: how many have it, which, and what it means."""
    counts = collections.Counter(name for member in members for name in {*member.flags})
    order = dict.fromkeys(name for member in members for name in member.flags)
    rows = []
    for name in sorted(order, key=lambda name: -counts[name]):
        text = FLAG_TEXTS.get(name)
        whom = _whom(name, members)
        voids = f"{text.void_text}".replace("`", "") if text and text.voids else NONE
        cells = (
            TableCell(plain(name)),
            TableCell(whom),
            TableCell(capital(text.why) if text else NONE),
            TableCell(capital(voids)),
            TableCell(capital(text.remedy).replace("`", "") if text else NONE),
        )
        rows.append(TableRow(cells))
    columns = (
        Column("warning"),
        Column("models"),
        Column("why it matters"),
        Column("what it withholds"),
        Column("what to do"),
    )
    return Table("sweep-warnings", "Warnings by model", columns, tuple(rows))


def _whom(flag: str, members: Sequence[SweepMember]) -> str:
    """`all`, `9: all with architecture resnet18`, or how many and which."""
    having = [member for member in members if flag in member.flags]
    if len(having) == len(members):
        return f"all {len(members)}" if len(members) > 1 else plain(members[0].name)
    for axis, level in having[0].levels.items():
        if [one for one in members if one.levels.get(axis) == level] == having:
            return f"{len(having)}: all with {plain(axis)} {plain(level)}"
    # Names of models have commas in them.
    shown = "; ".join(plain(member.name) for member in having[:_MOST_NAMES])
    more = len(having) - _MOST_NAMES
    return f"{len(having)}: {shown}{f'; and {more} more' if more > 0 else ''}"


def _count(number: int | None) -> str:
    return NONE if number is None else str(number)
