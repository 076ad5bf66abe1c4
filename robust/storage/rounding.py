"""Quantisation of adversarial images to the grey levels of their files, plain and adversarial."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from attacks import Model
from attacks.losses import AttackLoss, beyond_rounding, climb, margin
from attacks.threat import per_case
from robust.cases.case import Case, Pixels
from robust.cases.stored_pixels import Stored

SHARES = (1.0, 0.5, 0.25, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)
"""Share of the pixels that move by one grey level, round by round."""
PIECE, PIECE_OF_A_GPU = 1 << 18, 1 << 24
"""Pixel values that are quantised at once: a processor's cache holds a few images at float64."""


@dataclass(frozen=True)
class StoredBatch:
    """The files that a batch came from, and the pixel values that they can hold within eps."""

    cases: tuple[Case, ...]
    originals: tuple[Pixels, ...]
    """The stored pixels of each clean image."""
    clean: Tensor
    """What the files show `(n, c, *space)`, on the device of the batch."""
    eps: float

    @staticmethod
    def of(cases: Sequence[Case], eps: float, device: torch.device | str = "cpu") -> StoredBatch:
        """The files of these cases, whose images have one shape."""
        originals = tuple(case.stored.pixels(case.image) for case in cases)
        shown = [case.stored.image(one) for case, one in zip(cases, originals, strict=True)]
        return StoredBatch(tuple(cases), originals, torch.stack(shown).to(device), eps)

    def quantise(self, x: Tensor) -> Tensor:
        """The nearest images `(n, c, *space)` within eps that the files can hold."""
        formats: dict[Stored, list[int]] = {}
        for place, case in enumerate(self.cases):
            formats.setdefault(case.stored, []).append(place)
        found = torch.empty_like(x)
        most = max(1, (PIECE_OF_A_GPU if x.is_cuda else PIECE) // x[0].numel())
        for stored, places in formats.items():
            for start in range(0, len(places), most):
                part = places[start : start + most]
                if stored.wide is not None:
                    found[part] = self._wide(x, part)
                    continue
                # A slice copies nothing.
                rows = slice(part[0], part[-1] + 1) if len(formats) == 1 else part
                found[rows] = stored.nearest(x[rows], self.clean[rows], self.eps)
        return found

    def _wide(self, x: Tensor, places: Sequence[int]) -> Tensor:
        images = x[places].cpu()
        shown = []
        for place, image in zip(places, images, strict=True):
            stored = self.cases[place].stored
            shown.append(stored.image(stored.pixels(image, self.originals[place], self.eps)))
        return torch.stack(shown).to(x)

    def steps(self, x: Tensor) -> Tensor:
        """One grey level of each file, `(n, 1, ...)`."""
        return per_case(x.new_tensor([case.stored.step for case in self.cases]), x)

    def take(self, rows: Sequence[int]) -> StoredBatch:
        """Only the files at these places."""
        if len(rows) == len(self.cases):
            return self
        cases = tuple(self.cases[row] for row in rows)
        originals = tuple(self.originals[row] for row in rows)
        return StoredBatch(cases, originals, self.clean[rows], self.eps)


@dataclass(frozen=True)
class _Rounds:
    """The cases whose rounding is not settled, each with its best image so far."""

    places: list[int]
    """In the whole batch."""
    files: StoredBatch
    best: Tensor
    y: Tensor
    target: Tensor | None
    region: Tensor | None

    @property
    def loss(self) -> AttackLoss:
        """What moves climb."""
        return AttackLoss("margin", self.y, self.target)

    def take(self, rows: list[int]) -> _Rounds:
        """Only the cases at these places."""
        if len(rows) == len(self.places):
            return self
        return _Rounds(
            [self.places[i] for i in rows],
            self.files.take(rows),
            self.best[rows],
            self.y[rows],
            None if self.target is None else self.target[rows],
            None if self.region is None else self.region[rows],
        )

    def movable(self) -> list[int]:
        """Places of the cases with a pixel that a move changes: their file has a level there."""
        steps = self.files.steps(self.best)
        moves = [self.files.quantise(self.best + way * steps) != self.best for way in (1, -1)]
        can = moves[0] | moves[1]
        if self.region is not None:
            can &= self.region
        return can.flatten(1).any(1).nonzero().flatten().tolist()  # type: ignore[no-any-return]

    def moved(self, gradient: Tensor, share: float) -> Tensor:
        """Quantised images in which a share of the pixels has moved, those of most gradient."""
        if self.region is not None:
            gradient = torch.where(self.region, gradient, 0.0)
        move = gradient.sign()
        if share < 1:
            size = gradient.flatten(1).abs()
            least = size.topk(max(1, round(share * size.shape[1])), dim=1).values[:, -1]
            move = move * (gradient.abs() >= per_case(least, gradient))
        return self.files.quantise(self.best + self.files.steps(self.best) * move)


def adversarial_rounding(
    model: Model,
    files: StoredBatch,
    x: Tensor,
    y: Tensor,
    target: Tensor | None,
    region: Tensor | None = None,
    *,
    stop: bool = False,
) -> Tensor:
    """Quantised images of a larger margin than the quantised `x (n, c, *space)`, within eps too.

    Greedy: pixels move by one grey level along the sign of a gradient, first all of them and then
    ever fewer, those of the largest gradient, as long as the margin grows. The gradient is that of
    the margin; of dense logits, whose margin has none, that of the mean margin of the pixels.
    Pixels outside the `region` (n, 1, *space) stay as they are. With `stop` a case ends once its
    margin is above zero beyond rounding: later moves could only raise it.

    A case whose file has no other level within eps costs no pass. A round costs one forward pass,
    and one backward where some margin has grown; else the gradient of the round before still holds.
    """
    found = x.clone()
    now = _Rounds(list(range(len(x))), files, x, y, target, region)
    now = now.take(now.movable())
    if not now.places:
        return found
    logits, gradient = climb(model, now.best, now.loss)
    ahead = margin(logits, now.y, now.target)
    for share in SHARES:
        tried, last = now.moved(gradient, share).requires_grad_(), share == SHARES[-1]
        with torch.set_grad_enabled(not last):
            logits = model(tried)
        gained = margin(logits.detach(), now.y, now.target)
        better = gained > ahead
        found[now.places] = torch.where(per_case(better, tried), tried.detach(), now.best)
        ended = beyond_rounding(gained, logits.detach()) if stop else torch.zeros_like(better)
        grown, finished = torch.stack([better, ended]).tolist()
        left = [i for i, end in enumerate(finished) if not end]
        if last or not left:
            break
        if any(grown[i] for i in left):
            with torch.enable_grad():
                (new,) = torch.autograd.grad(now.loss(logits).sum(), tried)
            gradient = torch.where(per_case(better, new), new, gradient)
        ahead = torch.where(better, gained, ahead)[left]
        gradient = gradient[left]
        now = replace(now, best=found[now.places]).take(left)
    return found
