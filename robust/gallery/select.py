"""The gallery: a few cases as pictures, the first to fall and the last to hold, attacked anew."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import Tensor

from attacks import ThreatModel
from robust.cases.case import Case
from robust.engine.run_store import Outcome
from robust.engine.session import Session
from robust.engine.summary import Summary
from robust.gallery.png import Picture, difference, picture, reduced_size, write_pictures
from robust.metrics.scores import margins
from robust.metrics.worst_case import WorstCase
from robust.plan.spec import Plan
from robust.records import Exhibit, ExhibitImage, Report

CASES = 6
FRAMES = 8
"""Eps shown at most, spread evenly over the plan's."""


@dataclass(frozen=True)
class Chosen:
    """A case for the gallery."""

    place: int
    """Within the summary's cases."""
    fell: int | None
    """At which of the eps; None: it held."""


def make_gallery(folder: Path, plan: Plan, job: Session, summary: Summary) -> tuple[Exhibit, ...]:
    """Choose the cases, attack them again as the run did, and write the pictures as PNG to a new
    `folder`.

    Every prediction and distance of an exhibit is that of the picture shown. The cases form other
    batches than in the run, so that at float32 a picture may differ from the run's in rounding.
    """
    count = plan.report.gallery
    if count is None:
        count = CASES if summary.cases.showable else 0
    if (kept := _load_existing(folder, plan)) is not None:
        return kept
    shutil.rmtree(folder, ignore_errors=True)
    every = summary.threats(plan.audit.norm)
    threats = [threat for threat in every if threat.norm == every[0].norm]
    worst = [summary.worst(threat) for threat in threats]
    chosen = choose(worst, summary.labels, count)
    if not chosen:
        return ()
    shown = sorted({round(i) for i in np.linspace(0, len(threats) - 1, min(FRAMES, len(threats)))})
    found = _replay(job, plan, summary, chosen, [worst[i] for i in shown])
    hanger = ExhibitBuilder(job, summary, found)
    exhibits = [
        hanger.hang(number, one, threats, [(threats[i], worst[i]) for i in shown])
        for number, one in enumerate(chosen, 1)
    ]
    side = write_pictures(folder, hanger.pictures)
    return tuple(replace(e, display_size=reduced_size(e.image_size, side)) for e in exhibits)


def choose(worst: Sequence[WorstCase], labels: npt.NDArray[np.int64], count: int) -> list[Chosen]:
    """`count` attacked cases, fewer where there are fewer; `worst` by eps, ascending.

    Half are those that fell first, by the largest margin there; half those that held longest, by
    the smallest.
    """
    end = len(worst)
    last = worst[-1].condition
    success = np.stack([w.condition.success for w in worst])
    fell = np.where(success.any(0), success.argmax(0), end)
    margin = np.stack([margins(w.condition.logits, labels) for w in worst])
    lead = margin[np.minimum(fell, end - 1), np.arange(len(labels))]
    places = np.flatnonzero(last.attacked & ~last.failed).tolist()
    fallen = sorted((p for p in places if fell[p] < end), key=lambda p: (fell[p], -lead[p]))
    first = fallen[: (count + 1) // 2]
    held = sorted(set(places) - set(first), key=lambda p: (-fell[p], lead[p], p))
    both = first + held[: count - len(first)]
    return [Chosen(p, int(fell[p]) if fell[p] < end else None) for p in both]


def _load_existing(folder: Path, plan: Plan) -> tuple[Exhibit, ...] | None:
    """The gallery of an earlier call on the same run, if it is whole and is what the plan wants."""
    try:
        report = Report.load(folder.parent / "report.json")
    except (OSError, ValueError, TypeError, KeyError):
        return None
    names = {e.image for e in report.gallery}
    names |= {name for e in report.gallery for f in e.images for name in (f.image, f.difference)}
    same = report.plan.get("report") == plan.report.model_dump(mode="json")
    whole = all((folder / name).is_file() for name in names - {""})
    return report.gallery if same and whole else None


def _replay(
    job: Session, plan: Plan, summary: Summary, chosen: Sequence[Chosen], worst: Sequence[WorstCase]
) -> dict[tuple[int, int], tuple[Tensor, Outcome]]:
    """(place, cell) to the adversarial image `(c, h, w)` and its verdict."""
    wanted: dict[int, list[int]] = defaultdict(list)
    for one in chosen:
        for cell in {int(w.cell[one.place]) for w in worst} - {-1}:
            wanted[cell].append(one.place)
    found = {}
    for number, (cell, places) in enumerate(sorted(wanted.items())):
        job.runner.progress(number, len(wanted), "gallery")
        by_row = {int(summary.rows[place]): place for place in places}
        for batch in job.runner.load(sorted(by_row), job.goal):
            x_adv, outcomes = job.runner.run(job.cells[cell], batch, job.goal, plan.audit.seed)
            for image, outcome in zip(x_adv, outcomes, strict=True):
                found[by_row[outcome.row], cell] = image.cpu(), outcome
    return found


class ExhibitBuilder:
    """Turns chosen cases into exhibits, and keeps their pictures by file name."""

    def __init__(
        self,
        job: Session,
        summary: Summary,
        found: dict[tuple[int, int], tuple[Tensor, Outcome]],
    ) -> None:
        self.pictures: dict[str, tuple[Picture, bool]] = {}
        self._job = job
        self._summary = summary
        self._found = found

    def hang(
        self,
        number: int,
        one: Chosen,
        threats: Sequence[ThreatModel],
        shown: Sequence[tuple[ThreatModel, WorstCase]],
    ) -> Exhibit:
        """Files are called by number alone: 1-clean.png, 1-eps0.png, 1-eps0-difference.png."""
        case: Case = self._summary.cases[one.place]
        clean = f"{number}-clean.png"
        self.pictures[clean] = picture(case.image), False
        prediction, probability = self._said(self._summary.clean.logits[one.place])
        frames = []
        for i, (threat, worst) in enumerate(shown):
            cell = int(worst.cell[one.place])
            frames.append(self._frame(f"{number}-eps{i}", one.place, cell, case, threat, clean))
        height, width = case.image.shape[1:]
        return Exhibit(
            case=case.id,
            label=self._summary.cases.classes[case.label],
            prediction=prediction,
            probability=probability,
            smallest_success_eps=None if one.fell is None else _finite(threats[one.fell].eps),
            norm=threats[0].norm,
            image_size=(height, width),
            display_size=(height, width),
            image=clean,
            images=tuple(frames),
        )

    def _frame(
        self, name: str, place: int, cell: int, case: Case, threat: ThreatModel, clean: str
    ) -> ExhibitImage:
        eps = _finite(threat.eps)
        if cell < 0:
            said = self._said(self._summary.clean.logits[place])
            return ExhibitImage(eps, "", *said, False, 0.0, 0.0, 0.0, clean, "")
        x_adv, outcome = self._found[place, cell]
        changed, factor = difference(x_adv, case.image)
        self.pictures[f"{name}.png"] = picture(x_adv), False
        if changed is not None:
            self.pictures[f"{name}-difference.png"] = changed, True
        return ExhibitImage(
            eps,
            self._job.cells[cell].label,
            *self._said(outcome.logits),
            success=outcome.success,
            linf=outcome.linf,
            l2=outcome.l2,
            magnification=factor,
            image=f"{name}.png",
            difference="" if changed is None else f"{name}-difference.png",
        )

    def _said(self, logits: npt.NDArray[np.float64]) -> tuple[str, float]:
        """The predicted class and its softmax."""
        top = int(logits.argmax())
        share = 1 / float(np.exp(logits - logits[top]).sum())
        return self._summary.cases.classes[top], share


def _finite(eps: float) -> float | None:
    return eps if np.isfinite(eps) else None
