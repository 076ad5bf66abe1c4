"""MONAI: classification networks by name, for images and volumes, with a file of weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from robust.errors import InputError, did_you_mean, type_and_line
from robust.models.architectures import Preprocessing
from robust.models.formats.contract import LoadedNetwork, LoaderOptions, ModelOrigin
from robust.models.formats.libraries import import_library, in_silence
from robust.models.weights import load_strictly, read_weights

EXTRA = "monai"
_DENSE = ("DenseNet121", "DenseNet169", "DenseNet201", "DenseNet264")
_RESIDUAL = ("resnet10", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnet200")
_SQUEEZE = ("SENet154", "SEResNet50", "SEResNet101", "SEResNet152", "SEResNext50", "SEResNext101")
_EFFICIENT = tuple(f"efficientnet-b{i}" for i in range(9))
HEADS = 12
"""Of MONAI's ViT by default."""
NAMES = (*_DENSE, *_RESIDUAL, *_SQUEEZE, *_EFFICIENT, "ViT")


def load_monai_network(name: str, options: LoaderOptions) -> LoadedNetwork:
    """One of MONAI's classification networks with weights; InputError.

    Channels and outputs are read from the weights where the plan does not name them.
    """
    library = import_library("monai.networks.nets", EXTRA)
    if name not in NAMES:
        raise InputError(f"robust builds no network {name!r} of MONAI; {did_you_mean(name, NAMES)}")
    if options.weights is None or options.pretrained:
        raise InputError(
            f"monai:{name} needs a weights file: its published weights come as bundles, which "
            f"[model] folder takes"
        )
    weights = read_weights(options.weights, key=options.weights_key)
    state = weights.state
    try:
        with in_silence():
            network = _build(library, name, state, options)
    except InputError:
        raise
    except Exception as error:  # noqa: BLE001
        raise InputError(f"monai:{name} cannot be built: {type_and_line(error)}") from None
    notes = (*weights.notes, *load_strictly(network, state, options.weights))
    channels = options.channels or _first_channels(state)
    return LoadedNetwork(
        network,
        ModelOrigin(
            f"MONAI, {name}",
            notes=(*notes, "what its weights do not show of its construction is MONAI's default"),
        ),
        Preprocessing(channels=channels, size=options.size),
    )


def _build(
    library: Any, name: str, state: Mapping[str, Tensor], options: LoaderOptions
) -> nn.Module:
    channels = options.channels or _first_channels(state)
    outputs = options.outputs or _last_outputs(state)
    if name == "ViT":
        return _build_vit(library, state, options, channels, outputs)
    build = library.EfficientNetBN if name in _EFFICIENT else getattr(library, name)
    arguments: dict[str, Any] = {"num_classes": outputs, "in_channels": channels}
    first = _first_convolution(state)
    arguments["spatial_dims"] = 2 if first is None else first.ndim - 2
    if name in _DENSE:
        arguments["out_channels"] = arguments.pop("num_classes")
    if name in _RESIDUAL:
        arguments["n_input_channels"] = arguments.pop("in_channels")
    if name in _EFFICIENT:
        arguments |= {"model_name": name, "pretrained": False}
    network: nn.Module = build(**arguments)
    return network


def _build_vit(
    library: Any,
    state: Mapping[str, Tensor],
    options: LoaderOptions,
    channels: int,
    outputs: int,
) -> nn.Module:
    if options.size is None:
        raise InputError("monai:ViT needs its size: set size in [model] to what it was trained on")
    patches = next((v for v in state.values() if v.ndim == 4), None)
    if patches is None:
        raise InputError("the weights of this ViT have no convolution for its patches")
    hidden = patches.shape[0]
    if hidden % HEADS:
        raise InputError(
            f"a ViT of width {hidden} has another number of heads than MONAI's default of {HEADS}, "
            f"which the weights do not show; build it in a factory of your own"
        )
    layers = {name.split(".")[1] for name in state if name.startswith("blocks.")}
    vit: nn.Module = library.ViT(
        in_channels=channels,
        img_size=options.size,
        patch_size=tuple(patches.shape[2:]),
        hidden_size=hidden,
        mlp_dim=next(v.shape[0] for n, v in state.items() if n.endswith("mlp.linear1.weight")),
        num_layers=len(layers),
        num_heads=HEADS,
        classification=True,
        num_classes=outputs,
        spatial_dims=2,
        post_activation="Tanh" if "classification_head.0.weight" in state else "none",
        qkv_bias=any(name.endswith("attn.qkv.bias") for name in state),
    )
    return vit


def _first_channels(state: Mapping[str, Tensor]) -> int:
    """Channels of the images: those that the first convolution takes."""
    first = _first_convolution(state)
    return 3 if first is None else int(first.shape[1])


def _first_convolution(state: Mapping[str, Tensor]) -> Tensor | None:
    """Its weights, of images or volumes; None where there is none."""
    return next((v for v in state.values() if v.ndim in (4, 5)), None)


def _last_outputs(state: Mapping[str, Tensor]) -> int:
    """Outputs: the rows of the last matrix."""
    return next((int(v.shape[0]) for v in reversed(list(state.values())) if v.ndim == 2), 2)
