"""Which points of a text a report answers, with what and how surely, and which not and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from robust.records import Report
from robust.report.crosswalk.concerns import doubts
from robust.report.crosswalk.evidence import EVIDENCE, ShownResult, found
from robust.report.crosswalk.texts import CrosswalkPoint, CrosswalkText
from robust.report.text.format import counted, listed, plain

PointStatus = Literal["evidence", "evidence in part", "not in this run", "outside"]
"""`evidence`: all that the point names is there; `evidence in part`: some of it, or the point asks
for more than a report shows; `not in this run`: another run could show it; `outside`: none can."""

STATUS_WORDS: dict[PointStatus, str] = {
    "evidence": "{} with evidence here",
    "evidence in part": "{} with evidence in part",
    "not in this run": "{} that this run did not look at",
    "outside": "{} outside what this program looks at",
}


@dataclass(frozen=True)
class PointAnswer:
    """What a report says to one point."""

    point: CrosswalkPoint
    status: PointStatus
    shown: tuple[tuple[str, ShownResult], ...]
    """Results, each with the name of its kind of evidence."""
    doubts: tuple[str, ...]
    """Names of the warnings that weaken them."""
    open: tuple[str, ...]
    """What is not answered, and why or how a run would answer it; sentences."""

    @property
    def sections(self) -> tuple[str, ...]:
        """Ids of the sections of the standard template that show these results."""
        named = (EVIDENCE[kind].section for kind, _ in self.shown)
        return tuple(dict.fromkeys(section for section in named if section))


def answers(report: Report, text: CrosswalkText) -> tuple[PointAnswer, ...]:
    """One answer for each point of the text, in its order."""
    return tuple(_answer(report, point) for point in text.points)


def status_sentence(given: Iterable[PointAnswer]) -> str:
    """`Of 14 points, 3 with evidence here, 2 ...`: how many have which status."""
    counts = Counter(one.status for one in given)
    parts = [
        STATUS_WORDS[status].format(counts[status])
        for status in get_args(PointStatus)
        if counts[status]
    ]
    return f"Of {counted(counts.total(), 'point')}: {listed(parts, most=len(parts))}."


def _answer(report: Report, point: CrosswalkPoint) -> PointAnswer:
    there = found(report, (*point.answered_by, *point.also))
    missing = [name for name in point.answered_by if name not in there]
    shown = tuple((name, result) for name, results in there.items() for result in results)
    weak = [flag.name for name in there for flag in doubts(report, EVIDENCE[name].concern)]
    open_ = [point.outside] if point.outside else [_missing(name) for name in missing]
    status = _status(point, missing)
    if point.limit and status != "not in this run":
        open_.append(point.limit)
    return PointAnswer(
        point,
        status,
        shown,
        tuple(plain(name) for name in dict.fromkeys(weak)),
        tuple(open_),
    )


def _status(point: CrosswalkPoint, missing: list[str]) -> PointStatus:
    if point.outside:
        return "outside"
    if len(missing) == len(point.answered_by):
        return "not in this run"
    return "evidence in part" if missing or point.limit else "evidence"


def _missing(name: str) -> str:
    kind = EVIDENCE[name]
    return f"This run has no {kind.name.removeprefix('the ').removeprefix('a ')}: {kind.remedy}."
