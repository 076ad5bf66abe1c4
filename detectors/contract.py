"""The contract of a detector, and what it may learn from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from detectors.features import Features

Learned = Mapping[str, Tensor]
"""What was learned, by name. Tensors and nothing else, so that a detector can be stored."""


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
    """Tells attacked images from clean ones by their features, in two steps.

    `statistics` measures an image by what was learned from `Reference`; `combine` makes one score
    of them, with a head that was learned from `Pairs` where there is one. Both are in torch, and
    differentiable in the features unless `differentiable` says otherwise. Nothing is ever learned
    while scoring, so that what is scored cannot leak into the score.
    """

    needs_pairs: ClassVar[bool]
    """Whether it says nothing before a head is fitted on attacked images."""
    has_head: ClassVar[bool]
    """Whether attacked images teach it anything."""
    differentiable: ClassVar[bool]
    learned: Learned | None = None
    head: Learned | None = None

    @property
    def extras(self) -> tuple[str, ...]:
        """What it reads of `Features.extras`: more than one forward pass gives."""
        return ()

    @final
    def fit(self, reference: Reference, pairs: Pairs | None = None) -> None:
        """Learn. With `pairs` the head of the paper is fitted as well, where there is one.

        Raises ValueError for fewer than two classes, or for pairs that are needed and missing.
        """
        if pairs is None and self.needs_pairs:
            raise ValueError(f"{type(self).__name__} learns from attacked images; give it pairs")
        self.learned, self.head = self.learn(reference), None
        if pairs is not None:
            self.calibrate(self.statistics(pairs.clean), self.statistics(pairs.adversarial))

    @final
    def calibrate(self, clean: Tensor, adversarial: Tensor) -> None:
        """Fit the head alone, on `statistics` of either side."""
        if self.has_head:
            self.head = self.learn_head(clean.detach(), adversarial.detach())

    @final
    def score(self, features: Features) -> Tensor:
        """`(n,)`, higher is more suspicious. RuntimeError before `fit`."""
        return self.combine(self.statistics(features))

    @abstractmethod
    def learn(self, reference: Reference) -> Learned:
        """What `statistics` needs; changes nothing here."""

    @abstractmethod
    def statistics(self, features: Features) -> Tensor:
        """`(n, m)`: each image by itself."""

    @abstractmethod
    def learn_head(self, clean: Tensor, adversarial: Tensor) -> Learned:
        """The head that tells statistics `(n, m)` of either side apart; changes nothing here."""

    @abstractmethod
    def combine(self, statistics: Tensor) -> Tensor:
        """`(n, m)` to `(n,)`, with the head if there is one."""

    @final
    def known(self) -> Learned:
        """What was learned; RuntimeError where nothing was."""
        if self.learned is None:
            raise RuntimeError("fit the detector first")
        return self.learned


def both(clean: Tensor, adversarial: Tensor) -> tuple[Tensor, Tensor]:
    """Either side `(n, m)` below each other at float64, and which rows are attacked `(n,)`."""
    rows = torch.cat([clean, adversarial]).detach().double().cpu()
    return rows, torch.arange(len(rows)) >= len(clean)
