"""Predictions of corrupted images on a sample of cases; each batch is stored once it is done."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from attacks.streams import Streams
from robust.cases.case import Case, sample_rows
from robust.corruptions.contract import Corruption
from robust.engine.batch import first_images, read_batches
from robust.engine.run_memory import CORRUPTED, CorruptedCases
from robust.engine.session import Session
from robust.errors import InputError
from robust.metrics.arrays import Array
from robust.models import Adapter, prepare
from robust.models.preparation import image_template

T = TypeVar("T")

BATCH_SIZE = 32
"""Images that are read and corrupted together, at most."""
MAX_PIXELS = 2**25
"""Pixel values of them, at most (an eighth of a gigabyte)."""
CLEAN = "none"
"""The kind of clean images, at severity 0."""


@dataclass(frozen=True)
class CorruptedSample:
    """Cases with a readable image, right or wrong when clean, drawn from all of a run."""

    rows: list[int]
    """Their rows, ascending."""
    clean: Array
    """`(n, a)`: what the task keeps of their clean predictions."""

    @classmethod
    def of(cls, session: Session, limit: int, seed: int) -> CorruptedSample:
        """At most `limit` cases, stratified by class and group."""
        known = {one.row: one.kept for one in session.store.clean() if one.kept is not None}
        rows = sorted(sample_rows(session.cases.entries, list(known), limit, seed))
        return cls(rows, np.stack([known[row] for row in rows]))


@dataclass(frozen=True)
class Corrupted:
    """The cases of a sample under one kind of corruption at one severity."""

    kept: Array
    """`(n, a)`: what the task keeps of the predictions."""
    reference: Array | None
    """The same of the reference model; None without one."""
    l2: Array
    """`(n,)`: distances from the clean images."""
    linf: Array


@dataclass(frozen=True)
class Predictions:
    """The sample, clean and under every kind and severity."""

    clean: Array
    """`(n, a)`: what the task keeps of the clean predictions."""
    clean_reference: Array | None
    """The same of the reference model; None without one."""
    corrupted: dict[tuple[str, int], Corrupted]
    """By name and severity, kind after kind."""


def predict_corrupted(
    session: Session,
    sample: CorruptedSample,
    kinds: Sequence[Corruption],
    severities: Sequence[int],
    seed: int,
) -> Predictions:
    """Predict the sample under every kind and severity; what the run remembers is not made again.

    InputError where a model does not answer, or the reference model answers another question.
    """
    return _Predicting(session, kinds, severities, seed).run(sample)


@dataclass(frozen=True)
class _Images:
    """Cases of one shape, with their images."""

    rows: list[int]
    cases: list[Case]
    x: Tensor


class _Predicting:
    """One run over the sample."""

    def __init__(
        self, session: Session, kinds: Sequence[Corruption], severities: Sequence[int], seed: int
    ) -> None:
        self.session, self.kinds, self.severities, self.seed = session, kinds, severities, seed
        self.like = image_template(session.classifier)

    def run(self, sample: CorruptedSample) -> Predictions:
        """Batch by batch, so that an image is read once for all kinds."""
        reference = self._reference(sample.rows)
        looks = [(one, severity) for one in self.kinds for severity in self.severities]
        found: dict[tuple[str, int], list[CorruptedCases]] = {
            (one.name, severity): [] for one, severity in looks
        }
        clean: list[CorruptedCases] = []
        parts = self._parts(sample.rows)
        store = self.session.store
        for number, rows in enumerate(parts):
            images = functools.cache(functools.partial(self._read, rows))

            def measured(
                one: Corruption | None,
                severity: int,
                number: int = number,
                images: Callable[[], list[_Images]] = images,
            ) -> CorruptedCases:
                memo = CORRUPTED.of(CLEAN if one is None else one.name, severity, number)
                return store.memo(memo, lambda: self._measure(images(), reference, one, severity))

            if reference is not None:
                clean.append(measured(None, 0))
            for place, (one, severity) in enumerate(looks):
                done = (number + place / len(looks)) / len(parts)
                self.session.progress(done, 1.0, f"{one.name}, severity {severity}")
                found[one.name, severity].append(measured(one, severity))
        return Predictions(
            sample.clean,
            _joined([one.reference for one in clean]),
            {key: _corrupted(every) for key, every in found.items()},
        )

    def _parts(self, rows: list[int]) -> list[list[int]]:
        """The rows cut into batches, by the size of the first image."""
        values = self.session.cases[rows[0]].image.numel()
        size = max(1, min(BATCH_SIZE, MAX_PIXELS // values))
        return [rows[start : start + size] for start in range(0, len(rows), size)]

    def _read(self, rows: list[int]) -> list[_Images]:
        return [
            _Images(*part)
            for part in read_batches(self.session.cases, rows, self.like, size=len(rows))
        ]

    def _measure(
        self,
        images: list[_Images],
        reference: Adapter | None,
        corruption: Corruption | None,
        severity: int,
    ) -> CorruptedCases:
        """What both models answer for some cases, in the order of their rows; None: clean images.

        Of clean images the reference model alone is asked.
        """
        rows, kept, other, l2, linf = [], [], [], [], []
        for part in images:
            x = part.x if corruption is None else self._corrupted(part, corruption, severity)
            change = (x.double() - part.x.double()).flatten(1)
            rows += part.rows
            l2 += change.norm(dim=1).tolist()
            linf += change.abs().amax(1).tolist()
            what = "clean images" if corruption is None else f"{corruption.name} at {severity}"
            if corruption is not None:
                kept += self._kept(self.session.runner.logits, part, x, f"the model, {what}")
            if reference is not None:
                other += self._kept(
                    _at_its_type(reference), part, x, f"the reference of corruptions, {what}"
                )
        order = np.argsort(rows).tolist()
        return CorruptedCases(*(_ordered(one, order) for one in (kept, other, l2, linf)))

    def _corrupted(self, part: _Images, corruption: Corruption, severity: int) -> Tensor:
        ids = [case.id for case in part.cases]
        streams = Streams.of(self.seed, ids, "corruption", corruption.name, severity)
        return corruption(part.x, severity, streams)

    @torch.no_grad()
    def _kept(
        self, logits_of: Callable[[Tensor], Tensor], part: _Images, x: Tensor, what: str
    ) -> list[list[float]]:
        task = self.session.task
        try:
            logits = logits_of(x)
            task.check(logits, part.cases)
        except InputError as error:
            raise InputError(f"{what}: {error}") from None
        kept: list[list[float]] = task.keep(logits, part.cases).tolist()
        return kept

    def _reference(self, rows: list[int]) -> Adapter | None:
        """The reference model, its head recognised on the sample."""
        other = self.session.corruption_reference
        if other is None:
            return None
        images = first_images(self.session.cases, rows, BATCH_SIZE)
        try:
            return prepare(other, self.like.device, images=images)
        except InputError as error:
            raise InputError(f"the reference of corruptions does not fit: {error}") from None


def _at_its_type(model: Adapter) -> Callable[[Tensor], Tensor]:
    """The logits of a model for images of another type of number."""
    like = image_template(model)

    def logits(x: Tensor) -> Tensor:
        out: Tensor = model(x.to(like)).to(x.dtype)
        return out

    return logits


def _ordered(values: list[T], order: list[int]) -> list[T]:
    """Values by row; none where a model was not asked."""
    return [values[place] for place in order] if values else []


def _corrupted(parts: Sequence[CorruptedCases]) -> Corrupted:
    kept = _joined([one.kept for one in parts])
    assert kept is not None  # every batch was predicted
    return Corrupted(
        kept,
        _joined([one.reference for one in parts]),
        np.concatenate([one.l2 for one in parts]),
        np.concatenate([one.linf for one in parts]),
    )


def _joined(parts: Sequence[list[list[float]]]) -> Array | None:
    """The rows of all batches `(n, a)`; None where there are none."""
    rows = [row for part in parts for row in part]
    return np.array(rows, np.float64) if rows else None
