"""Training batches: images decoded once and kept in memory, in an order fixed by the seed."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset

from attacks.streams import stream_seed
from robust.cases import Cases
from robust.cases.case import NOT_OUTLINED
from robust.errors import InputError
from robust.models.adapter import Adapter
from robust.training.augmentation import Sample, augment, pad_behind, random_crop
from robust.training.network import resizing_alone
from robust.training.recipe import AugmentationSpec

CACHE_BYTES = 2 << 30
"""Bytes of decoded images in memory; images beyond it are read again every epoch."""


class ImageBatch(NamedTuple):
    """A batch, or one process's part of it."""

    x: Tensor
    """Images `(n, c, *space)` uint8."""
    y: Tensor
    """Labels `(n,)`, or masks uint8 as in `Case.mask`."""
    rows: Tensor
    """Rows in the set `(n,)`."""
    whole: Tensor
    """Labels of the whole batch `(m,)`, of which the other processes have the rest."""
    masks: Tensor | None = None
    """Where labels are classes, the masks of the images, as in `Case.mask`; None without any."""


class Images(Dataset[Sample]):
    """Images and their masks by row, at the input size of an adapter.

    They are resized here, once, as the adapter would: a ball around the resized image holds all
    that an attack on the displayed one can do to the network, since resizing averages.
    """

    def __init__(self, cases: Cases, adapter: Adapter, budget: int = CACHE_BYTES) -> None:
        self.cases = cases
        self.labels = torch.tensor([entry.label for entry in cases.entries])
        self.ids = [entry.id for entry in cases.entries]
        self._resizer = resizing_alone(adapter)
        self._budget = budget
        self._cache: dict[int, Sample] = {}
        self._bytes = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self.cases)

    def __getitem__(self, row: int) -> Sample:
        sample = self._cache.get(row)
        if sample is None:
            sample = self._read(row)
            size = sum(part.numel() for part in sample if part is not None)
            with self._lock:
                if row not in self._cache and self._bytes + size <= self._budget:
                    self._cache[row] = sample
                    self._bytes += size
        return sample

    def __getstate__(self) -> dict[str, Any]:
        """Another process reads its own images."""
        return {k: v for k, v in self.__dict__.items() if k != "_lock"} | {
            "_cache": {},
            "_bytes": 0,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()

    def batch(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Images and labels or masks at these rows, as in `ImageBatch`."""
        x, masks = self.collated([self[int(row)] for row in rows])
        return x, self.labels_of(rows, masks)

    def collated(self, samples: Sequence[Sample]) -> tuple[Tensor, Tensor | None]:
        """The images of samples, and their masks; InputError where classes differ in size."""
        return collate(samples, pads=self.cases.outlines is not None)

    def labels_of(self, rows: Tensor, masks: Tensor | None) -> Tensor:
        """The labels at these rows: the masks where these are what is learned."""
        if self.cases.outlines is None or masks is None:
            return self.labels[rows]
        return masks

    def of_one_size(self, rows: Tensor) -> list[Tensor]:
        """The rows in parts whose images have one size, which a batch does not pad."""
        places: dict[tuple[int, ...], list[int]] = {}
        for row in rows.tolist():
            places.setdefault(tuple(self[row].image.shape[1:]), []).append(row)
        return [torch.tensor(part) for part in places.values()]

    def _read(self, row: int) -> Sample:
        case = self.cases[row]
        image = self._resizer.network_input(case.image[None])[0]
        levels = (image * 255).round_().clamp_(0, 255).to(torch.uint8)
        if case.mask is None:
            return Sample(levels)
        space, axes = image.shape[1:], image.ndim - 1
        layers = case.mask.view(1, -1, *case.mask.shape[-axes:])
        resized = F.interpolate(layers, tuple(space), mode="nearest-exact")
        return Sample(levels, resized.view(*case.mask.shape[:-axes], *space))


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
    crop: tuple[int, ...] | None = None
    """Pixels of the random part of each image to take; None: the whole image."""
    repeats: int = 1
    """How often each image is shown."""
    shuffle: bool = False
    share: tuple[int, int] = (0, 1)
    """Which process, of how many."""
    threads: int = 1
    pin: bool = False

    def __len__(self) -> int:
        return steps_per_epoch(self.repeats * len(self.images), self.batch)

    def rows(self) -> list[Tensor]:
        """The rows that this process takes of each batch."""
        return [self._part(whole) % len(self.images) for whole in self._whole()]

    def _whole(self) -> list[Tensor]:
        """What is in each batch; batches differ by one in size, and none is left over.

        A number is a row plus so many times their count as the image was shown before.
        """
        n = self.repeats * len(self.images)
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
        part, labels, n = self._part(whole), self.images.labels, len(self.images)
        rows = part % n
        x, masks = self.images.collated([self._variant(int(number)) for number in part])
        y = self.images.labels_of(rows, masks)
        beside = None if y is masks else masks
        shown = x.pin_memory() if self.pin else x
        return ImageBatch(shown, y, rows, labels[whole % n], beside)

    def _variant(self, number: int) -> Sample:
        shown, row = divmod(number, len(self.images))
        sample = self.images[row]
        if self.augmentation is None and self.crop is None:
            return sample
        again = (shown,) if shown else ()
        case = self.images.ids[row]
        if self.augmentation is not None:
            generator = _generator(self.seed, "augmentation", self.epoch, case, *again)
            sample = augment(sample, self.augmentation, generator)
        if self.crop is not None:
            generator = _generator(self.seed, "crop", self.epoch, case, *again)
            sample = random_crop(sample, self.crop, generator)
        return sample


def steps_per_epoch(cases: int, batch: int) -> int:
    """Batches in an epoch, at least 1."""
    return max(1, -(-cases // batch))


def smallest_batch(cases: int, batch: int) -> int:
    """Cases in the smallest batch of an epoch: batches differ by one in size."""
    return cases // steps_per_epoch(cases, batch)


def collate(samples: Sequence[Sample], *, pads: bool) -> tuple[Tensor, Tensor | None]:
    """A batch of images, and of masks where there are some.

    Grey images among colour become colour. Images that differ in size are padded with black, which
    does not count in a mask; InputError where it may not be (`pads`).
    """
    images = [sample.image for sample in samples]
    masks = [sample.mask for sample in samples if sample.mask is not None]
    sizes = {tuple(image.shape[1:]) for image in images}
    if len(sizes) > 1 and not pads:
        one, other = ("x".join(map(str, size)) for size in sorted(sizes)[:2])
        raise InputError(f"the images differ in size ({one}, {other}); set size in [network]")
    if len({len(image) for image in images}) > 1:
        images = [image.expand(3, *image.shape[1:]) for image in images]
    if len(sizes) > 1:
        largest = tuple(map(max, zip(*sizes, strict=True)))
        images = [pad_behind(image, largest, 0) for image in images]
        masks = [pad_behind(mask, largest, NOT_OUTLINED) for mask in masks]
    return torch.stack(images), torch.stack(masks) if masks else None


def class_weights(labels: Tensor, classes: int) -> Tensor:
    """Weights that give all classes the same total weight: `(classes,)`, float32."""
    counts = torch.bincount(labels, minlength=classes)
    return len(labels) / (classes * counts.clamp_min(1).float())


def _generator(*parts: object) -> torch.Generator:
    return torch.Generator().manual_seed(stream_seed(*parts))
