"""Checks that cases fit together: same classes, no shared groups, outputs for each class."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from robust.cases.case import Cases
from robust.errors import InputError

MOST_CLASSES = 12
"""Named in a message."""


def check_no_shared_groups(first: Cases, second: Cases, names: tuple[str, str]) -> None:
    """InputError where images of one group (patient, lesion) are on both sides.

    `names` are those of the two sides in the message, such as splits.
    """
    shared = {e.group for e in first.entries} & {e.group for e in second.entries}
    if shared:
        count = "1 group is" if len(shared) == 1 else f"{len(shared)} groups are"
        raise InputError(
            f"{count} in both {names[0]} and {names[1]} ({min(shared)} first); keep all images of "
            f"a patient in one split"
        )


def check_outputs(
    logits: Tensor,
    classes: Sequence[str] | int,
    *,
    model: str = "the model",
    remedy: str = "choose the label column, classes or head so that both agree",
    ids: Sequence[str] = (),
) -> None:
    """InputError where logits `(n, k)` are not finite, or k is not the number of classes.

    `classes` are those of the data, by name or only how many; `ids` those of the n cases.
    """
    count, names = (classes, "") if isinstance(classes, int) else (len(classes), _listed(classes))
    if logits.shape[1] != count:
        raise InputError(
            f"{model} has {logits.shape[1]} outputs, the data {count} classes{names}; {remedy}"
        )
    check_finite(logits, model, ids)


def check_finite(logits: Tensor, model: str = "the model", ids: Sequence[str] = ()) -> None:
    """InputError where logits `(n, ...)` are not finite; `ids` are those of the n cases."""
    bad = ~torch.isfinite(logits).flatten(1).all(1)
    if bad.any():
        first = f", {ids[int(bad.nonzero()[0])]} first" if ids else ""
        raise InputError(
            f"{model} gives NaN or infinite logits on {int(bad.sum())} of {len(logits)} "
            f"images{first}; check its weights, mean and std"
        )


def _listed(names: Sequence[str]) -> str:
    more = ", ..." if len(names) > MOST_CLASSES else ""
    return f" ({', '.join(names[:MOST_CLASSES])}{more})"
