"""Answers of a black box, checked: scores `(n, k)` or labels `(n,)` to outputs `(n, k)`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from robust.errors import BlackBoxFailure, excerpt
from robust.metrics.arrays import Array

Answers = Literal["scores", "labels"]
"""What a black box tells of an image: a score for each class, or the predicted class alone."""


def outputs_of(
    answer: object, images: int, answers: Answers, names: Sequence[str], classes: int | None
) -> Tensor:
    """The answer to `images` images as outputs `(images, k)` float32: of labels, one-hot rows.

    `names` are those of the classes, for labels that are texts; `classes` is k, where it is known.
    BlackBoxFailure for an answer that cannot be used.
    """
    array = _array(answer)
    while array.ndim > 1 and array.shape[-1] == 1:  # (n, 1), (n, k, 1, 1)
        array = array[..., 0]
    if array.ndim == 0 or len(array) != images:
        rows = len(array) if array.ndim else 1
        raise _unusable(
            f"answers {rows} rows for {images} images", "it must give one row for each image"
        )
    if answers == "labels":
        return _one_hot(array, names, classes)
    return _scores(array, classes)


def _array(answer: object) -> Array:
    """The answer as an array of numbers or texts."""
    if isinstance(answer, Tensor):
        return answer.detach().cpu().numpy()
    if not isinstance(answer, np.ndarray | list | tuple):
        raise _unusable(
            f"answers a {type(answer).__name__}", "let it return the scores or the labels alone"
        )
    try:
        found: Array = np.asarray(answer)
    except ValueError:
        raise _unusable("answers rows of different lengths", "all need one score a class") from None
    return found


def _scores(array: Array, classes: int | None) -> Tensor:
    if array.ndim == 1 and array.dtype.kind in "iubUSO":
        raise _unusable(
            "answers labels in place of scores", 'set answers = "labels" and outputs in [model]'
        )
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2 or not array.shape[1] or array.dtype.kind not in "fiu":
        raise _unusable(
            f"answers values of type {array.dtype} and shape {array.shape}",
            "scores are numbers of shape (n, classes)",
        )
    if classes is not None and array.shape[1] != classes:
        raise _unusable(
            f"answers {array.shape[1]} scores for an image, {classes} are expected",
            "check outputs in [model], and that it is the same model as before",
        )
    bad = ~np.isfinite(array).all(1)
    if bad.any():
        raise _unusable(
            f"answers NaN or infinite scores for {int(bad.sum())} of {len(array)} images",
            "fix it there: such an answer is no prediction",
        )
    return torch.from_numpy(array.astype(np.float32))


def _one_hot(array: Array, names: Sequence[str], classes: int | None) -> Tensor:
    assert classes is not None  # labels need outputs, which is checked when it is made
    if array.ndim != 1:
        raise _unusable(
            f"answers an array of shape {array.shape}",
            'labels have shape (n,); for scores set answers = "scores"',
        )
    if array.dtype.kind in "USO":
        numbers = _named(array, names)
    elif array.dtype.kind in "iubf" and bool((array == np.floor(array)).all()):
        numbers = array.astype(np.int64)
    else:
        raise _unusable(
            f"answers {excerpt(array[0])} as a label",
            'labels are whole numbers or names; for scores set answers = "scores"',
        )
    wrong = (numbers < 0) | (numbers >= classes)
    if wrong.any():
        raise _unusable(
            f"answers the label {numbers[wrong][0]}, the classes are 0 to {classes - 1}",
            "check outputs in [model]",
        )
    return torch.nn.functional.one_hot(torch.from_numpy(numbers), classes).float()


def _named(array: Array, names: Sequence[str]) -> Array:
    found = []
    for text in (str(one) for one in array.tolist()):
        if text not in names:
            raise _unusable(
                f"answers the label {excerpt(text)!r}, which is not in outputs",
                "name all classes in order: outputs = [...] in [model]",
            )
        found.append(list(names).index(text))
    return np.array(found, dtype=np.int64)


def _unusable(what: str, remedy: str) -> BlackBoxFailure:
    return BlackBoxFailure(f"the black box {what}; {remedy}")
