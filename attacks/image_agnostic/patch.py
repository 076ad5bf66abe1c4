"""Adversarial patch at any place of any image: Brown et al. 2017 (arXiv 1712.09665)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from attacks.contract import Model, require_positive
from attacks.image_agnostic._fitting import MOMENTUM, bounded_margin, clean_margin, random_batches
from attacks.threat import above_zero


@dataclass(frozen=True)
class AdversarialPatch:
    """A square of arbitrary pixels, fitted on some images and placed anywhere on others.

    It has no norm and no eps: its area bounds it. The patch is neither rotated nor scaled. It is no
    `Attack`, which sees each image alone.
    """

    share: float = 0.05
    """Share of the image's area that the patch covers."""
    steps: int = 200
    """Gradient steps."""
    step_size: float = 0.05
    """Mean length of a step, in units of the displayed image; steps shorten towards zero."""
    batch: int = 32
    """Images per step, each with the patch at another place."""

    def __post_init__(self) -> None:
        require_positive(self, "steps", "step_size", "batch")
        if not 0 < self.share < 1:
            raise ValueError(f"AdversarialPatch: share must lie between 0 and 1, not {self.share}")

    def side(self, height: int, width: int) -> int:
        """Side of the square in pixels."""
        return max(1, min(height, width, round(math.sqrt(self.share * height * width))))

    def fit(
        self,
        model: Model,
        x: Tensor,
        y: Tensor,
        generator: torch.Generator,
        target: Tensor | None = None,
    ) -> Tensor:
        """The patch `(c, s, s)` in [0, 1]; `generator` lives on the CPU.

        ValueError for labels of dense logits, and for volumes.
        """
        if y.ndim > 1 or x.ndim > 4:
            raise ValueError("AdversarialPatch works on images and logits (n, k), not on outlines")
        height, width = x.shape[2:]
        side = self.side(height, width)
        patch = torch.full((x.shape[1], side, side), 0.5, dtype=x.dtype, device=x.device)
        velocity = torch.zeros_like(patch)
        cap = clean_margin(model, x, y, target, self.batch)
        batches = random_batches(len(x), self.batch, generator)
        for step in range(self.steps):
            rows = next(batches).to(x.device)
            corners = random_corners(len(rows), height, width, side, generator).to(x.device)
            batch_target = None if target is None else target[rows]
            with torch.enable_grad():
                patch = patch.detach().requires_grad_()
                logits = model(apply_patch(x[rows], patch, corners))
                value = bounded_margin(logits, y[rows], batch_target, cap)
                (gradient,) = torch.autograd.grad(value.mean(), patch)
            velocity = MOMENTUM * velocity + gradient / above_zero(gradient.abs().mean())
            move = 2 * self.step_size * (self.steps - step) / (self.steps + 1)
            patch = (patch.detach() + move * velocity.sign()).clamp(0, 1)
        return patch


def random_corners(
    count: int, height: int, width: int, side: int, generator: torch.Generator
) -> Tensor:
    """Corners (top, left) `(count, 2)` of squares that lie inside the image."""
    tops = torch.randint(height - side + 1, (count,), generator=generator)
    lefts = torch.randint(width - side + 1, (count,), generator=generator)
    return torch.stack([tops, lefts], 1)


def apply_patch(x: Tensor, patch: Tensor, corners: Tensor) -> Tensor:
    """The images `(n, c, h, w)` with the patch `(c, s, s)` at the corners `(n, 2)`."""
    side = patch.shape[-1]
    down, across = _offsets(x, corners)
    rows, columns = down.clamp(0, side - 1), across.clamp(0, side - 1)
    patched = patch[:, rows[:, :, None], columns[:, None, :]].transpose(0, 1)
    return paste_square(x, patched, side, corners)


def paste_square(x: Tensor, other: Tensor, side: int, corners: Tensor) -> Tensor:
    """The images `x` with a square copied from `other (n, c, h, w)` at each corner `(n, 2)`."""
    down, across = _offsets(x, corners)
    inside = _within(down, side)[:, None, :, None] & _within(across, side)[:, None, None, :]
    return torch.where(inside, other, x)


def _offsets(x: Tensor, corners: Tensor) -> tuple[Tensor, Tensor]:
    """How far each row and column lies from the corner: `(n, h)` and `(n, w)`."""
    height, width = x.shape[2:]
    down = torch.arange(height, device=x.device) - corners[:, :1]
    across = torch.arange(width, device=x.device) - corners[:, 1:]
    return down, across


def _within(offset: Tensor, side: int) -> Tensor:
    return (offset >= 0) & (offset < side)
