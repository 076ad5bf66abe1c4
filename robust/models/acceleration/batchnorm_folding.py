"""Folds batch normalisation into the convolution or linear layer before it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import fusion
from torch.utils.hooks import RemovableHandle

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


@dataclass
class _Pair:
    layer: nn.Conv2d | nn.Linear
    norm: str


def fold(network: nn.Module, classifier: nn.Module, x: Tensor) -> int:
    """Fold normalisations of `network` into the layers before them, in place.

    `classifier(x)`, of which `network` is a part, shows which can be folded.

    In evaluation mode a normalisation is a scale and a shift, which the layer before can do. A pair
    is a normalisation whose input is the very tensor that one layer returned, each running once.
    Another module may read that tensor as well: compare the outputs afterwards.
    Returns the number of pairs.
    """
    pairs = _pairs(network, classifier, x)
    for pair in pairs:
        norm: Any = network.get_submodule(pair.norm)
        merge: Any = (
            fusion.fuse_conv_bn_weights
            if isinstance(pair.layer, nn.Conv2d)
            else fusion.fuse_linear_bn_weights
        )
        weight, bias = merge(
            pair.layer.weight,
            pair.layer.bias,
            norm.running_mean,
            norm.running_var,
            norm.eps,
            norm.weight,
            norm.bias,
        )
        pair.layer.weight, pair.layer.bias = _frozen(weight), _frozen(bias)
        network.set_submodule(pair.norm, _activation_of(norm))
    return len(pairs)


def _pairs(network: nn.Module, classifier: nn.Module, x: Tensor) -> list[_Pair]:
    producers: dict[int, tuple[nn.Module, Any]] = {}
    runs: dict[nn.Module, int] = {}
    pairs: list[_Pair] = []

    def after(module: nn.Module, args: Any, out: Any) -> None:
        runs[module] = runs.get(module, 0) + 1
        if isinstance(module, nn.Conv2d | nn.Linear):
            producers[id(out)] = module, out  # kept alive, so that no other object takes its id

    def before(name: str, module: nn.Module, args: Any) -> None:
        layer = producers.get(id(args[0]), (None, None))[0] if args else None
        if isinstance(layer, nn.Conv2d | nn.Linear) and _foldable(layer, module):
            pairs.append(_Pair(layer, name))

    handles: list[RemovableHandle] = []
    for name, module in network.named_modules():
        if isinstance(module, (nn.Conv2d, nn.Linear, *_NORMS)):
            handles.append(module.register_forward_hook(after))
        if isinstance(module, _NORMS):
            handles.append(
                module.register_forward_pre_hook(
                    lambda m, args, norm_name=name: before(norm_name, m, args)
                )
            )
    try:
        with torch.no_grad():
            classifier(x)
    finally:
        for handle in handles:
            handle.remove()
    single = [p for p in pairs if runs[p.layer] == runs[network.get_submodule(p.norm)] == 1]
    return [p for p in single if sum(q.layer is p.layer for q in single) == 1]


def _foldable(layer: nn.Module, norm: nn.Module) -> bool:
    """Whether both are plain layers: the forward pass of a subclass may do more."""
    supported = type(norm) in _NORMS or _has_activation(norm)
    return (
        supported
        and type(layer) in (nn.Conv2d, nn.Linear)
        and getattr(norm, "running_mean", None) is not None
        and not norm.training
    )


def _has_activation(norm: nn.Module) -> bool:
    """Whether it is the normalisation of timm that contains an activation."""
    return type(norm).__name__ == "BatchNormAct2d" and hasattr(norm, "act")


def _activation_of(norm: nn.Module) -> nn.Module:
    """The activation inside a folded normalisation; the identity where it has none."""
    return (
        norm.act if type(norm) not in _NORMS and isinstance(norm.act, nn.Module) else nn.Identity()
    )


def _frozen(value: Tensor) -> nn.Parameter:
    return nn.Parameter(value.detach(), requires_grad=False)
