"""The contract of a loader of a model format: to a network, its preprocessing and its origin."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from robust.errors import InputError
from robust.models.architectures import Preprocessing
from robust.models.blackbox.answers import Answers
from robust.models.blackbox.queries import QueryCounter


class MissingField(InputError):
    """A field of `[model]` without which a model cannot be loaded."""

    def __init__(self, field: str, message: str) -> None:
        """Take the field's name, such as `finding`."""
        super().__init__(message)
        self.field = field


NativeRuntime = Callable[[Tensor], Tensor]
"""The format's own runtime: input of the network `(n, c, h, w)`, already resized and normalised, to
its outputs `(n, outputs)`; float32 on the CPU, without gradients."""


@dataclass(frozen=True)
class LoaderOptions:
    """The fields of `[model]` that a loader may use; it refuses those that it cannot."""

    weights: Path | None = None
    weights_key: str | None = None
    """Which of several sets of weights in the file is meant."""
    pretrained: bool = False
    outputs: int | None = None
    channels: int | None = None
    size: tuple[int, int] | None = None
    dense: bool = False
    """Whether the network is to give an output for each pixel."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Arguments that a library builds a network with."""
    prompts: tuple[str | tuple[str, ...], ...] = ()
    """Texts of a zero-shot model, one or several for each class in order."""
    allow_code: bool = False
    """Whether the user allows code that the files hold or name."""


@dataclass(frozen=True)
class ModelOrigin:
    """Where a network comes from, for the proof before an audit and for the report.

    It belongs to the file and not to a copy of the network: copies share it.
    """

    format: str
    """In words, such as `ONNX, opset 18, converted by onnx2pytorch`."""
    native: NativeRuntime | None = None
    """None where the network itself is what the format's own library runs."""
    differentiable: bool = True
    """False where no gradient leads to the input, so that only gradient-free attacks can run."""
    answers: Answers = "scores"
    """What the model tells of an image: labels alone are read as one-hot logits."""
    grey_levels: int | None = None
    """Grey levels that the model's input holds, to which images are rounded; None: any value."""
    queries: QueryCounter | None = None
    """Of a black box, whose queries are counted; None: the network is here."""
    notes: tuple[str, ...] = ()
    """Sentences that the user and the report are told, such as which of two sets of weights."""

    @property
    def is_black_box(self) -> bool:
        """Whether only answers are known, each of which is a query that is counted."""
        return self.queries is not None

    def asks_for(self, purpose: str) -> None:
        """Name what the next queries of a black box are for; nothing for any other model."""
        if self.queries is not None:
            self.queries.purpose = purpose

    def __deepcopy__(self, memo: dict[int, Any]) -> ModelOrigin:
        return self


@dataclass(frozen=True)
class LoadedNetwork:
    """What a loader has made of a file, a folder or a library's name."""

    network: nn.Module
    """From normalised images `(n, c, h, w)` to outputs `(n, outputs)`."""
    origin: ModelOrigin
    known: Preprocessing = field(default_factory=Preprocessing)
    """Preprocessing that the files or the library ask for; the user's own values go first."""
    head: str | None = None
    """The head, where the format says it; None leaves it to `auto`."""
    output_names: Sequence[str] | None = None
    """Names of the outputs in order, where the format knows them; empty for one that was not
    trained."""
    prompted: bool = False
    """Whether the prompts are part of the network."""


FileLoader = Callable[[Path, LoaderOptions], LoadedNetwork]
"""Of `file` and `folder`. Raises InputError."""
LibraryLoader = Callable[[str, LoaderOptions], LoadedNetwork]
"""Of `architecture = "library:name"`: takes the name behind the colon. Raises InputError."""
