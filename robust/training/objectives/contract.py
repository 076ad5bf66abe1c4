"""The contract of an objective: the loss of a training, and the metrics on val."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from robust.models.adapter import Adapter


class Objective(nn.Module, ABC):
    """The part of a training that depends on what a label is. `y` is that of `ImageBatch`."""

    score: str
    """Column of the history that the best epoch has most of, without attack."""
    word: str
    """What people call it."""
    robust_score: str
    """The same of adversarial training: the mean of `kept`."""

    @abstractmethod
    def labels(self, y: Tensor) -> Tensor:
        """The labels of a batch as attacks and losses see them."""

    @abstractmethod
    def loss(self, logits: Tensor, y: Tensor) -> Tensor:
        """What is minimised: the mean over the cases of these labels."""

    @abstractmethod
    def val_loss(self, logits: Tensor, y: Tensor) -> Tensor:
        """The same without what the recipe adds to it for learning."""

    @abstractmethod
    def weight(self, y: Tensor) -> Tensor | None:
        """How much labels `(n,)` weigh in `loss` together; None: each case the same."""

    @abstractmethod
    def learner(self, adapter: Adapter) -> Adapter:
        """The adapter as it is shown training batches; weights are shared."""

    @abstractmethod
    def update(self, logits: Tensor, y: Tensor) -> None:
        """Take a batch of val into the metrics."""

    @abstractmethod
    def compute(self) -> dict[str, float]:
        """The metrics on val, by the name of their column in the history."""

    @abstractmethod
    def reset(self) -> None:
        """Begin val anew."""

    @abstractmethod
    def kept(self, logits: Tensor, y: Tensor) -> Tensor:
        """What is left of each case under attack, in [0, 1]: `(n,)`."""
