"""Finds the architectures of timm and torchvision that a state dict's names and shapes fit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from robust.drafting.architecture_index import Shapes, architectures_like
from robust.models.architectures import shapes_of
from robust.models.checkpoints.names import names_without_wrappers

_DEPTH = 3
"""Beginnings that trainers put before the names of a network, such as `model.backbone.`."""


@dataclass(frozen=True)
class Match:
    """An architecture that a state dict fits."""

    name: str
    """With its library: `torchvision:resnet18`."""
    own_head: str | None = None
    """Name of the last layer, where the state dict has other layers in its place."""


def find_matches(state: Shapes) -> list[Match]:
    """Every architecture that fits; those with the library's own head first, then torchvision's.

    Weights of one fit many of both libraries. Names may stand behind those of a trainer's wrapper.
    """
    for inner in _inside(state):
        found: list[Match] = []
        for name, head in architectures_like(inner):
            expected = shapes_of(name)
            match = None if expected is None else compare_shapes(name, head, expected, inner)
            if match is not None:
                found.append(match)
        if found:
            return sorted(
                found,
                key=lambda m: (m.own_head is not None, m.name.startswith("timm:"), len(m.name)),
            )
    return []


def _inside(state: Shapes) -> Iterator[Shapes]:
    """A state dict without wrappers, then what stands below its most frequent beginning."""
    inner = {name: state[whole] for name, whole in names_without_wrappers(state).items()}
    for _ in range(_DEPTH + 1):
        yield inner
        tops = Counter(name.partition(".")[0] for name in inner if "." in name)
        if not tops:
            return
        top = f"{tops.most_common(1)[0][0]}."
        inner = {n.removeprefix(top): shape for n, shape in inner.items() if n.startswith(top)}


def compare_shapes(name: str, head: str, expected: Shapes, state: Shapes) -> Match | None:
    """How a state dict fits a network whose last layer is `head`; None where it is another's."""
    for key, shape in expected.items():
        given = state.get(key, shape)
        if given == shape or key.startswith(f"{head}."):
            continue
        first = len(given) == 4 == len(shape) and shape[1] == 3
        if not first or given != (shape[0], given[1], *shape[2:]):
            return None
    weight, bias = f"{head}.weight", f"{head}.bias"
    given = state.get(weight, ())
    if len(given) == len(expected[weight]) and given[1:] == expected[weight][1:]:
        own = {n for n in state if n.startswith(f"{head}.")} - {weight, bias}
        if not own:
            return Match(name)
    return Match(name, own_head=head)
