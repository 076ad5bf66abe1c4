"""Callables as classifiers: what they are given, what they may answer, and how they are counted."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch

from robust.errors import BlackBoxFailure, InputError
from robust.models import BlackBox, Classifier, prepare, weights_hash
from robust.models.blackbox.queries import QueryCounter

X = torch.rand(5, 1, 4, 4, generator=torch.Generator().manual_seed(0))
TWO = np.array([[0.5, 1.5]], np.float32)


def answering(answer: Any, **options: Any) -> Classifier:
    return BlackBox(lambda x: answer(len(x)), **{"head": "softmax", **options})


def test_it_is_given_prepared_images_a_few_at_a_time() -> None:
    seen: list[np.ndarray[Any, Any]] = []

    def ask(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        seen.append(x.copy())
        x[:] = 7  # its own copy
        return np.repeat(TWO, len(x), 0)

    before = X.clone()
    model = BlackBox(ask, at_once=2, channels=3, size=2, mean=0.5, std=0.5, head="softmax")
    assert model(X).shape == (5, 2) and torch.equal(X, before)
    assert [x.shape for x in seen] == [(2, 3, 2, 2), (2, 3, 2, 2), (1, 3, 2, 2)]
    assert all(x.dtype == np.float32 and x.min() >= -1 for x in seen)
    assert min(float(x.min()) for x in seen) < 0


@pytest.mark.parametrize(
    "answer",
    [
        lambda n: np.repeat(TWO, n, 0),
        lambda n: np.repeat(TWO, n, 0).astype(np.float64),
        lambda n: torch.from_numpy(np.repeat(TWO, n, 0)),
        lambda n: [[0.5, 1.5]] * n,
        lambda n: np.repeat(TWO, n, 0)[:, :, None, None],
    ],
)
def test_scores_may_be_arrays_tensors_or_lists(answer: Any) -> None:
    assert torch.equal(answering(answer)(X), torch.tensor([[0.5, 1.5]] * 5))


@pytest.mark.parametrize(
    "answer",
    [
        lambda n: [1] * n,
        lambda n: np.ones(n),
        lambda n: np.ones((n, 1), np.uint8),
        lambda n: torch.ones(n, dtype=torch.long),
        lambda n: ["ill"] * n,
        lambda n: np.array([True] * n),
    ],
)
def test_labels_may_be_numbers_or_names(answer: Any) -> None:
    model = answering(answer, answers="labels", outputs=["healthy", "ill"])
    assert torch.equal(model(X), torch.tensor([[0.0, 1.0]] * 5))


WRONG: Mapping[str, tuple[Any, dict[str, Any], str]] = {
    "too few": (lambda n: np.zeros((n - 1, 2)), {}, "4 rows for 5 images"),
    "one for all": (lambda n: 3.0, {}, "answers a float"),
    "a dict": (lambda n: {"scores": 1}, {}, "answers a dict"),
    "nothing": (lambda n: None, {}, "answers a NoneType"),
    "ragged": (lambda n: [[1.0], [1.0, 2.0], [1.0], [1.0], [1.0]], {}, "different lengths"),
    "NaN": (lambda n: np.full((n, 2), np.nan), {}, "NaN or infinite scores for 5 of 5"),
    "infinite": (lambda n: np.full((n, 2), -np.inf), {}, "NaN or infinite"),
    "labels": (lambda n: [1] * n, {}, 'labels in place of scores; set answers = "labels"'),
    "texts": (lambda n: ["ill"] * n, {}, "labels in place of scores"),
    "complex": (lambda n: np.zeros((n, 2), complex), {}, "values of type complex128"),
    "three for two": (lambda n: np.zeros((n, 3)), {"outputs": 2}, "3 scores for an image, 2 are"),
    "a label too high": (
        lambda n: [2] * n,
        {"answers": "labels", "outputs": 2},
        "label 2, the classes are 0 to 1",
    ),
    "half a label": (lambda n: [0.5] * n, {"answers": "labels", "outputs": 2}, "0.5 as a label"),
    "an unknown name": (
        lambda n: ["sick"] * n,
        {"answers": "labels", "outputs": ["healthy", "ill"]},
        "'sick', which is not in outputs",
    ),
    "scores for labels": (
        lambda n: np.zeros((n, 2)),
        {"answers": "labels", "outputs": 2},
        'for scores set answers = "scores"',
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_an_answer_that_cannot_be_used_is_one_line_and_no_query(name: str) -> None:
    answer, options, said = WRONG[name]
    model = answering(answer, **options)
    with pytest.raises(BlackBoxFailure, match=said) as raised:
        model(X)
    assert "\n" not in str(raised.value)
    assert model.origin.queries is not None and model.origin.queries.answered == {}


def test_other_scores_than_before_are_another_model() -> None:
    widths = iter([2, 3])
    model = BlackBox(lambda x: np.zeros((len(x), next(widths))), head="softmax")
    model(X)
    with pytest.raises(BlackBoxFailure, match="3 scores for an image, 2 are expected"):
        model(X)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"answers": "label"}, "unknown answers 'label'; did you mean labels"),
        ({"takes": "torch"}, "unknown takes"),
        ({"answers": "labels"}, "needs the number of classes"),
        ({"answers": "labels", "outputs": 2, "threshold": 0.2}, "no probability to set"),
        ({"at_once": 0}, "1 image at once or more"),
    ],
)
def test_a_wrong_choice_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        BlackBox(lambda x: x, **options)
    with pytest.raises(InputError, match="must be callable"):
        BlackBox(3)  # type: ignore[arg-type]


def test_copies_ask_the_same_black_box_and_share_its_count() -> None:
    model = answering(lambda n: np.repeat(TWO, n, 0), name="first")
    ready = prepare(copy.deepcopy(model), "cpu")
    ready(X)
    ready(X.requires_grad_())
    X.requires_grad_(False)
    assert model.origin.queries is not None
    assert model.origin.queries.answered == {"before the run": 10}
    assert not ready(X).requires_grad
    other = answering(lambda n: np.repeat(TWO, n, 0), name="second")
    assert weights_hash(model) == weights_hash(ready) != weights_hash(other)


def test_a_counter_goes_on_where_a_run_was_cut_and_starts_anew_with_the_next() -> None:
    kept: dict[str, int] = {}
    counter = QueryCounter(budget=20)
    counter.add(3)
    counter.resume({"attacks": 10}, kept.update)
    assert kept == {"attacks": 10, "before the run": 3}
    counter.purpose = "attacks"
    counter.require(7)
    counter.add(5)
    with pytest.raises(BlackBoxFailure, match="budget of 20 queries is used up: 18 images"):
        counter.require(3)
    counter.stop()
    assert kept == {"attacks": 15, "before the run": 3} and counter.answered == {}
