"""SegPGD: Gu et al. 2022 (arXiv 2207.12391)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from attacks.segmentation.pixels import won_pixels
from attacks.segmentation.weighted_pgd import WeightedPixelPGD


@dataclass(frozen=True)
class SegPGD(WeightedPixelPGD):
    """PGD that looks at first only at the pixels that are still right, later at all alike.

    Use it on segmenters beside PGD: cross-entropy has its largest gradients at pixels that are
    wrong already. In step t of T those weigh (t - 1) / 2T and the others the rest. Towards a target
    the pixels that agree with it take the place of the wrong ones.
    """

    stream_name: ClassVar[str] = "SegPGD"

    def weights(self, logits: Tensor, y: Tensor, target: Tensor | None, progress: float) -> Tensor:
        """Half the progress for pixels that are won, the rest for the others."""
        won = won_pixels(logits, y, target)
        share = logits.new_tensor(progress / 2)
        return torch.where(won, share, 1 - share)
