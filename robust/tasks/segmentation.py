"""Segmentation: a label is a mask, and a case falls where its outline is no longer good."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from attacks import Attack, AttackFunction
from attacks.dense import IGNORE
from robust.cases.case import NOT_OUTLINED, Case, Cases, Entry
from robust.cases.consistency import check_finite
from robust.errors import InputError, did_you_mean
from robust.metrics.arrays import Array, Mask
from robust.metrics.by_group import ByGroup
from robust.metrics.outlines.kept import KeptScores, mean_of_structures
from robust.metrics.outlines.scorer import ROUNDING, OutlineScorer, OutlineStandard
from robust.metrics.outlines.scores import kept_scores
from robust.metrics.scores import Condition
from robust.plan.spec import Plan
from robust.records.inputs import SEGMENTATION, AuditedTask
from robust.tasks.contract import Batch
from robust.tasks.first_success import UntilFallen
from robust.tasks.region import box_region, touch_of

SCALE = 10.0
"""Dice is compared at less than a hundredth, a thousandth of the spread that this makes: another
processor turns single pixels at a border."""
BEYOND = 2.0
"""How much farther than the goal the mask goes that an attack is given to grow or to shrink a
structure, in units of `change`."""


@dataclass(frozen=True)
class Segmentation:
    """Goals: `error` makes outlines bad; `miss`, `false alarm`, `grow`, `shrink`, `mask`.

    Labels are `(n, *space)`, or `(n, k, *space)` where structures overlap, as attacks see them.
    """

    record: AuditedTask
    goal: str
    classes: tuple[str, ...]
    """Names of the classes, the background first, or of the structures where they overlap."""
    numbers: tuple[int, ...]
    """Which of them count, in the order of `record.structures`."""

    @property
    def class_count(self) -> int:
        """Dense logits."""
        return 0

    @property
    def attacks_misread(self) -> bool:
        """There is no AUC."""
        return False

    @property
    def standard(self) -> OutlineStandard:
        """When a case is outlined well."""
        return OutlineStandard(self.record.dice, self.record.drop)

    def labels(self, cases: Sequence[Case], like: Tensor) -> Tensor:
        """int64; `IGNORE` where a mask does not count, and in structures that do not count."""
        return self._as_labels([_mask_of(case) for case in cases], like)

    def check(self, logits: Tensor, cases: Sequence[Case]) -> None:
        """InputError for logits of another size than the masks, or not one for each class."""
        space = tuple(cases[0].image.shape[1:])
        if logits.ndim < 3 or tuple(logits.shape[2:]) != space:
            raise InputError(
                f"the model gives {tuple(logits.shape[1:])} for an image of {space}; a segmenter "
                f"gives a logit for each class and each pixel"
            )
        if logits.shape[1] != len(self.classes):
            kind = "structures" if self.record.overlapping else "classes"
            raise InputError(
                f"the model has {logits.shape[1]} outputs for each pixel, the data "
                f"{len(self.classes)} {kind} ({', '.join(self.classes)}); choose the mask column, "
                f"classes or head so that both agree"
            )
        check_finite(logits, ids=[case.id for case in cases])
        for case in cases:
            self._check_case(case, space)

    @property
    def bags(self) -> None:
        """There are none."""
        return None

    def check_attack(self, label: str, attack: Attack) -> None:
        """InputError for an attack that has no meaning on the logits of pixels."""
        if not attack.traits.dense:
            raise InputError(
                f"{label} attacks one class for an image, and the model outlines structures; "
                f"`robust list attacks` says which attack serves which"
            )

    def check_stages(self, plan: Plan, *, twin: bool) -> None:
        """InputError for detectors, a twin, patches and decision-based attacks."""
        scenarios = plan.scenarios
        if scenarios.universal and self.record.touch != "image":
            raise InputError(
                f"[scenarios] universal changes the same pixels of every image, and touch = "
                f"{self.record.touch!r} others in each; take one of them out"
            )
        refused = {
            "[[detectors]]": (bool(plan.detectors), "detectors read what a classifier answers"),
            "[twin]": (twin, "the comparison with a deployed version counts classes"),
            "[scenarios] patch": (bool(scenarios.patch), "a patch covers what is outlined"),
            "[scenarios] spatial": (scenarios.spatial is not None, "the true mask would move, too"),
            "[scenarios] queries": (bool(scenarios.queries), "the attack sees one label an image"),
        }
        for table, (asked, reason) in refused.items():
            if asked:
                raise InputError(
                    f"{table} has no meaning for a model that outlines structures: {reason}; take "
                    f"it out"
                )

    def keep(self, logits: Tensor, cases: Sequence[Case]) -> Array:
        """The scores of every case, in the layout of `KeptScores`."""
        predicted = self._predicted(logits).to(torch.uint8).cpu().numpy()
        return np.stack([self._scores(one, case) for one, case in zip(predicted, cases)])

    def said(self, kept: Array) -> list[str]:
        """The Dice of the case."""
        return [f"{dice:.6g}" for dice in KeptScores(kept).case_dice]

    def compared(self, kept: Array) -> Array:
        """Dice and pixel accuracy, and a constant that the spread is mostly of."""
        scores = KeptScores(kept)
        accuracy = np.nan_to_num(scores.pixel_accuracy)  # NaN where no pixel counts
        return np.stack([scores.case_dice, accuracy, np.full(len(kept), SCALE)], 1)

    def right(self, kept: Array, entries: Sequence[Entry | Case]) -> Mask:
        """Where the outline is good."""
        dice = KeptScores(kept).case_dice
        return self.standard.met(dice, dice)

    def eligible(self, kept: Array, entries: Sequence[Entry | Case]) -> Mask:
        """Cases with a structure to hide or to change, or without one that can be invented."""
        scores = KeptScores(kept)
        there, found = scores.true_volume > 0, scores.predicted_volume > 0
        if self.goal in ("miss", "grow", "shrink"):
            return np.asarray((there & found).any(1))
        if self.goal == "false alarm":
            return np.asarray((~there & ~found).any(1))
        if self.goal == "mask":
            return ~np.isnan(scores.target_agreement)
        return np.ones(len(kept), bool)

    def targets(self, batch: Batch) -> Tensor | None:
        """The mask to steer each case to; None for `error`."""
        if self.goal == "error":
            return None
        if self.goal == "mask":
            return self._as_labels([_mask_of(c, target=True) for c in batch.cases], batch.x)
        return torch.stack([self._target(y) for y in batch.y])

    def any_error(self) -> Segmentation:
        """The same outlines, made bad."""
        return replace(self, goal="error")

    def universal_targets(self, batch: Batch) -> list[tuple[list[int], Tensor | None]]:
        """The goal's own mask, or away from every outline."""
        return [(list(range(len(batch.rows))), self.targets(batch))]

    def success(self, logits: Tensor, batch: Batch) -> Tensor:
        """Whether logits reach the goal: `(n,)` bool; NaN or infinite ones never do."""
        predicted = self._predicted(logits)
        found, true, _ = self._volumes(predicted, batch.y)
        if self.goal == "error":
            clean = KeptScores(batch.kept.cpu().numpy()).case_dice
            well = self.standard.met(self._case_dice(predicted, batch.y), clean)
            reached = torch.from_numpy(~well).to(logits.device)
        elif self.goal == "mask":
            target = self.targets(batch)
            assert target is not None
            agreement = self._case_dice(predicted, target)
            reached = torch.from_numpy(agreement >= self.record.dice - ROUNDING).to(logits.device)
        elif self.goal == "miss":
            reached = ((true == 0) | (found == 0)).all(1) & (true > 0).any(1)
        elif self.goal == "false alarm":
            reached = ((true == 0) & (found > 0)).any(1)
        else:
            change = (found - true) / true.clamp_min(1)
            change = change if self.goal == "grow" else -change
            reached = ((true > 0) & (change >= self.record.change)).any(1)
        return reached & logits.isfinite().flatten(1).all(1)

    def until_success(self, attack: AttackFunction, batch: Batch) -> AttackFunction:
        """The attack, watched: it does not know when an outline is no longer good."""
        return UntilFallen(attack, self, batch)

    def region(self, batch: Batch) -> Tensor | None:
        """Inside or outside the structures of the true mask."""
        if self.record.touch == "image":
            return None
        if self.record.box is not None:
            return box_region(batch.x, self.record.box, self.record.touch)
        inside = self._layers(batch.y).any(1, keepdim=True)
        return inside if self.record.touch == "inside" else ~inside

    def outlines(self, batch: Batch, logits: Tensor | None = None) -> Tensor:
        """Of the structures that count."""
        return self._layers(batch.y if logits is None else self._predicted(logits))

    def scorer(self, by_group: ByGroup, cases: Cases, clean: Condition) -> OutlineScorer:
        """Dice and the like."""
        return OutlineScorer(by_group, clean.kept, self.record.structures, self.standard)

    def _predicted(self, logits: Tensor) -> Tensor:
        """Class numbers `(n, *space)`, or 0 and 1 `(n, k, *space)`."""
        return logits > 0 if self.record.overlapping else logits.argmax(1)

    def _layers(self, labels: Tensor) -> Tensor:
        """Where each structure that counts is: `(n, S, *space)` bool."""
        if self.record.overlapping:
            return labels[:, list(self.numbers)] == 1
        return torch.stack([labels == number for number in self.numbers], 1)

    def _volumes(self, predicted: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Pixels of each structure `(n, S)` float64: predicted, in the labels, and in both."""
        counted = labels != IGNORE
        counted = counted[:, list(self.numbers)] if self.record.overlapping else counted[:, None]
        found, true = self._layers(predicted) & counted, self._layers(labels)
        sizes = (one.flatten(2).sum(2).double() for one in (found, true, found & true))
        return tuple(sizes)  # type: ignore[return-value]

    def _case_dice(self, predicted: Tensor, labels: Tensor) -> Array:
        """Dice of each case with labels `(n,)`."""
        found, true, both = (one.cpu().numpy() for one in self._volumes(predicted, labels))
        with np.errstate(invalid="ignore"):  # 0/0 has no score
            return mean_of_structures(2 * both / (found + true))

    def _scores(self, predicted: npt.NDArray[np.uint8], case: Case) -> Array:
        target = None if case.target_mask is None else self._counted(case.target_mask).numpy()
        return kept_scores(
            predicted,
            self._counted(_mask_of(case)).numpy(),
            structures=self.numbers,
            overlapping=self.record.overlapping,
            spacing=case.spacing if self.record.unit == "mm" else None,
            tolerance=self.record.tolerance,
            target_mask=target,
        )

    def _counted(self, mask: Tensor) -> Tensor:
        """The mask of a case, its structures that do not count marked so."""
        if not self._others:
            return mask
        if self.record.overlapping:
            counted = mask.clone()
            counted[self._others] = NOT_OUTLINED
            return counted
        return mask.masked_fill(torch.isin(mask, torch.tensor(self._others)), NOT_OUTLINED)

    @property
    def _others(self) -> list[int]:
        """The structures that do not count."""
        first = 0 if self.record.overlapping else 1
        return [k for k in range(first, len(self.classes)) if k not in self.numbers]

    def _as_labels(self, masks: Sequence[Tensor], like: Tensor) -> Tensor:
        return outline_labels(torch.stack([self._counted(mask) for mask in masks]).to(like.device))

    def _target(self, y: Tensor) -> Tensor:
        """The mask of one case that a goal is reached with: a label without the batch axis."""
        if self.goal == "miss":
            return self._without(y)
        if self.goal == "false alarm":
            return self._everywhere(y)
        return self._moved(y)

    def _without(self, y: Tensor) -> Tensor:
        if self.record.overlapping:
            y = y.clone()
            y[list(self.numbers)] = y[list(self.numbers)].clamp_max(0)
            return y
        own = torch.isin(y, torch.tensor(self.numbers, device=y.device))
        return torch.where(own, 0, y)

    def _everywhere(self, y: Tensor) -> Tensor:
        """The first structure that is absent, in all of the background."""
        for number in self.numbers:
            layer = y[number] if self.record.overlapping else y == number
            if not bool((layer == 1).any()):
                if self.record.overlapping:
                    y = torch.full_like(y, IGNORE)
                    y[number] = 1
                    return y
                return torch.where(y == 0, number, IGNORE)
        return torch.full_like(y, IGNORE)

    def _moved(self, y: Tensor) -> Tensor:
        """Every structure grown or shrunk pixel by pixel, somewhat farther than the goal asks."""
        y = y.clone()
        for number in self.numbers:
            layer = y[number] == 1 if self.record.overlapping else y == number
            if not bool(layer.any()):
                continue
            moved = self._until(layer)
            if self.record.overlapping:
                y[number] = torch.where(y[number] == IGNORE, IGNORE, moved.long())
            elif self.goal == "grow":
                y = torch.where(moved & (y == 0), number, y)
            else:
                y = torch.where(layer & ~moved, 0, y)
        return y

    def _until(self, layer: Tensor) -> Tensor:
        """A structure `(*space)` bool grown or shrunk until its volume has changed enough."""
        size, wished = int(layer.sum()), 1 + BEYOND * self.record.change
        grows = self.goal == "grow"
        least = max(0.0, 2 - wished)
        pool = F.max_pool3d if layer.ndim == 3 else F.max_pool2d
        now = layer
        while True:
            one = (now if grows else ~now).float()[None, None]
            turned = pool(one, 3, stride=1, padding=1)[0, 0] > 0
            after = turned if grows else ~turned
            done = int(after.sum()) >= wished * size if grows else int(after.sum()) <= least * size
            if done or bool((after == now).all()):
                return after
            now = after

    def _check_case(self, case: Case, space: tuple[int, ...]) -> None:
        mask = _mask_of(case)
        if tuple(mask.shape[self.record.overlapping :]) != space:
            raise InputError(f"{case.id}: the mask is {tuple(mask.shape)}, the image {space}")
        if self.record.unit == "mm" and case.spacing is None:
            raise InputError(
                f"{case.id} does not say how far apart its pixels are, and other images do; give "
                f"the millimetres of all: spacing = [...] in [data]"
            )
        if self.goal == "mask" and case.target_mask is None:
            raise InputError(
                f"goal 'mask' needs the mask to reach, and {case.id} has none; name its column: "
                f"target_mask = ... in [data]"
            )


def outline_labels(masks: Tensor) -> Tensor:
    """Masks as in `Case.mask` as attacks see them: int64, `IGNORE` where a mask does not count."""
    return masks.long().masked_fill_(masks == NOT_OUTLINED, IGNORE)


def segmentation_of(plan: Plan, cases: Cases, record: AuditedTask | None = None) -> Segmentation:
    """The task of a plan on cases with masks; InputError for what does not fit them.

    Without the `record` of a run that has begun, the first image that can be read shows whether
    distances are in millimetres.
    """
    spec, audit = plan.segmentation, plan.audit
    if audit.target is not None:
        raise InputError("[audit] target is a class, and the data have masks; use goal = 'mask'")
    overlapping = cases.outlines == "overlapping"
    known = cases.classes if overlapping else cases.classes[1:]
    for name in spec.structures:
        if name not in known:
            raise InputError(
                f"[segmentation] structure {name!r} is none of the data; "
                f"{did_you_mean(name, known)}"
            )
    names = tuple(name for name in known if not spec.structures or name in spec.structures)
    if record is None:
        first = _first_readable(cases)
        record = AuditedTask(
            name=SEGMENTATION,
            structures=names,
            overlapping=overlapping,
            dice=spec.dice,
            drop=spec.drop,
            tolerance=spec.tolerance,
            change=spec.change,
            touch=touch_of(audit),
            box=audit.box,
            unit="pixels" if first is None or first.spacing is None else "mm",
            volumes=first is not None and first.image.ndim == 4,
        )
    numbers = tuple(cases.classes.index(name) for name in names)
    return Segmentation(record, audit.goal, tuple(cases.classes), numbers)


def _first_readable(cases: Cases) -> Case | None:
    for row in range(len(cases)):
        try:
            return cases[row]
        except InputError:
            continue
    return None


def _mask_of(case: Case, *, target: bool = False) -> Tensor:
    mask = case.target_mask if target else case.mask
    if mask is None:
        raise InputError(f"{case.id} has no {'target ' * target}mask, and other images have one")
    return mask
