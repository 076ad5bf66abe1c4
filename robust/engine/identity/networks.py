"""Networks of a run must stay what they were: a few images are predicted again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from robust.cases.case import Case, Cases
from robust.engine.batch import group_by_shape, stack_images
from robust.engine.run_memory import Memo
from robust.engine.run_store import CleanPrediction, RunStore
from robust.errors import InputError
from robust.metrics.arrays import Array
from robust.models import Adapter
from robust.models.preparation import image_template
from robust.tasks.contract import Task

IMAGES = 8
"""Images that are predicted again."""
MOST_OUTPUTS = 1024
"""Outputs of an image that are kept of another network; of a dense one, every so many."""
TOLERANCE = 1e-3
"""Largest difference, as a share of the spread of the outputs: another processor stays below it."""


def require_same_network(
    classifier: Adapter, cases: Cases, task: Task, clean: Sequence[CleanPrediction]
) -> None:
    """InputError where the classifier predicts otherwise than `clean`, the first chunk of a run.

    The hash of the weights does not show that the code of a network has changed.
    """
    known = {one.row: one.kept for one in clean if one.kept is not None}
    # Where outputs depend on the batch, only the batches of the run itself give the same again.
    for rows in (list(known)[:IMAGES], list(known)):
        if _is_same(classifier, cases, task, {row: known[row] for row in rows}):
            return
    raise _changed("the network")


def _is_same(classifier: Adapter, cases: Cases, task: Task, known: Mapping[int, Array]) -> bool:
    """Whether predictions of these rows are those known, in one batch for each image shape."""
    for shaped in group_by_shape(_read(cases, list(known))):
        expected = np.stack([known[row] for row, _ in shaped])
        x = stack_images(shaped, image_template(classifier))
        passes = _twice(classifier, x, task, [case for _, case in shaped])
        if not _agree(*(task.compared(one) for one in (expected, *passes))):
            return False
    return True


def remember_outputs(
    other: Adapter, cases: Cases, store: RunStore, memo: Memo[list[list[float]]], name: str
) -> None:
    """Keep another network's outputs on a few images; InputError where they are not those kept."""
    rows = [one.row for one in store.clean(0, 4 * IMAGES) if one.kept is not None][:IMAGES]
    shaped = group_by_shape(_read(cases, rows))[:1]
    if not shaped:
        return
    x = stack_images(shaped[0], image_template(other))
    known = store.get(memo)
    if known is None:
        store.put(memo, _outputs(other, x, name).tolist())
    else:
        if not _agree(np.array(known), _outputs(other, x, name), _outputs(other, x, name)):
            raise _changed(f"the {name} network")


def _read(cases: Cases, rows: Sequence[int]) -> list[tuple[int, Case]]:
    found = []
    for row, case in zip(rows, cases.stream(rows), strict=True):
        if isinstance(case, InputError):
            raise case
        found.append((row, case))
    return found


def _twice(
    classifier: Adapter, x: Tensor, task: Task, cases: Sequence[Case]
) -> tuple[Array, Array]:
    with torch.no_grad():
        first, second = (task.keep(classifier(x), cases) for _ in range(2))
    return first, second


def _outputs(other: Adapter, x: Tensor, name: str) -> Array:
    try:
        with torch.no_grad():
            found: Array = other.outputs(x).flatten(1).double().cpu().numpy()
    except InputError as error:
        raise InputError(f"the {name} does not fit: {error}") from None
    return found[:, :: -(-found.shape[1] // MOST_OUTPUTS)]


def _agree(expected: Array, first: Array, second: Array) -> bool:
    """Whether two passes differ from what was expected by no more than rounding, or than by chance.

    Each is `(n, values)`.
    """
    if first.shape != expected.shape or not np.isfinite(first).all():
        return False
    spread = float(np.abs(expected - expected.mean()).max())
    random = float(np.abs(first - second).max())  # a network may be random on purpose
    limit = max(TOLERANCE * max(spread, 1e-6), 100 * random)
    return float(np.abs(first - expected).max()) <= limit


def _changed(what: str) -> InputError:
    return InputError(
        f"{what} computes something else than when this run began (its code has changed?); "
        f"choose another folder with --out"
    )
