"""What weights show of the construction of MONAI's segmentation networks."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from robust.errors import InputError

State = Mapping[str, Tensor]
Settings = dict[str, Any]


def settings_of(name: str, state: State) -> Settings:
    """Arguments of a network of `READERS` that its weights show: channels, outputs, widths.

    Raises InputError for weights of another network.
    """
    read, shown = READERS[name], next((v for v in state.values() if v.ndim in (4, 5)), None)
    outputs = last_outputs(state)
    try:
        if shown is None or outputs is None:
            raise KeyError(name)
        common = {"in_channels": int(shown.shape[1]), "out_channels": outputs}
        return {**common, "spatial_dims": shown.ndim - 2, **read(state)}
    except KeyError:
        raise InputError(
            f"the weights are not those of monai:{name}; name the network that they were saved from"
        ) from None


def last_outputs(state: State) -> int | None:
    """Outputs of a network: the length of the last bias."""
    biases = [v for name, v in state.items() if name.endswith("bias") and v.ndim == 1]
    return int(biases[-1].shape[0]) if biases else None


def _unet(state: State) -> Settings:
    """Width of each level and residual units; strides leave no trace in weights."""
    pattern = r"model\.((?:1\.submodule\.)*)(?:0\.)?conv\.(?:unit0\.conv\.)?weight$"
    widths: dict[int, int] = {}
    for name, value in state.items():
        if found := re.search(pattern, name):
            widths.setdefault(found[1].count("submodule"), int(value.shape[0]))
    units = _numbers(state, r"model\.0\.conv\.unit(\d+)\.")
    if not widths:
        raise KeyError
    return {"channels": [widths[level] for level in sorted(widths)], "num_res_units": len(units)}


def _basic_unet(state: State) -> Settings:
    names = ("conv_0", *(f"down_{i}.convs" for i in range(1, 5)), "upcat_1.convs")
    return {"features": [_length(state, f"{name}.conv_0.conv.weight") for name in names]}


def _segresnet(state: State) -> Settings:
    blocks: Settings = {"init_filters": _length(state, "convInit.conv.weight")}
    for way in ("down", "up"):
        levels = _numbers(state, rf"{way}_layers\.(\d+)\.")
        blocks[f"blocks_{way}"] = [
            len(_numbers(state, rf"{way}_layers\.{level}\.(\d+)\.conv1\.")) for level in levels
        ]
    return blocks


def _unetr(state: State) -> Settings:
    """Width and depth of features; the image size and the number of heads are not shown."""
    return {
        "feature_size": _length(state, "encoder1.layer.conv1.conv.weight"),
        "hidden_size": _length(state, "vit.norm.weight"),
        "mlp_dim": _length(state, "vit.blocks.0.mlp.linear1.weight"),
        "qkv_bias": any(name.endswith("attn.qkv.bias") for name in state),
    }


def _swin_unetr(state: State) -> Settings:
    return {"feature_size": _length(state, "swinViT.patch_embed.proj.weight")}


def _length(state: State, name: str) -> int:
    """The first side of the tensor whose name ends so; KeyError."""
    for full, value in state.items():
        if full == name or full.endswith(f".{name}"):
            return int(value.shape[0])
    raise KeyError(name)


def _numbers(state: State, pattern: str) -> list[int]:
    found = (re.search(pattern, name) for name in state)
    return sorted({int(match[1]) for match in found if match})


READERS: Mapping[str, Callable[[State], Settings]] = {
    "UNet": _unet,
    "BasicUNet": _basic_unet,
    "SegResNet": _segresnet,
    "UNETR": _unetr,
    "SwinUNETR": _swin_unetr,
}
"""By MONAI's name."""
