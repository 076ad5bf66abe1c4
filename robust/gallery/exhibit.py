"""Exhibits of chosen cases, and their pictures: clean, attacked, the difference, outlines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from attacks import ThreatModel
from robust.cases.case import Case
from robust.engine.cells import Cell
from robust.engine.summary import Summary
from robust.gallery.outlines import (
    ATTACKED,
    CLEAN,
    TRUE,
    Layers,
    largest_disagreement,
    outlined,
)
from robust.gallery.png import Picture, difference, picture
from robust.gallery.replay import Replay, ReplayedImage, ShownOutlines
from robust.gallery.visibility import psnr, ssim
from robust.metrics.arrays import Array
from robust.metrics.outlines.kept import KeptScores
from robust.metrics.worst_case import WorstCase
from robust.records import Exhibit, ExhibitImage


@dataclass(frozen=True)
class Chosen:
    """A case for the gallery."""

    place: int
    """Index into the summary's cases."""
    first_success: int | None
    """Index of the smallest eps at which it was fooled; None: at none."""


@dataclass(frozen=True)
class _Answer:
    """What the model says of an image."""

    prediction: str = ""
    probability: float | None = None
    dice: float | None = None


@dataclass(frozen=True)
class _View:
    """A case as a page shows it: the image, or one slice of the volume."""

    case: Case
    outlines: ShownOutlines | None
    """None for classes."""
    number: int | None
    """Which slice; None for an image."""

    def image(self, image: Tensor) -> Tensor:
        """What is shown of the image or volume, in channels that can be shown."""
        shown = image if self.number is None else image[:, self.number]
        return shown if len(shown) in (1, 3) else shown[:1]

    def layers(self, layers: Layers) -> Layers:
        """What is shown of outlines."""
        return layers if self.number is None else layers[:, self.number]

    def outlined(self, image: Tensor, attacked: Layers | None = None) -> Picture | None:
        """The image with the outlines over it; None for classes."""
        if self.outlines is None:
            return None
        lines = [
            (self.layers(self.outlines.true), TRUE),
            (self.layers(self.outlines.predicted), CLEAN),
        ]
        if attacked is not None:
            lines.append((self.layers(attacked), ATTACKED))
        return outlined(self.image(image), lines)


@dataclass(frozen=True)
class ExhibitBuilder:
    """Makes exhibits of chosen cases, and keeps their pictures by file name."""

    cells: Sequence[Cell]
    summary: Summary
    threats: Sequence[ThreatModel]
    """All threat models of the gallery's norm, eps ascending."""
    shown: Sequence[tuple[ThreatModel, WorstCase]]
    """Threat models that get an image, with their worst cases."""
    replayed: Replay
    clean: Mapping[int, ShownOutlines]
    """Outlines without attack, by row; empty for classes."""
    pictures: dict[str, tuple[Picture, bool]] = field(default_factory=dict)
    """By file name: the pixels, and whether they show a difference."""

    def build(self, number: int, one: Chosen) -> Exhibit:
        """The exhibit of a case; its files are 1-clean.png, 1-eps0.png, 1-eps0-difference.png."""
        case: Case = self.summary.cases[one.place]
        view = self._view(one, case)
        clean = f"{number}-clean"
        self.pictures[f"{clean}.png"] = picture(view.image(case.image)), False
        answer = self._answer(self.summary.clean.kept[one.place])
        frames = []
        for i, (threat, worst) in enumerate(self.shown):
            cell, eps = int(worst.cell[one.place]), _finite(threat.eps)
            if cell < 0:
                over = self._keep(f"{clean}-outlined", view.outlined(case.image))
                frames.append(_unchanged(eps, answer, f"{clean}.png", over))
            else:
                frames.append(self._frame(f"{number}-eps{i}", one.place, cell, view, eps))
        height, width = case.image.shape[-2:]
        return Exhibit(
            case=case.id,
            label="" if self.clean else self.summary.cases.classes[case.label],
            prediction=answer.prediction,
            probability=answer.probability,
            smallest_success_eps=None
            if one.first_success is None
            else _finite(self.threats[one.first_success].eps),
            norm=self.threats[0].norm,
            image_size=(height, width),
            display_size=(height, width),
            image=f"{clean}.png",
            images=tuple(frames),
            dice=answer.dice,
            shown_slice=None if view.number is None else view.number + 1,
            slices=None if view.number is None else case.image.shape[1],
        )

    def _frame(
        self, name: str, place: int, cell: int, view: _View, eps: float | None
    ) -> ExhibitImage:
        """The adversarial image that a cell found for a case."""
        found, clean = self._replayed(place, cell), view.case.image
        changed, factor = difference(view.image(found.image), view.image(clean))
        self.pictures[f"{name}.png"] = picture(view.image(found.image)), False
        if changed is not None:
            self.pictures[f"{name}-difference.png"] = changed, True
        answer = self._answer(found.outcome.kept)
        return ExhibitImage(
            eps,
            self.cells[cell].label,
            prediction=answer.prediction,
            probability=answer.probability,
            success=found.outcome.success,
            linf=found.outcome.linf,
            l2=found.outcome.l2,
            magnification=factor,
            image=f"{name}.png",
            difference="" if changed is None else f"{name}-difference.png",
            psnr=psnr(found.image, clean),
            ssim=ssim(found.image, clean),
            dice=answer.dice,
            outlined=self._keep(f"{name}-outlined", view.outlined(found.image, found.predicted)),
        )

    def _keep(self, name: str, shown: Picture | None) -> str:
        """The file name of a picture with outlines; empty where there are none."""
        if shown is None:
            return ""
        self.pictures[f"{name}.png"] = shown, False
        return f"{name}.png"

    def _view(self, one: Chosen, case: Case) -> _View:
        """Of a volume the slice with the largest disagreement at the largest eps."""
        outlines = self.clean.get(int(self.summary.rows[one.place]))
        if case.image.ndim == 3:
            return _View(case, outlines, None)
        if outlines is None:
            return _View(case, None, case.image.shape[1] // 2)
        cell = int(self.shown[-1][1].cell[one.place])
        attacked = outlines.predicted if cell < 0 else self._replayed(one.place, cell).predicted
        predicted = outlines.predicted if attacked is None else attacked
        return _View(case, outlines, largest_disagreement(predicted, outlines.true))

    def _replayed(self, place: int, cell: int) -> ReplayedImage:
        return self.replayed[int(self.summary.rows[place]), cell]

    def _answer(self, kept: Array) -> _Answer:
        """The predicted class and its softmax probability, or Dice."""
        if self.clean:
            return _Answer(dice=float(KeptScores(kept[None]).case_dice[0]))
        top = int(kept.argmax())
        share = 1 / float(np.exp(kept - kept[top]).sum())
        return _Answer(self.summary.cases.classes[top], share)


def _unchanged(eps: float | None, answer: _Answer, image: str, over: str) -> ExhibitImage:
    """A case on which no attack had an effect within this eps."""
    return ExhibitImage(
        eps,
        "",
        prediction=answer.prediction,
        probability=answer.probability,
        success=False,
        linf=0.0,
        l2=0.0,
        magnification=0.0,
        image=image,
        difference="",
        dice=answer.dice,
        outlined=over,
    )


def _finite(eps: float) -> float | None:
    return eps if np.isfinite(eps) else None
