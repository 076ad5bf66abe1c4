"""Batches: cases whose images have one shape, read as tensors."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from robust.cases.case import Case, Cases, sample_rows
from robust.errors import InputError
from robust.metrics.arrays import Array
from robust.models.acceleration.cuda_graphs import RECORDING
from robust.tasks.contract import Batch, Task

_log = logging.getLogger(__name__)


def places_by_shape(images: Iterable[Tensor]) -> list[list[int]]:
    """Places of the images of each shape, shapes in the order of their first image."""
    shapes: dict[tuple[int, ...], list[int]] = {}
    for place, image in enumerate(images):
        shapes.setdefault(tuple(image.shape), []).append(place)
    return list(shapes.values())


def group_by_shape(cases: Iterable[tuple[int, Case]]) -> list[list[tuple[int, Case]]]:
    """Rows and cases with images of one shape together, shapes in the order of their first case."""
    every = list(cases)
    shapes = places_by_shape(case.image for _, case in every)
    return [[every[place] for place in places] for places in shapes]


def stack_images(cases: Iterable[tuple[int, Case]], like: Tensor) -> Tensor:
    """The images of cases of one shape `(n, c, h, w)`, on the device and of the type of `like`.

    For a GPU they go through page-locked memory, so that nothing waits for the copy.
    """
    images = [case.image for _, case in cases]
    if not like.is_cuda:
        return torch.stack(images).to(like)
    with RECORDING:
        shape = (len(images), *images[0].shape)
        locked = torch.empty(shape, dtype=images[0].dtype, pin_memory=True)
        torch.stack(images, out=locked)
        return locked.to(like.device, like.dtype, non_blocking=True)


def make_batches(
    cases: Iterable[tuple[int, Case]], clean: Mapping[int, Array], like: Tensor, task: Task
) -> list[Batch]:
    """One batch for each image shape; `clean` holds by row what is kept of clean predictions."""
    batches = []
    for shaped in group_by_shape(cases):
        kept = np.stack([clean[row] for row, _ in shaped])
        batches.append(
            Batch(
                rows=tuple(row for row, _ in shaped),
                cases=tuple(case for _, case in shaped),
                x=stack_images(shaped, like),
                y=task.labels([case for _, case in shaped], like),
                kept=torch.from_numpy(kept).to(like.device),
            )
        )
    return batches


def first_images(cases: Cases, rows: Sequence[int], size: int) -> Tensor | None:
    """The first images of one shape `(n, c, h, w)` among `rows`, read `size` at a time.

    They are for `prepare`, to recognise a classifier's head on. Images that cannot be read are
    passed over without a word; None where none can be read.
    """
    for start in range(0, len(rows), size):
        part = enumerate(cases.stream(rows[start : start + size]))
        readable = [(place, case) for place, case in part if not isinstance(case, InputError)]
        if readable:
            return torch.stack([case.image for _, case in group_by_shape(readable)[0]])
    return None


def sample_images(cases: Cases, count: int) -> list[Tensor]:
    """A sample of at most so many images of the cases: a batch `(n, c, h, w)` for each shape.

    Images that cannot be read are passed over without a word.
    """
    rows = sample_rows(cases.entries, range(len(cases)), count)
    every = zip(rows, cases.stream(rows), strict=True)
    readable = [(row, case) for row, case in every if not isinstance(case, InputError)]
    return [torch.stack([case.image for _, case in one]) for one in group_by_shape(readable)]


def read_batches(
    cases: Cases,
    rows: Sequence[int],
    like: Tensor,
    *,
    size: int = 64,
    skip_broken: bool = False,
    remedy: str = "",
) -> Iterator[tuple[list[int], list[Case], Tensor]]:
    """Rows, cases and images `(n, c, h, w)` of one shape, on the device and of the type of `like`.

    At most `size` at a time. InputError for an image that cannot be read, with `remedy` behind it.
    """
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        good: list[tuple[int, Case]] = []
        for row, case in zip(part, cases.stream(part), strict=True):
            if not isinstance(case, InputError):
                good.append((row, case))
            elif skip_broken:
                _log.warning("robust: skipped: %s", case)
            else:
                raise InputError(f"{case}{remedy}")
        for shaped in group_by_shape(good):
            yield (
                [row for row, _ in shaped],
                [case for _, case in shaped],
                stack_images(shaped, like),
            )
