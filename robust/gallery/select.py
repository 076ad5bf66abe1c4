"""Example images of a run: missed findings, first cases to fall and last, attacked again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from robust.engine.session import Session
from robust.engine.summary import Summary
from robust.gallery.exhibit import Chosen, ExhibitBuilder
from robust.gallery.png import (
    reduced_size,
    remove_pictures,
    write_pictures,
)
from robust.gallery.replay import clean_outlines, replay
from robust.metrics.arrays import Array
from robust.metrics.worst_case import WorstCase
from robust.plan.spec import ReportSpec
from robust.records import Exhibit, Report

CASES = 6
MAX_EPS = 8
"""Most eps shown of a case, spread evenly over the plan's."""


def make_gallery(folder: Path, session: Session, summary: Summary) -> tuple[Exhibit, ...]:
    """Choose cases, attack them again as the run did, and write the images to a new `folder`.

    Every prediction and distance of an exhibit is that of the image shown. The cases form other
    batches than in the run, so that at float32 an image may differ from the run's in rounding.
    """
    plan = session.provenance.plan
    if (existing := load_existing(folder, plan.report)) is not None:
        return existing
    remove_pictures(folder)
    count = plan.report.gallery
    if count is None:
        # An example is attacked again: of a black box only where the plan asks for it.
        wanted = summary.cases.showable and not session.classifier.origin.is_black_box
        count = CASES if wanted else 0
    every = summary.threats(plan.audit.norm)
    threats = [threat for threat in every if threat.norm == every[0].norm]
    worst = [summary.worst(threat) for threat in threats]
    chosen = choose_cases(worst, summary.labels, summary.cases.findings, count, summary.damage)
    if not chosen:
        return ()
    shown = shown_eps(len(threats), [one.first_success for one in chosen])
    rows = {one.place: int(summary.rows[one.place]) for one in chosen}
    again = {(row, int(worst[i].cell[place])) for place, row in rows.items() for i in shown}
    builder = ExhibitBuilder(
        cells=session.cells,
        summary=summary,
        threats=threats,
        shown=[(threats[i], worst[i]) for i in shown],
        replayed=replay(
            session, plan.audit.seed, sorted((row, cell) for row, cell in again if cell >= 0)
        ),
        clean=clean_outlines(session, list(rows.values())),
    )
    exhibits = [builder.build(number, one) for number, one in enumerate(chosen, 1)]
    side = write_pictures(folder, builder.pictures)
    return tuple(replace(e, display_size=reduced_size(e.image_size, side)) for e in exhibits)


def choose_cases(
    worst: Sequence[WorstCase],
    labels: npt.NDArray[np.int64],
    findings: Sequence[int],
    count: int,
    damage: Callable[[Array], Array],
) -> list[Chosen]:
    """`count` attacked cases, fewer where there are fewer; `worst` by eps, ascending.

    Half are fooled: one at the smallest eps at which any is, then missed findings before others,
    each from the smallest eps and the largest margin. The rest are robust up to the largest eps,
    those with the smallest margin first. Missed findings come first, then all others that are
    fooled.
    """
    end = len(worst)
    last = worst[-1].condition
    success = np.stack([w.condition.success for w in worst])
    fell = np.where(success.any(0), success.argmax(0), end)
    outputs = np.stack([w.condition.kept for w in worst])
    margin = np.stack([damage(kept) for kept in outputs])
    at, every = np.minimum(fell, end - 1), np.arange(len(labels))
    lead = margin[at, every]
    read = outputs[at, every].argmax(1)
    missed = np.isin(labels, findings) & ~np.isin(read, findings) & (fell < end)

    def by_gravity(place: int) -> tuple[bool, int, float]:
        return not missed[place], int(fell[place]), -lead[place]

    places = np.flatnonzero(last.attacked & ~last.failed).tolist()
    fallen = sorted((p for p in places if fell[p] < end), key=by_gravity)
    earliest = min(fallen, key=lambda p: fell[p], default=None)
    fallen.sort(key=lambda p: p != earliest)
    first = fallen[: (count + 1) // 2]
    held = sorted(set(places) - set(first), key=lambda p: (-fell[p], lead[p], p))
    both = [*first, *held[: count - len(first)]]
    both = [*sorted((p for p in both if fell[p] < end), key=by_gravity), *both]
    return [Chosen(p, int(fell[p]) if fell[p] < end else None) for p in dict.fromkeys(both)]


def shown_eps(count: int, first_successes: Sequence[int | None]) -> list[int]:
    """Indices of at most `MAX_EPS` of `count` eps, with that of the first success among them."""
    spread = np.linspace(0, count - 1, min(MAX_EPS, count))
    shown = {round(i) for i in spread}
    first = min((i for i in first_successes if i is not None), default=None)
    if first is not None and first not in shown:
        shown.remove(min(shown - {0, count - 1}, key=lambda i: abs(i - first)))
        shown.add(first)
    return sorted(shown)


def load_existing(folder: Path, spec: ReportSpec) -> tuple[Exhibit, ...] | None:
    """The gallery of an earlier call on the same run, if it is complete and fits the plan."""
    try:
        report = Report.load(folder.parent / "report.json")
    except (OSError, ValueError, TypeError, KeyError):
        return None
    names = {e.image for e in report.gallery}
    frames = [frame for e in report.gallery for frame in e.images]
    names |= {name for f in frames for name in (f.image, f.difference, f.outlined)}
    same = (report.plan.get("report") or {}).get("gallery") == spec.gallery
    whole = all((folder / name).is_file() for name in names - {""})
    return report.gallery if same and whole else None
