"""The contract of a detector, and what it may learn from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from detectors.features import Features


@dataclass(frozen=True)
class Reference:
    """Clean images that a detector may learn from, of the split that the classifier learned from.

    Nothing that is to be scored later may be among them.
    """

    features: Features
    labels: Tensor
    """`(n,)`."""
    groups: Tensor | None = None
    """`(n,)` whole numbers, equal for images of one patient; None: each image its own."""

    def classes(self) -> list[int]:
        """The labels that occur; ValueError where there are fewer than two."""
        found = sorted(set(self.labels.tolist()))
        if len(found) < 2:
            raise ValueError(f"a reference needs 2 classes or more, this one has {len(found)}")
        return found


@dataclass(frozen=True)
class Pairs:
    """Clean images and attacked ones, for a head to tell apart: cases of the calibration alone.

    Attacked are those whose attack succeeded on a case that is right when clean.
    """

    clean: Features
    adversarial: Features

    def __post_init__(self) -> None:
        if not len(self.clean) or not len(self.adversarial):
            raise ValueError("calibration needs clean and successfully attacked images, one has 0")


class Detector(ABC):
    """Tells attacked images from clean ones by their features.

    `score` is in torch and differentiable in the features unless `differentiable` says otherwise.
    Statistics are learned from `Reference` and heads from `Pairs`; nothing is ever learned while
    scoring, so that what is scored cannot leak into the score.
    """

    needs_pairs: ClassVar[bool]
    """Whether it can only be fitted with attacked images."""
    differentiable: ClassVar[bool]

    @abstractmethod
    def fit(self, reference: Reference, pairs: Pairs | None = None) -> None:
        """Learn. With `pairs` the head of the paper is fitted as well, where there is one.

        Raises ValueError for fewer than two classes, or for pairs that are needed and missing.
        """

    @abstractmethod
    def score(self, features: Features) -> Tensor:
        """`(n,)`, higher is more suspicious. RuntimeError before `fit`."""


def both(clean: Tensor, adversarial: Tensor) -> tuple[Tensor, Tensor]:
    """Either side `(n, m)` below each other at float64, and which rows are attacked `(n,)`."""
    rows = torch.cat([clean, adversarial]).detach().double().cpu()
    return rows, torch.arange(len(rows)) >= len(clean)
