"""Networks that outline structures, by name: MONAI, segmentation_models_pytorch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from robust.errors import InputError, did_you_mean, type_and_line
from robust.models.formats.libraries import import_library, in_silence

EXTRA = "segmentation"
MONAI_NAMES = ("UNet", "BasicUNet", "SegResNet", "UNETR", "SwinUNETR")
SMP_NAMES = ("Unet", "UnetPlusPlus", "FPN", "Linknet", "PSPNet", "DeepLabV3", "DeepLabV3Plus")


def build_dense_network(
    architecture: str,
    *,
    outputs: int,
    channels: int,
    spatial_dims: int,
    settings: Mapping[str, Any],
    pretrained: bool = False,
) -> nn.Module:
    """The network `monai:NAME` or `smp:NAME`, with random weights or a pretrained encoder.

    `settings` are further arguments of its constructor. InputError.
    """
    library, _, name = architecture.partition(":")
    known = {"monai": MONAI_NAMES, "smp": SMP_NAMES}.get(library)
    if known is None:
        raise InputError(
            f"no segmenter {architecture!r} is known; name monai:UNet, smp:Unet or the like"
        )
    if name not in known:
        raise InputError(
            f"robust builds no segmenter {architecture!r}; {did_you_mean(name, known)}"
        )
    arguments: dict[str, Any] = {"in_channels": channels}
    if library == "monai":
        if pretrained:
            raise InputError(f"{architecture} has no pretrained weights; set pretrained = false")
        module = import_library("monai.networks.nets", EXTRA)
        arguments |= {"spatial_dims": spatial_dims, "out_channels": outputs}
    else:
        if spatial_dims != 2:
            raise InputError(f"{architecture} takes images; name a network of MONAI for volumes")
        module = import_library("segmentation_models_pytorch", EXTRA)
        arguments |= {"classes": outputs, "encoder_weights": "imagenet" if pretrained else None}
    try:
        with in_silence():
            network: nn.Module = getattr(module, name)(**{**arguments, **settings})
    except Exception as error:  # noqa: BLE001  (constructors fail in any way on wrong settings)
        raise InputError(f"{architecture} cannot be built: {type_and_line(error)}") from None
    return network
