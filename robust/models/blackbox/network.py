"""A black box as a network without gradients, and `BlackBox`, a classifier from any callable."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from robust.errors import BlackBoxFailure, InputError, did_you_mean, type_and_line
from robust.models.acceleration.memory import memory_ran_out
from robust.models.blackbox.answers import Answers, outputs_of
from robust.models.blackbox.queries import QueryCounter
from robust.models.classifier import Classifier
from robust.models.formats.contract import LoadedNetwork, ModelOrigin

Ask = Callable[[Any], object]
"""Images `(n, c, h, w)` float32 to scores `(n, k)` or labels `(n,)`: an array, a tensor or a list.
It is given as many images as the classifier's channels, size and normalisation make of them."""
Takes = Literal["numpy", "tensor"]

MOST_AT_ONCE = 64
"""Images of one question, unless it is set."""


@dataclass(frozen=True)
class Questions:
    """How a black box is asked, and what its answers are."""

    answers: Answers = "scores"
    outputs: int | None = None
    """Number of scores or classes; None: that of the first answer."""
    names: tuple[str, ...] = ()
    """Of the classes, where answers are texts."""
    takes: Takes = "numpy"
    """What the callable is given."""
    at_once: int = MOST_AT_ONCE
    """Most images of one question."""

    def __post_init__(self) -> None:
        for name, value, known in (
            ("answers", self.answers, get_args(Answers)),
            ("takes", self.takes, get_args(Takes)),
        ):
            if value not in known:
                raise InputError(f"unknown {name} {value!r}; {did_you_mean(value, known)}")
        if self.answers == "labels" and (self.outputs is None or self.outputs < 2):
            raise InputError(
                "a black box that answers labels alone needs the number of classes, or their "
                "names in order: outputs = 2 in [model]"
            )
        if self.at_once < 1:
            raise InputError(f"a black box is asked 1 image at once or more, not {self.at_once}")


class BlackBoxNetwork(nn.Module):
    """Asks a black box for its outputs `(n, k)`, without gradients; labels become one-hot rows.

    Copies ask the same black box and share its counter. Raises BlackBoxFailure.
    """

    identity: Tensor

    def __init__(
        self, ask: Ask, questions: Questions, queries: QueryCounter, identity: str
    ) -> None:
        """`identity` tells the black box from others: a run goes on only with the same."""
        super().__init__()
        digest = hashlib.sha256(identity.encode()).digest()
        self.register_buffer("identity", torch.tensor(list(digest), dtype=torch.uint8))
        self.questions = questions
        self._asked = _Asked(ask, queries)
        self._outputs = questions.outputs

    def forward(self, x: Tensor) -> Tensor:
        """One answer for each image of `x (n, c, h, w)`."""
        with torch.no_grad():
            parts = [self._answer(part) for part in torch.split(x, self.questions.at_once)]
            return torch.cat(parts).to(x)

    def _answer(self, x: Tensor) -> Tensor:
        queries, asks = self._asked.queries, self.questions
        queries.require(len(x))
        images = x.detach().float().cpu().clone()  # what is asked may change its own input
        try:
            answer = self._asked.ask(images.numpy() if asks.takes == "numpy" else images)
        except (KeyboardInterrupt, BlackBoxFailure):
            raise
        except BaseException as error:
            if memory_ran_out(error):
                raise
            raise BlackBoxFailure(
                f"the black box fails on {len(x)} images of shape {tuple(x.shape[1:])}: "
                f"{type_and_line(error)}; fix it and give the same command again"
            ) from error
        out = outputs_of(answer, len(x), asks.answers, asks.names, self._outputs)
        self._outputs = out.shape[1]
        queries.add(len(x))
        return out


@dataclass(frozen=True)
class _Asked:
    """What copies of a network share: connections cannot be copied, and a count must not be."""

    ask: Ask
    queries: QueryCounter

    def __deepcopy__(self, memo: dict[int, Any]) -> _Asked:
        return self


def load_black_box(
    ask: Ask,
    questions: Questions,
    *,
    format: str,
    identity: str,
    notes: Sequence[str] = (),
    grey_levels: int | None = None,
    budget: int | None = None,
) -> LoadedNetwork:
    """A black box as a loaded network; `format` and `notes` are for the report."""
    queries = QueryCounter(budget)
    labels = questions.answers == "labels"
    return LoadedNetwork(
        BlackBoxNetwork(ask, questions, queries, identity),
        ModelOrigin(
            format,
            differentiable=False,
            answers=questions.answers,
            grey_levels=grey_levels,
            queries=queries,
            notes=tuple(notes),
        ),
        head="softmax" if labels else None,
        output_names=questions.names or None,
    )


def load_callable(
    ask: Ask, questions: Questions, name: str = "", budget: int | None = None
) -> LoadedNetwork:
    """A Python callable as a loaded network. `name` belongs to the run's identity.

    What the callable computes has no hash: a run that goes on compares predictions.
    """
    where = getattr(ask, "__module__", None), getattr(ask, "__qualname__", type(ask).__qualname__)
    return load_black_box(
        ask,
        questions,
        format="Python callable",
        identity=name or ":".join(str(part) for part in where),
        budget=budget,
    )


class BlackBox(Classifier):
    """A classifier of which only answers are known: scores `(n, k)` or labels `(n,)` of a callable.

    `ask` is given images `(n, c, h, w)` float32, at most `at_once` of them, as numpy arrays or as
    `tensor`s on the CPU. With `answers="labels"` it tells the predicted classes alone, and
    `outputs` is the number of classes or their names. `queries` is the most images that one audit
    may ask; `name` tells it from other black boxes. All else is as for `Classifier`: channels,
    size, mean, std, head, threshold. Raises InputError.
    """

    def __init__(
        self,
        ask: Ask,
        *,
        answers: Answers = "scores",
        outputs: int | Sequence[str] | None = None,
        takes: Takes = "numpy",
        at_once: int = MOST_AT_ONCE,
        queries: int | None = None,
        name: str = "",
        **adapter: Any,
    ) -> None:
        """`adapter` are the other fields of `Classifier`."""
        if not callable(ask):
            raise InputError(f"a black box must be callable; a {type(ask).__name__} is not")
        count = outputs if isinstance(outputs, int) or outputs is None else len(outputs)
        names = () if isinstance(outputs, int) or outputs is None else tuple(outputs)
        questions = Questions(answers, count, names, takes, at_once)
        loaded = load_callable(ask, questions, name, queries)
        if loaded.head is not None:
            adapter.setdefault("head", loaded.head)
        require_labels_fit(questions.answers, adapter.get("threshold", 0.5))
        super().__init__(loaded.network, origin=loaded.origin, **adapter)


def require_labels_fit(answers: Answers, threshold: float) -> None:
    """InputError where labels alone are to be read at a threshold."""
    if answers == "labels" and threshold != 0.5:
        raise InputError(
            "a black box that answers labels alone has no probability to set a threshold on; "
            "remove threshold and sensitivity"
        )
