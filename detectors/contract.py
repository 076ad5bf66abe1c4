"""The contract of a detector: what it learns from, what it gives, and how to write one."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, final

import torch
from torch import Tensor

from detectors.features import Extractor, Features

MEASURED_AT_ONCE = 4096
"""Images whose features are moved to another device at a time."""

Learned = Mapping[str, Tensor]
"""What was learned, by name. Tensors and nothing else, so that a detector can be stored."""


@dataclass(frozen=True)
class Reference:
    """Clean images that a detector may learn from, of the split that the classifier was trained on.

    No image that is scored later may be among them.
    """

    features: Features
    labels: Tensor
    """`(n,)` integers, the true labels."""
    groups: Tensor | None = None
    """`(n,)` integers, equal for images of one patient; None: each image is its own group."""
    images: Callable[[], Iterable[Tensor]] | None = None
    """Reads the images `(n, c, h, w)` again, displayed pixels in [0, 1], a batch at a time and not
    in the order of the features; None where there are features alone."""

    def to(self, device: torch.device | str) -> Reference:
        """The same images on a device."""
        groups = None if self.groups is None else self.groups.to(device)
        return Reference(self.features.to(device), self.labels.to(device), groups, self.images)

    def classes(self) -> list[int]:
        """The labels that occur, ascending; ValueError where there are fewer than two."""
        found = sorted(set(self.labels.tolist()))
        if len(found) < 2:
            raise ValueError(f"a reference needs 2 classes or more, this one has {len(found)}")
        return found


@dataclass(frozen=True)
class ExtraPasses:
    """Further forward passes over a batch, each made once for all detectors that ask for it."""

    extract: Extractor
    x: Tensor
    """The images `(n, c, h, w)`, displayed pixels in [0, 1]."""
    dropout_passes: int
    """How often units are dropped, for detectors that need dropout."""
    seed: int
    """Of the dropped units."""
    _computed: dict[str, Tensor] = field(default_factory=dict, repr=False)

    def once(self, name: str, compute: Callable[[], Tensor]) -> Tensor:
        """The result of `compute`, called for the first detector that asks for this name.

        Safe, since all detectors of a reader have learned from one reference.
        """
        if name not in self._computed:
            self._computed[name] = compute()
        return self._computed[name]


class Detector(ABC):
    """Scores how suspicious an image is, from the features of the classifier or the image itself.

    A detector is a frozen dataclass: its fields are its parameters, its methods are pure. `fit`
    learns from clean images and returns a `FittedDetector`, a value that holds the tensors and
    scores images. Two steps make a score: `statistics` measures an image by what was learned from
    the reference; `combine` turns the statistics into one number, through a head that was fitted on
    attacked images where there is one. Everything is in torch, and differentiable in the features
    unless `differentiable` is false. Scoring an image never depends on other images.

    To add a detector, subclass `FeatureDetector` where one forward pass is enough, `LogitDetector`
    for a formula of the logits, or `Detector`; then import the class in `detectors/__init__.py`.
    """

    has_head: ClassVar[bool]
    """Whether a head can be fitted on attacked images."""
    needs_head: ClassVar[bool]
    """Whether there is no score without a head."""
    differentiable: ClassVar[bool]
    """Whether gradients flow from the score to the features."""
    needs_layers: ClassVar[bool] = True
    """Whether it reads more than the logits: layers of the network must then be visible."""
    needs_dropout: ClassVar[bool] = False
    """Whether the network must have a dropout layer."""

    @final
    def fit(self, reference: Reference) -> FittedDetector:
        """Learn from clean images; ValueError for a reference that nothing can be learned from."""
        return FittedDetector(self, self.learn(reference))

    @abstractmethod
    def learn(self, reference: Reference) -> Learned:
        """The tensors that `statistics` needs."""

    @abstractmethod
    def extras(self, passes: ExtraPasses, learned: Learned) -> Mapping[str, Tensor]:
        """What one forward pass does not give, by name: `(n, m)` each, for `Features.extras`."""

    @abstractmethod
    def statistics(self, features: Features, learned: Learned) -> Tensor:
        """`(n, m)`, each image by itself."""

    @abstractmethod
    def fit_head(self, clean: Tensor, adversarial: Tensor) -> Learned:
        """The head that separates statistics `(n, m)` of clean images from those of attacked ones.

        ValueError where there is no head, or where it cannot be fitted.
        """

    @abstractmethod
    def combine(self, statistics: Tensor, learned: Learned, head: Learned | None) -> Tensor:
        """Scores `(n,)` of statistics `(n, m)`, higher is more suspicious.

        `head` is never None where `needs_head` is true.
        """


class FeatureDetector(Detector):
    """A detector for which one forward pass is enough."""

    @final
    def extras(self, passes: ExtraPasses, learned: Learned) -> Mapping[str, Tensor]:
        """Nothing beyond that pass."""
        return {}


class LogitDetector(Detector):
    """A formula of the logits: nothing is learned and there is no head."""

    has_head: ClassVar[bool] = False
    needs_head: ClassVar[bool] = False
    differentiable: ClassVar[bool] = True
    needs_layers: ClassVar[bool] = False

    @abstractmethod
    def logit_score(self, logits: Tensor) -> Tensor:
        """Scores `(n,)` of logits `(n, k)`, higher is more suspicious."""

    @final
    def learn(self, reference: Reference) -> Learned:
        """Nothing."""
        return {}

    @final
    def extras(self, passes: ExtraPasses, learned: Learned) -> Mapping[str, Tensor]:
        """Nothing beyond one pass."""
        return {}

    @final
    def statistics(self, features: Features, learned: Learned) -> Tensor:
        """The score as `(n, 1)`."""
        return self.logit_score(features.logits)[:, None]

    @final
    def fit_head(self, clean: Tensor, adversarial: Tensor) -> Learned:
        """There is none: ValueError."""
        raise ValueError(f"{type(self).__name__} has no head to fit on attacked images")

    @final
    def combine(self, statistics: Tensor, learned: Learned, head: Learned | None) -> Tensor:
        """The score as it is."""
        return statistics[:, 0]


@dataclass(frozen=True)
class FittedDetector:
    """A detector with what it has learned; it scores images and never changes."""

    detector: Detector
    learned: Learned
    """From the reference."""
    head: Learned | None = None
    """From attacked images; None before `with_head`, and where the detector has no head."""

    def with_head(self, clean: Tensor, adversarial: Tensor) -> FittedDetector:
        """The same detector with a head fitted on `statistics` of clean and of attacked images.

        Attacked images are those of successful attacks on cases that are correct without attack.
        ValueError where either side is empty or the detector has no head.
        """
        if not len(clean) or not len(adversarial):
            raise ValueError("a head needs clean and successfully attacked images, one has 0")
        head = self.detector.fit_head(clean.detach(), adversarial.detach())
        return dataclasses.replace(self, head={k: v.to(self.device) for k, v in head.items()})

    def extras(self, passes: ExtraPasses) -> Mapping[str, Tensor]:
        """What the detector reads beyond one forward pass, for `Features.extras`."""
        return self.detector.extras(passes, self.learned)

    @property
    def device(self) -> torch.device:
        """Where it keeps what it has learned."""
        return next((one.device for one in self.learned.values()), torch.device("cpu"))

    def statistics(self, features: Features) -> Tensor:
        """`(n, m)`, each image by itself."""
        return self.detector.statistics(features, self.learned)

    @torch.no_grad()
    def measure(self, features: Features) -> Tensor:
        """The statistics `(n, m)` on the device of `features`, computed where it has learned."""
        here = features.logits.device
        if here == self.device:
            return self.statistics(features)
        parts = torch.arange(len(features), device=here).split(MEASURED_AT_ONCE)  # type: ignore[no-untyped-call]
        found = [self.statistics(features.take(rows).to(self.device)).to(here) for rows in parts]
        return torch.cat(found)

    def combine(self, statistics: Tensor) -> Tensor:
        """Scores `(n,)` of statistics; RuntimeError where the head is missing that is needed."""
        if self.head is None and self.detector.needs_head:
            name = type(self.detector).__name__
            raise RuntimeError(f"{name} learns from attacked images; fit its head first")
        return self.detector.combine(statistics, self.learned, self.head)

    def score(self, features: Features) -> Tensor:
        """`(n,)`, higher is more suspicious."""
        return self.combine(self.statistics(features))

    def to(self, device: torch.device) -> FittedDetector:
        """The same detector with its tensors on a device."""
        learned = {name: value.to(device) for name, value in self.learned.items()}
        head = self.head and {name: value.to(device) for name, value in self.head.items()}
        return dataclasses.replace(self, learned=learned, head=head)
