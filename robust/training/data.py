"""Training batches: images decoded once and kept in memory, in an order fixed by the seed."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from attacks.streams import stream_seed
from robust.cases import Cases
from robust.errors import InputError
from robust.models import Classifier
from robust.training.augmentation import augment
from robust.training.recipe import AugmentationSpec

CACHE_BYTES = 2 << 30
"""Bytes of decoded images in memory; images beyond it are read again every epoch."""


class ImageBatch(NamedTuple):
    """A batch, or one process's part of it."""

    x: Tensor
    """Images `(n, c, h, w)` uint8."""
    y: Tensor
    """Labels `(n,)`."""
    rows: Tensor
    """Rows in the set `(n,)`."""
    whole: Tensor
    """Labels of the whole batch `(m,)`, of which the other processes have the rest."""


class Images(Dataset[Tensor]):
    """Images `(c, h, w)` uint8 by row, at the classifier's input size.

    They are resized here, once, as the classifier would: a ball around the resized image holds all
    that an attack on the displayed one can do to the network, since resizing averages.
    """

    def __init__(self, cases: Cases, classifier: Classifier, budget: int = CACHE_BYTES) -> None:
        self.cases = cases
        self.labels = torch.tensor([entry.label for entry in cases.entries])
        self.ids = [entry.id for entry in cases.entries]
        self.size = classifier.size
        # The classifier without its network: the resizing alone, so that it is one and the same.
        self._resizer = Classifier(
            nn.Identity(),
            size=classifier.size,
            fit=classifier.fit,
            interpolation=classifier.interpolation,
        )
        self._budget = budget
        self._cache: dict[int, Tensor] = {}
        self._bytes = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self.cases)

    def __getitem__(self, row: int) -> Tensor:
        image = self._cache.get(row)
        if image is None:
            image = self._read(row)
            with self._lock:
                if row not in self._cache and self._bytes + image.numel() <= self._budget:
                    self._cache[row] = image
                    self._bytes += image.numel()
        return image

    def __getstate__(self) -> dict[str, Any]:
        """Another process reads its own images."""
        return {k: v for k, v in self.__dict__.items() if k != "_lock"} | {
            "_cache": {},
            "_bytes": 0,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()

    def _read(self, row: int) -> Tensor:
        image: Tensor = self.cases[row].image
        if self.size is not None and tuple(image.shape[1:]) != self.size:
            image = self._resizer._resize(image[None], self.size)[0]
        return (image * 255).round_().clamp_(0, 255).to(torch.uint8)


@dataclass
class Batches:
    """The batches of one epoch; iterating prepares the next ones in the background.

    The order comes from the seed and the epoch, an image's variant from these and the case's id:
    threads, processes and what was drawn before change neither. Of several processes each takes
    its share of every batch, so that all take the same number of steps.
    """

    images: Images
    batch: int
    epoch: int = 0
    seed: int = 0
    augmentation: AugmentationSpec | None = None
    shuffle: bool = False
    share: tuple[int, int] = (0, 1)
    """Which process, of how many."""
    threads: int = 1
    pin: bool = False

    def __len__(self) -> int:
        return steps_per_epoch(len(self.images), self.batch)

    def rows(self) -> list[Tensor]:
        """The rows that this process takes of each batch."""
        return [self._part(whole) for whole in self._whole()]

    def _whole(self) -> list[Tensor]:
        """The rows of each batch; batches differ by one in size, and none is left over."""
        n = len(self.images)
        order = torch.arange(n)
        if self.shuffle:
            order = torch.randperm(n, generator=_generator(self.seed, "order", self.epoch))
        return list(order.tensor_split(len(self)))

    def _part(self, whole: Tensor) -> Tensor:
        rank, world = self.share
        return whole[rank::world]

    def __iter__(self) -> Iterator[ImageBatch]:
        with ThreadPoolExecutor(self.threads, thread_name_prefix="batches") as pool:
            waiting: list[Future[ImageBatch]] = []
            try:
                for whole in self._whole():
                    waiting.append(pool.submit(self._make, whole))
                    if len(waiting) > self.threads + 1:
                        yield waiting.pop(0).result()
                while waiting:
                    yield waiting.pop(0).result()
            finally:
                for future in waiting:
                    future.cancel()

    def _make(self, whole: Tensor) -> ImageBatch:
        rows, labels = self._part(whole), self.images.labels
        x = stack([self._variant(int(row)) for row in rows])
        return ImageBatch(x.pin_memory() if self.pin else x, labels[rows], rows, labels[whole])

    def _variant(self, row: int) -> Tensor:
        image = self.images[row]
        if self.augmentation is None:
            return image
        generator = _generator(self.seed, "augmentation", self.epoch, self.images.ids[row])
        return augment(image, self.augmentation, generator)


def steps_per_epoch(cases: int, batch: int) -> int:
    """Batches in an epoch, at least 1."""
    return max(1, -(-cases // batch))


def smallest_batch(cases: int, batch: int) -> int:
    """Cases in the smallest batch of an epoch: batches differ by one in size."""
    return cases // steps_per_epoch(cases, batch)


def stack(images: Sequence[Tensor]) -> Tensor:
    """Images to a batch; grey ones among colour become colour. InputError where sizes differ."""
    sizes = {tuple(image.shape[1:]) for image in images}
    if len(sizes) > 1:
        (a, b), (c, d) = sorted(sizes)[:2]
        raise InputError(f"the images differ in size ({a}x{b}, {c}x{d}); set size in [network]")
    if len({len(image) for image in images}) > 1:
        images = [image.expand(3, -1, -1) for image in images]
    return torch.stack(list(images))


def class_weights(labels: Tensor, classes: int) -> Tensor:
    """Weights that give all classes the same total weight: `(classes,)`, float32."""
    counts = torch.bincount(labels, minlength=classes)
    return len(labels) / (classes * counts.clamp_min(1).float())


def _generator(*parts: object) -> torch.Generator:
    return torch.Generator().manual_seed(stream_seed(*parts))
