"""Labels and groups in memory: whole numbers, one-hot rows or names; one patient for each image."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from robust.cases.case import MOST_CLASSES
from robust.cases.index.spelling import check_class_spelling, tidy
from robust.errors import InputError, did_you_mean, excerpt


def as_labels(y: Any, count: int) -> tuple[list[int], tuple[str, ...] | None]:
    """Labels from 0, and the class names where `y` are names, by the alphabet; else None.

    InputError where they are not `count`, or no classes: fractions, probabilities, several findings
    a row.
    """
    values = _values(y, "y")
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim not in (1, 2):
        raise InputError(f"y has the shape {values.shape}; give one label for each image")
    if len(values) != count:
        raise InputError(f"there are {count} images and {len(values)} labels; give one for each")
    if values.dtype.kind in "OUS":
        texts = [tidy(_name(value)) for value in values.tolist()]
        names = tuple(sorted(set(texts)))
        check_class_spelling(names, "y")
        return [names.index(text) for text in texts], names
    numbers = values.astype(np.float64)
    if not np.isfinite(numbers).all():
        raise InputError("y holds NaN or infinite values; give each image a label")
    if numbers.ndim == 2:
        return _from_one_hot(numbers), None
    if (numbers != numbers.round()).any() or numbers.min() < 0 or numbers.max() >= MOST_CLASSES:
        odd = next(v for v in numbers.tolist() if v != round(v) or not 0 <= v < MOST_CLASSES)
        raise InputError(
            f"y holds {odd:g}; labels are whole numbers from 0, one-hot rows, or names"
        )
    return numbers.astype(int).tolist(), None


def class_names(
    labels: Sequence[int], known: tuple[str, ...] | None, classes: Sequence[str] | None
) -> tuple[str, ...]:
    """The names of the classes; `labels` of `known` names are turned to the order of `classes`."""
    if classes is None:
        return known or tuple(str(i) for i in range(max(2, max(labels) + 1)))
    names = tuple(map(str, classes))
    if known is not None:
        for name in known:
            if name not in names:
                raise InputError(f"y holds {name!r}, no class; {did_you_mean(name, names)}")
        if isinstance(labels, list):
            labels[:] = [names.index(known[label]) for label in labels]
    elif max(labels) >= len(names):
        raise InputError(
            f"y holds {max(labels)}, out of range for the {len(names)} classes "
            f"{', '.join(names)}; name more classes"
        )
    return names


def as_groups(groups: Any, count: int) -> list[str] | None:
    """The patient of each image as text; None where nobody named any. InputError."""
    if groups is None or (isinstance(groups, str) and groups == "none"):
        return None
    values = _values(groups, "groups")
    if values.ndim != 1 or len(values) != count:
        raise InputError(
            f"there are {count} images, and groups have the shape {values.shape}; give the patient "
            f"of each image"
        )
    texts = [tidy(_name(value)) for value in values.tolist()]
    for place, text in enumerate(texts):
        if text in ("", "nan", "None", "NaT", "<NA>"):
            raise InputError(f"groups: image {place} has no patient; give each one")
    return texts


def _values(given: Any, what: str) -> Any:
    """An array `(n,)` or `(n, k)`; of a list of tensors or of rows it is made here."""
    if isinstance(given, Tensor):
        return (
            given.detach().cpu().float().numpy()
            if given.is_floating_point()
            else (given.detach().cpu().numpy())
        )
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise InputError(f"{what} is {excerpt(repr(given))}; give one for each image")
    if hasattr(given, "to_numpy"):
        given = given.to_numpy()
    if isinstance(given, np.ndarray):
        return given
    members = [one.detach().cpu().numpy() if isinstance(one, Tensor) else one for one in given]
    try:
        if any(isinstance(one, str) for one in members):
            return np.array(members, object)
        return np.array(members)
    except ValueError:
        raise InputError(
            f"{what} holds members of several shapes; give one for each image"
        ) from None


def _from_one_hot(rows: Any) -> list[int]:
    if not np.isin(rows, (0, 1)).all():
        raise InputError("y holds probabilities or scores; give the class of each image")
    if (rows.sum(1) != 1).any():
        raise InputError(
            "y holds rows with several findings or none; give one column of it, y[:, k], for the "
            "finding to audit"
        )
    return [int(k) for k in rows.argmax(1)]


def _name(value: Any) -> str:
    """A whole number in a float is written as one: the group 7.0 is the group 7."""
    if isinstance(value, float) and value == int(value if value == value else 0):
        return str(int(value))
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
