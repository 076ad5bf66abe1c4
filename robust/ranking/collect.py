"""What a model says of images: probabilities, features of a layer, adversarial distances."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from attacks import ThreatModel
from attacks.minimum_norm.fmn import FMN
from detectors import Extractor, find_layers
from robust.cases.case import Case, Cases, pixel_hash
from robust.cases.consistency import check_finite
from robust.engine.batch import read_batches
from robust.engine.verified_attack import AttackSetup, attack_batch
from robust.errors import InputError, first_line
from robust.metrics.arrays import Array
from robust.models import Adapter
from robust.models.acceleration.memory import OutOfMemory
from robust.models.preparation import image_template
from robust.progress import Progress
from robust.ranking.contract import Need
from robust.ranking.distance_log import DistanceLog, FoundDistance
from robust.tasks.classification import ANY_ERROR
from robust.tasks.contract import Batch

BATCH = 64
REMEDY = ", or go on without it: --skip-broken"


@dataclass(frozen=True)
class NearestSearch:
    """The search for the nearest image that the model puts into another class."""

    norm: str
    """Linf or L2."""
    steps: int
    """Of FMN."""
    log: DistanceLog
    """Keeps what was found, and knows what was found before."""

    @property
    def attack(self) -> FMN:
        """The attack that searches."""
        return FMN(steps=self.steps)


@dataclass
class Seen:
    """What the model says of the images that could be read, in their order."""

    rows: list[int] = field(default_factory=list)
    """Where each stands among all images."""
    ids: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    pixels: list[str] = field(default_factory=list)
    """Hashes of the displayed images."""
    probabilities: list[Array] = field(default_factory=list)
    features: list[Array] = field(default_factory=list)


def see_images(
    ready: Adapter,
    cases: Cases,
    needs: Collection[Need],
    layer: str | None,
    *,
    skip_broken: bool,
    progress: Progress,
) -> Seen:
    """Show all images to a prepared classifier.

    InputError for an image that cannot be read, unless those are skipped, and for logits that are
    not finite.
    """
    template = image_template(ready)
    reader = _Reader(ready, layer) if {"features", "labelled"} & set(needs) else None
    seen, done = Seen(), 0
    progress(0, len(cases), "images")
    for start in range(0, len(cases), BATCH):
        rows = range(start, min(start + BATCH, len(cases)))
        for part, read, x in read_batches(
            cases, rows, template, skip_broken=skip_broken, remedy=REMEDY
        ):
            _see(ready, seen, part, read, x, reader)
        done += len(rows)
        progress(done, len(cases), "images")
    return seen


def _see(
    ready: Adapter,
    seen: Seen,
    rows: list[int],
    cases: list[Case],
    x: Tensor,
    reader: _Reader | None,
) -> None:
    ids = [case.id for case in cases]
    with torch.no_grad():
        logits, features = reader(x) if reader else (ready(x), None)
    if logits.ndim != 2:
        raise InputError("the model outlines structures; robust rank takes classifiers")
    check_finite(logits, ids=ids)
    seen.rows += rows
    seen.ids += ids
    seen.groups += [case.group for case in cases]
    seen.pixels += [pixel_hash(case.image) for case in cases]
    seen.probabilities += list(logits.double().softmax(1).cpu().numpy())
    if features is not None:
        seen.features += list(features.double().cpu().numpy())


def find_distances(
    ready: Adapter,
    cases: Cases,
    wanted: Mapping[int, str],
    search: NearestSearch,
    *,
    skip_broken: bool,
    progress: Progress,
) -> dict[int, FoundDistance]:
    """The distance of each row that is `wanted`, by the hash of its pixels; InputError as above.

    What the search knows of before is not searched again.
    """
    if not wanted:
        return {}
    known = search.log.known
    new = [row for row, pixels in wanted.items() if pixels not in known]
    template, done = image_template(ready), len(wanted) - len(new)
    progress(done, len(wanted), "distances")
    for start in range(0, len(new), BATCH):
        part = new[start : start + BATCH]
        for rows, read, x in read_batches(
            cases, part, template, skip_broken=skip_broken, remedy=REMEDY
        ):
            with torch.no_grad():
                logits = ready(x)
            batch = Batch(tuple(rows), tuple(read), x, logits.argmax(1), logits.double())
            found = _nearest(ready, batch, search)
            search.log.add(dict(zip((wanted[row] for row in rows), found, strict=True)))
        done += len(part)
        progress(done, len(wanted), "distances")
    gone = FoundDistance(None, "could not be read a second time")
    return {row: known.get(pixels, gone) for row, pixels in wanted.items()}


def _nearest(ready: Adapter, batch: Batch, search: NearestSearch) -> list[FoundDistance]:
    """The verified distance of each image; a batch that does not fit into memory is halved."""
    attack, threat = search.attack, ThreatModel(search.norm, float("inf"))
    setup = AttackSetup(attack, attack.stream_key, threat, ANY_ERROR, seed=0)
    try:
        _, outcomes = attack_batch(ready, setup, batch)
    except OutOfMemory:
        half = len(batch.rows) // 2
        if not half:
            raise InputError(f"memory ran out on one image, {batch.cases[0].id}") from None
        every = range(len(batch.rows))
        parts = (list(every[:half]), list(every[half:]))
        return [one for part in parts for one in _nearest(ready, batch.take(part), search)]
    found = []
    for outcome in outcomes:
        if outcome.success:
            found.append(FoundDistance(float(outcome.distance(search.norm))))
        else:
            why = f"the attack failed: {outcome.failure}" if outcome.failure else ""
            found.append(FoundDistance(None, why or "the attack found no image of another class"))
    return found


class _Reader:
    """Logits and the features of one layer: the one named, else the input of the head."""

    def __init__(self, ready: Adapter, layer: str | None) -> None:
        self._ready, self._layer = ready, layer
        self._extract: Extractor | None = None

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits `(n, k)` and features `(n, d)`; InputError for a layer that is not there."""
        try:
            if self._extract is None:
                layer = self._layer or find_layers(self._ready, x)[-1]
                self._extract = Extractor(self._ready, [layer])
            features = self._extract(x)
        except ValueError as error:
            raise InputError(f"{first_line(error)}; name a layer: --layer") from None
        return features.logits, features.deep


def in_one_array(parts: list[Array], width: int = 0) -> Array:
    """Rows as one array `(n, d)`; `(0, width)` without any."""
    return np.stack(parts) if parts else np.zeros((0, width))
