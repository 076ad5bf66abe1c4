"""Example images of a run: missed findings, first cases to fall and last, attacked again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import Tensor

from attacks import ThreatModel
from robust.cases.case import Case
from robust.engine.cells import Cell
from robust.engine.run_store import Outcome
from robust.engine.session import Session
from robust.engine.summary import Summary
from robust.gallery.png import (
    Picture,
    difference,
    picture,
    reduced_size,
    remove_pictures,
    write_pictures,
)
from robust.gallery.visibility import psnr, ssim
from robust.metrics.arrays import Array
from robust.metrics.worst_case import WorstCase
from robust.plan.spec import ReportSpec
from robust.records import Exhibit, ExhibitImage, Report

CASES = 6
MAX_EPS = 8
"""Most eps shown of a case, spread evenly over the plan's."""

Replayed = Mapping[tuple[int, int], tuple[Tensor, Outcome]]
"""Adversarial image and outcome, by the index of the case and the index of the cell."""


@dataclass(frozen=True)
class Chosen:
    """A case for the gallery."""

    place: int
    """Index into the summary's cases."""
    first_success: int | None
    """Index of the smallest eps at which it was fooled; None: at none."""


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
    builder = ExhibitBuilder(
        cells=session.cells,
        summary=summary,
        threats=threats,
        shown=[(threats[i], worst[i]) for i in shown],
        replayed=_replay(session, plan.audit.seed, summary, chosen, [worst[i] for i in shown]),
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
    names |= {name for e in report.gallery for f in e.images for name in (f.image, f.difference)}
    same = (report.plan.get("report") or {}).get("gallery") == spec.gallery
    whole = all((folder / name).is_file() for name in names - {""})
    return report.gallery if same and whole else None


def _replay(
    session: Session,
    seed: int,
    summary: Summary,
    chosen: Sequence[Chosen],
    worst: Sequence[WorstCase],
) -> Replayed:
    wanted: dict[int, list[int]] = defaultdict(list)
    for one in chosen:
        for cell in {int(w.cell[one.place]) for w in worst} - {-1}:
            wanted[cell].append(one.place)
    found = {}
    runner = session.runner
    for number, (cell, places) in enumerate(sorted(wanted.items())):
        session.progress(number, len(wanted), "example images")
        by_row = {int(summary.rows[place]): place for place in places}
        for batch in runner.load(sorted(by_row)):
            x_adv, outcomes = runner.run(session.cells[cell], batch, seed)
            for image, outcome in zip(x_adv, outcomes, strict=True):
                found[by_row[outcome.row], cell] = image.cpu(), outcome
    return found


@dataclass(frozen=True)
class ExhibitBuilder:
    """Makes exhibits of chosen cases, and keeps their pictures by file name."""

    cells: Sequence[Cell]
    summary: Summary
    threats: Sequence[ThreatModel]
    """All threat models of the gallery's norm, eps ascending."""
    shown: Sequence[tuple[ThreatModel, WorstCase]]
    """Threat models that get an image, with their worst cases."""
    replayed: Replayed
    pictures: dict[str, tuple[Picture, bool]] = field(default_factory=dict)
    """By file name: the pixels, and whether they show a difference."""

    def build(self, number: int, one: Chosen) -> Exhibit:
        """The exhibit of a case; its files are 1-clean.png, 1-eps0.png, 1-eps0-difference.png."""
        case: Case = self.summary.cases[one.place]
        clean = f"{number}-clean.png"
        self.pictures[clean] = picture(case.image), False
        prediction, probability = self._predicted(self.summary.clean.kept[one.place])
        frames = []
        for i, (threat, worst) in enumerate(self.shown):
            cell, eps = int(worst.cell[one.place]), _finite(threat.eps)
            if cell < 0:
                frames.append(
                    ExhibitImage(eps, "", prediction, probability, False, 0.0, 0.0, 0.0, clean, "")
                )
            else:
                frames.append(self._frame(f"{number}-eps{i}", one.place, cell, case, eps))
        height, width = case.image.shape[1:]
        return Exhibit(
            case=case.id,
            label=self.summary.cases.classes[case.label],
            prediction=prediction,
            probability=probability,
            smallest_success_eps=None
            if one.first_success is None
            else _finite(self.threats[one.first_success].eps),
            norm=self.threats[0].norm,
            image_size=(height, width),
            display_size=(height, width),
            image=clean,
            images=tuple(frames),
        )

    def _frame(
        self, name: str, place: int, cell: int, case: Case, eps: float | None
    ) -> ExhibitImage:
        """The adversarial image that a cell found for a case."""
        x_adv, outcome = self.replayed[place, cell]
        changed, factor = difference(x_adv, case.image)
        self.pictures[f"{name}.png"] = picture(x_adv), False
        if changed is not None:
            self.pictures[f"{name}-difference.png"] = changed, True
        return ExhibitImage(
            eps,
            self.cells[cell].label,
            *self._predicted(outcome.kept),
            success=outcome.success,
            linf=outcome.linf,
            l2=outcome.l2,
            magnification=factor,
            image=f"{name}.png",
            difference="" if changed is None else f"{name}-difference.png",
            psnr=psnr(x_adv, case.image),
            ssim=ssim(x_adv, case.image),
        )

    def _predicted(self, logits: npt.NDArray[np.float64]) -> tuple[str, float]:
        """The predicted class and its softmax probability."""
        top = int(logits.argmax())
        share = 1 / float(np.exp(logits - logits[top]).sum())
        return self.summary.cases.classes[top], share


def _finite(eps: float) -> float | None:
    return eps if np.isfinite(eps) else None
