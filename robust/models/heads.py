"""New heads: replaces the last layer of a network for other classes, and loads first weights."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from robust.errors import InputError
from robust.models.architectures import (
    AUXILIARY,
    Preprocessing,
    build_network,
    configuration,
    find_library,
)
from robust.models.checkpoints.names import fits
from robust.models.weights import load_strictly, only_way

_log = logging.getLogger(__name__)
_DRAWING = threading.Lock()
"""torch has one random state for all threads: two networks must not be drawn from it at once."""


@contextmanager
def drawn_by_seed(seed: int | None) -> Iterator[None]:
    """What is random inside is the same every time; torch's own random state stays as it was."""
    with _DRAWING, torch.random.fork_rng(devices=[], enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        yield


@dataclass(frozen=True)
class Head:
    """The last layers of a network, on top of its features."""

    classes: int
    kind: str = "plain"
    """`plain`: one linear layer, after what the network has there itself. `ma2021` (Ma et al.
    2021): a linear layer of `hidden` units without activation, dropout, a linear layer."""
    hidden: int = 128
    dropout: float = 0.2


def make_network(
    architecture: str,
    head: Head,
    *,
    state: Mapping[str, Tensor] | None = None,
    source: object = "the weights",
    pretrained: bool = False,
    seed: int | None = None,
    new_head: bool = False,
) -> tuple[nn.Module, Preprocessing]:
    """A network with a new head, and the preprocessing of its architecture.

    It starts from `state`, which needs no head: what it has of one is used where it fits, unless a
    `new_head` is wanted. Else from the library's own weights, or at random; with a `seed`, what is
    random is the same every time.
    """
    library, name = find_library(architecture)
    if pretrained and library == "torchvision" and name in AUXILIARY:
        raise InputError(
            f"torchvision's pretrained {name} has auxiliary outputs; take timm:inception_v3, or "
            f"another network"
        )
    with drawn_by_seed(seed):
        network = build_network(library, name, None, pretrained and state is None)
        place = put_head(network, head, f"{library}:{name}")
    if state is not None:
        initial = network.state_dict()
        new = {n: v for n, v in initial.items() if n.startswith(f"{place}.")}
        features = {n: v for n, v in initial.items() if n not in new}
        fitted, notes = only_way(fits(features, state), source)
        for note in (*fitted.notes, *notes):
            _log.warning("robust: %s", note)
        state = fitted.renamed(state)
        kept = () if new_head else new
        fitting = {n: state[n] for n in kept if n in state and state[n].shape == new[n].shape}
        rest = {n: v for n, v in state.items() if not n.startswith(f"{place}.")}
        load_strictly(network, {**new, **fitting, **rest}, source)
    return network, configuration(library, name, network)


def put_head(network: nn.Module, head: Head, name: str = "the network") -> str:
    """Replace the last linear layer, or 1 x 1 convolution, in place; returns its name.

    Its input becomes that of the head: the average over space in all but the oldest
    architectures. InputError where a network ends otherwise.
    """
    place, last = _last_layer(network, name)
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    if isinstance(last, nn.Conv2d):
        layers["pool"], layers["flatten"] = nn.AdaptiveAvgPool2d(1), nn.Flatten()
    width = last.in_channels if isinstance(last, nn.Conv2d) else last.in_features
    if head.kind == "ma2021":
        layers["features"] = nn.Linear(width, head.hidden)
        layers["dropout"] = nn.Dropout(head.dropout)
        width = head.hidden
    layers["logits"] = nn.Linear(width, head.classes)
    path, _, attribute = place.rpartition(".")
    parent = network.get_submodule(path)
    setattr(parent, attribute, layers["logits"] if len(layers) == 1 else nn.Sequential(layers))
    if type(parent) is nn.Sequential:
        at = list(dict(parent.named_children())).index(attribute)
        if isinstance(last, nn.Conv2d):  # a ReLU and a pool, which would keep logits at 0 or above
            for after in range(at + 1, len(parent)):
                parent[after] = nn.Identity()
        while head.kind == "ma2021" and at and isinstance(parent[at - 1], nn.Dropout):
            at -= 1
            parent[at] = nn.Identity()
    return place


def layers_of_head(network: nn.Module) -> list[nn.Module]:
    """The layers of a head that `put_head` made, from its first linear layer on; InputError."""
    place, last = _last_layer(network, "the network")
    parent = network.get_submodule(place.rpartition(".")[0])
    layers = dict(parent.named_children())
    if "logits" not in layers or "features" not in layers:
        return [last]
    return [layers[name] for name in ("features", "dropout", "logits")]


def _last_layer(network: nn.Module, name: str) -> tuple[str, nn.Linear | nn.Conv2d]:
    named = dict(network.named_modules())
    get_classifier: Any = getattr(network, "get_classifier", None)
    if get_classifier is not None:  # timm
        classifier = get_classifier()  # of a distilled network a pair, which is refused
        own = {*classifier.modules()} if isinstance(classifier, nn.Module) else set()
        named = {name: module for name, module in named.items() if module in own}
    for kind in (nn.Linear, nn.Conv2d):
        for name, module in reversed(named.items()):
            if isinstance(module, kind) and name and _is_pointwise(module):
                return name, module
    raise InputError(
        f"{name} does not end in one linear layer, so its head cannot be replaced; "
        f"choose another architecture"
    )


def _is_pointwise(module: nn.Linear | nn.Conv2d) -> bool:
    return isinstance(module, nn.Linear) or module.kernel_size == (1, 1)
