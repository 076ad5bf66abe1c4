"""Objective of a segmenter: Dice loss plus cross-entropy (nnU-Net's); mean Dice on val.

The losses are those that attacks climb, `attacks.losses.cross_entropy_dice`: unlike MONAI's they
leave out pixels that do not count.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor
from torchmetrics import MeanMetric

from attacks.dense import hard_dice, overlapping
from attacks.losses import cross_entropy_dice
from robust.models.adapter import Adapter
from robust.models.segmentation.segmenter import Segmenter
from robust.tasks.segmentation import outline_labels
from robust.training.objectives.contract import Objective


class OutlineObjective(Objective):
    """Of masks, uint8 as in `Case.mask`."""

    score, word, robust_score = "val_dice", "Dice", "val_robust_dice"

    def __init__(self) -> None:
        super().__init__()
        self.dice = MeanMetric()

    def labels(self, y: Tensor) -> Tensor:
        """int64, `IGNORE` where a mask does not count."""
        return outline_labels(y)

    def loss(self, logits: Tensor, y: Tensor) -> Tensor:
        """The mean over cases of 1 - soft Dice plus the mean cross-entropy of the pixels."""
        return cross_entropy_dice(logits, y).mean()

    def val_loss(self, logits: Tensor, y: Tensor) -> Tensor:
        """The same."""
        return self.loss(logits, y)

    def weight(self, y: Tensor) -> None:
        """Each case weighs the same."""
        return None

    def learner(self, adapter: Adapter) -> Adapter:
        """Without its sliding window: training batches are windows."""
        alone = copy.copy(adapter)
        assert isinstance(alone, Segmenter)
        alone.window = None
        return alone

    def update(self, logits: Tensor, y: Tensor) -> None:
        """Take dense logits of val into the mean."""
        self.dice.update(case_dice(logits, y))

    def compute(self) -> dict[str, float]:
        """The mean Dice of the cases."""
        return {"val_dice": float(self.dice.compute())}

    def reset(self) -> None:
        """Begin val anew."""
        self.dice.reset()

    def kept(self, logits: Tensor, y: Tensor) -> Tensor:
        """Its Dice."""
        return case_dice(logits, y)


@torch.no_grad()
def case_dice(logits: Tensor, y: Tensor) -> Tensor:
    """Dice of each case, the mean over its structures, in [0, 1]: `(n,)`.

    As an audit has it: a structure that is neither there nor predicted is left out, and a case
    without any other has 1.
    """
    dice = hard_dice(logits, y)
    if overlapping(logits, y):
        there = (y == 1).flatten(2).any(2)
    else:
        structures = range(1, logits.shape[1])
        there = torch.stack([(y == number).flatten(1).any(1) for number in structures], 1)
    counted = there | (dice < 1)
    mean = (dice * counted).sum(1) / counted.sum(1).clamp_min(1)
    return torch.where(counted.any(1), mean, 1.0)
