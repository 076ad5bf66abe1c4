"""Ranks unlabelled images for an annotator: `rank_images`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from attacks.streams import call_text
from robust.cases.case import Cases
from robust.engine.batch import first_images
from robust.errors import InputError
from robust.metrics.arrays import Places
from robust.models import Classifier, choose_device, full_precision, prepare, weights_hash
from robust.models.gradients.gradient_free import has_gradients
from robust.models.preparation import require_classifier
from robust.progress import Progress
from robust.ranking.collect import (
    BATCH,
    NearestSearch,
    Seen,
    find_distances,
    in_one_array,
    see_images,
)
from robust.ranking.combine import SHORTLIST, RankSum, rows_to_search
from robust.ranking.contract import Criterion, Pool
from robust.ranking.criteria.adversarial_distance import AdversarialDistance
from robust.ranking.distance_log import DistanceLog, FoundDistance
from robust.ranking.registry import make_criterion, single_criteria

NORMS = ("L2", "Linf")
"""Norms that FMN measures in."""
STEPS = 100
"""Of FMN, for each image."""


@dataclass(frozen=True)
class RankedImage:
    """One unlabelled image in its place."""

    rank: int
    """From 1: to be labelled first."""
    id: str
    prediction: str
    """The predicted class."""
    probability: float
    """Of that class, in [0, 1]."""
    values: tuple[float | None, ...]
    """One for each column of `RankedImages`; None where the criterion says nothing."""
    note: str = ""
    """Why a value is missing, or why the image comes last."""


@dataclass(frozen=True)
class RankedImages:
    """All images in the order in which to label them."""

    columns: tuple[str, ...]
    """Names of the values, with their units in brackets."""
    images: tuple[RankedImage, ...]
    skipped: int
    """How many could not be read."""
    log: DistanceLog
    """Of the distances that are kept beside the table."""

    def written(self) -> None:
        """The table is written: remove what was kept beside it."""
        self.log.finish()


def rank_images(
    model: Classifier,
    images: Cases,
    *,
    by: str | Sequence[str] = "distance",
    labelled: Cases | None = None,
    top: int | None = None,
    norm: str = "L2",
    steps: int = STEPS,
    layer: str | None = None,
    shortlist: float = SHORTLIST,
    per_group: int | None = None,
    seed: int = 0,
    device: str = "auto",
    skip_broken: bool = False,
    classes: Sequence[str] = (),
    table: Path | None = None,
    progress: Progress = lambda done, total, label: None,
) -> RankedImages:
    """Rank images by how much their labels are expected to teach the model; labels are not read.

    `by` names criteria of `robust.ranking.registry`: several are joined by the sum of their ranks,
    `a+b` orders by b the `shortlist` (a share, never fewer than `top`) that a puts first; with
    `margin+distance` the shortlist alone is attacked. `labelled` are the images that the model has
    learned from, for distances of features of `layer`. `top` is how many are to be labelled, by
    default all. With `per_group` so many images of a patient come before further ones of any.
    Beside `table` the distances found so far are kept, so that a search that was killed goes on.
    Copies of labelled images and of images ranked before come last. Raises InputError.
    """
    names = (by,) if isinstance(by, str) else by
    criterion = make_criterion(names, shortlist=shortlist, least=top or 0, seed=seed)
    _check(norm, steps, top, per_group, criterion, labelled)
    require_classifier(model)
    where = choose_device(device)
    first = first_images(images, range(len(images)), BATCH)
    ready = prepare(model, where, images=first)
    if "distances" in criterion.needs and not has_gradients(ready):
        raise InputError(
            "adversarial distances need gradients, and this model gives none; rank by margin, "
            "entropy or feature-distance"
        )
    log = DistanceLog(
        table if "distances" in criterion.needs else None,
        {
            "weights": weights_hash(ready),
            "model": str(ready.describe()),
            "search": call_text("FMN", norm=norm, steps=steps),
        },
    )
    with full_precision():
        seen = see_images(
            ready, images, criterion.needs, layer, skip_broken=skip_broken, progress=progress
        )
        known = Seen()
        if labelled is not None and "features" in criterion.needs:
            known = see_images(
                ready, labelled, {"features"}, layer, skip_broken=skip_broken, progress=progress
            )
        if not seen.ids:
            raise InputError("none of the images could be read")
        classes = _class_names(ready, classes, len(seen.probabilities[0]))
        copies = _copies(seen, known)
        unique = np.array([row for row in range(len(seen.ids)) if row not in copies], np.int64)
        pool = _pool(seen, known)
        searched = unique[rows_to_search(criterion, pool.take(unique))]
        found = find_distances(
            ready,
            images,
            {seen.rows[row]: seen.pixels[row] for row in searched},
            NearestSearch(norm, steps, log),
            skip_broken=skip_broken,
            progress=progress,
        )
    distances = {row: found[seen.rows[row]] for row in searched.tolist()}
    count = len(seen.ids) if top is None else min(top, len(seen.ids))
    every = _ranked(
        seen, _with_distances(pool, distances), unique, criterion, classes, count, per_group
    )
    notes = {seen.ids[row]: one.why for row, one in distances.items()}
    notes |= {seen.ids[row]: why for row, why in copies.items()}
    told = tuple(replace(one, note=notes.get(one.id, "")) for one in every[:count])
    columns = tuple(_column(one, norm) for one in _shown(criterion))
    return RankedImages(columns, told, len(images) - len(seen.ids), log)


def _check(
    norm: str,
    steps: int,
    top: int | None,
    per_group: int | None,
    criterion: Criterion,
    labelled: Cases | None,
) -> None:
    if norm not in NORMS:
        raise InputError(f"distances are measured in {' or '.join(NORMS)}, not in {norm!r}")
    for name, value in {"steps": steps, "top": top, "per_group": per_group}.items():
        if value is not None and value < 1:
            raise InputError(f"{name} must be 1 or more, not {value}")
    if "labelled" in criterion.needs and not labelled:
        raise InputError(
            f"{criterion.name} measures distances to the labelled images; name them: --labelled, "
            f"or rank by feature-distance"
        )
    if labelled is not None and "features" not in criterion.needs:
        raise InputError(
            f"{criterion.name} does not look at labelled images; leave them out, or rank by "
            f"feature-distance or o-medal"
        )


def _class_names(ready: Classifier, classes: Sequence[str], count: int) -> tuple[str, ...]:
    given = tuple(classes or ready.output_names or ())
    if given and len(given) != count:
        raise InputError(
            f"the model has {count} outputs, and {len(given)} classes are named "
            f"({', '.join(given)}); name them all, in the order of the outputs"
        )
    return given or tuple(str(number) for number in range(count))


def _ranked(
    seen: Seen,
    pool: Pool,
    unique: Places,
    criterion: Criterion,
    names: Sequence[str],
    count: int,
    per_group: int | None,
) -> list[RankedImage]:
    """The `unique` rows in order, then the others by id, which have no values."""
    within = pool.take(unique)
    most = len(unique) if per_group is not None else min(count, len(unique))
    order = unique[criterion(within, most).order]
    if per_group is not None:
        order = spread_over_groups(order, seen.groups, per_group)
    values = np.full((len(pool), len(_shown(criterion))), np.nan)
    for column, one in enumerate(_shown(criterion)):
        values[unique, column] = one(within, most).values
    others = sorted(set(range(len(pool))) - set(order.tolist()), key=lambda row: seen.ids[row])
    found = []
    for place, row in enumerate([*order.tolist(), *others]):
        chances = pool.probabilities[row]
        found.append(
            RankedImage(
                place + 1,
                seen.ids[row],
                names[int(chances.argmax())],
                float(chances.max()),
                tuple(None if np.isnan(value) else float(value) for value in values[row]),
            )
        )
    return found


def _pool(seen: Seen, known: Seen) -> Pool:
    features = np.stack(seen.features) if seen.features else None
    return Pool(
        tuple(seen.ids),
        np.stack(seen.probabilities),
        features,
        None if features is None else in_one_array(known.features, features.shape[1]),
    )


def _with_distances(pool: Pool, found: Mapping[int, FoundDistance]) -> Pool:
    distances = np.full(len(pool), np.nan)
    for row, one in found.items():
        if one.distance is not None:
            distances[row] = one.distance
    return replace(pool, distances=distances)


def _copies(seen: Seen, known: Seen) -> dict[int, str]:
    """Rows whose pixels are labelled already or occur under an earlier id, with the reason."""
    labelled = dict(zip(known.pixels, known.ids, strict=True))
    first: dict[str, str] = {}
    found: dict[int, str] = {}
    for row in sorted(range(len(seen.ids)), key=lambda row: seen.ids[row]):
        pixels = seen.pixels[row]
        if pixels in labelled:
            found[row] = f"same pixels as the labelled {labelled[pixels]}"
        elif pixels in first:
            found[row] = f"same pixels as {first[pixels]}"
        else:
            first[pixels] = seen.ids[row]
    return found


def spread_over_groups(order: Places, groups: Sequence[str], per_group: int) -> Places:
    """Rows in the same order, but no group's next `per_group` images before all others had theirs.

    `groups` are those of all rows. The first `per_group` images of each group keep their order
    among themselves, then come the next ones.
    """
    taken: dict[str, int] = {}
    turns = []
    for row in order.tolist():
        turns.append(taken.get(groups[row], 0) // per_group)
        taken[groups[row]] = taken.get(groups[row], 0) + 1
    turned: Places = order[np.argsort(np.array(turns, np.int64), kind="stable")]
    return turned


def _shown(criterion: Criterion) -> list[Criterion]:
    """The criteria whose values the table has: the parts, and a sum of ranks itself."""
    parts = single_criteria(criterion)
    return parts if criterion in parts else [*parts, criterion]


def _column(criterion: Criterion, norm: str) -> str:
    if isinstance(criterion, RankSum):
        return criterion.unit
    unit = criterion.unit.replace(AdversarialDistance.unit, f"{norm}, pixels from 0 to 1")
    return f"{criterion.name} ({unit})"
