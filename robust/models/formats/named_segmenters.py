"""Segmentation networks of MONAI and of segmentation_models_pytorch, by name."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from robust.errors import InputError, did_you_mean, type_and_line
from robust.models.architectures import Preprocessing
from robust.models.formats.contract import LoadedNetwork, LoaderOptions, ModelOrigin
from robust.models.formats.libraries import import_library, in_silence
from robust.models.formats.monai.segmentation import READERS, last_outputs, settings_of
from robust.models.weights import load_strictly, read_weights

EXTRA = "segmentation"
MODULES = {"monai": "monai.networks.nets", "smp": "segmentation_models_pytorch"}
"""By the text before a colon of `architecture`: the module with the networks."""
NAMES: Mapping[str, tuple[str, ...]] = {
    "monai": tuple(READERS),
    "smp": (
        "Unet",
        "UnetPlusPlus",
        "MAnet",
        "Linknet",
        "FPN",
        "PSPNet",
        "DeepLabV3",
        "DeepLabV3Plus",
        "PAN",
        "UPerNet",
        "Segformer",
        "DPT",
    ),
}
IMAGENET = Preprocessing(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), channels=3)
"""What most encoders of segmentation_models_pytorch were trained with."""
OTHER_ENCODERS = ("dpn", "inception", "xception", "tu-")
"""What names of encoders begin with that were trained otherwise."""


def load_named_segmenter(architecture: str, options: LoaderOptions) -> LoadedNetwork:
    """The network of `library:Name` with a file of weights; InputError.

    It is built with the arguments in `settings`, and with what the weights show beside them.
    """
    library, name = _known(architecture)
    if options.weights is None or options.pretrained:
        raise InputError(
            f"{architecture} needs a weights file, as the library has no weights for the "
            f"structures of your data: weights = ... in [model]"
        )
    weights = read_weights(options.weights, key=options.weights_key)
    shown = settings_of(name, weights.state) if library == "monai" else _shown(weights.state)
    settings = {**shown, **options.settings}
    network = build_named_segmenter(architecture, settings)
    notes = (*weights.notes, *load_strictly(network, weights.state, options.weights))
    known = Preprocessing(channels=settings["in_channels"])
    if library == "smp":
        known, more = _of_encoder(str(settings.get("encoder_name", "")), settings["in_channels"])
        notes = (*notes, *more)
    else:
        notes = (*notes, "what the weights do not show of the construction is MONAI's default")
    return LoadedNetwork(network, ModelOrigin(architecture, notes=notes), known)


def build_named_segmenter(architecture: str, settings: Mapping[str, Any]) -> nn.Module:
    """The network of `library:Name`, with random weights, built with `settings`; InputError."""
    library, name = _known(architecture)
    make = getattr(import_library(MODULES[library], EXTRA), name)
    possible = inspect.signature(make).parameters
    for setting in settings:
        if setting not in possible:
            raise InputError(
                f"{architecture} has no setting {setting!r}; {did_you_mean(setting, possible)}"
            )
    needed = [
        n for n, p in possible.items() if p.default is p.empty and p.kind is not p.VAR_KEYWORD
    ]
    if missing := [n for n in needed if n not in settings]:
        raise InputError(
            f"{architecture} needs its {' and '.join(missing)}, which weights do not show: "
            f"settings = {{{missing[0]} = ...}} in [model]"
        )
    own = {"encoder_weights": None} if library == "smp" else {}
    try:
        with in_silence():
            network: nn.Module = make(**{**settings, **own})
    except Exception as error:  # noqa: BLE001  (a library may raise anything)
        raise InputError(
            f"{architecture} cannot be built with these settings: {type_and_line(error)}"
        ) from None
    return network


def _known(architecture: str) -> tuple[str, str]:
    """The library and the name in it; InputError for one that is not among `NAMES`."""
    library, colon, name = architecture.partition(":")
    if not colon or library not in NAMES:
        raise InputError(
            f"no segmenter is called {architecture!r}; write monai:UNet, smp:Unet, or the like, or "
            f"give a factory"
        )
    if name not in NAMES[library]:
        names = NAMES[library]
        raise InputError(f"robust builds no {architecture}; {did_you_mean(name, names, limit=12)}")
    return library, name


def _shown(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """What weights of segmentation_models_pytorch show: channels, outputs."""
    first = next((value for value in state.values() if value.ndim == 4), None)
    return {
        "in_channels": 3 if first is None else int(first.shape[1]),
        "classes": last_outputs(state) or 1,
    }


def _of_encoder(name: str, channels: int) -> tuple[Preprocessing, tuple[str, ...]]:
    """The preprocessing that an encoder was trained with, and a note on it."""
    if name.startswith(OTHER_ENCODERS):
        return Preprocessing(channels=channels), (
            f"mean 0 and std 1, where mean and std in [model] do not say otherwise: robust does "
            f"not know what the encoder {name} was trained with",
        )
    if channels != 3:
        return Preprocessing(channels=channels), (
            "mean 0 and std 1, where mean and std in [model] do not say otherwise",
        )
    return IMAGENET, (
        "mean and std are those of ImageNet, as the encoder's own weights had them, where mean and "
        "std in [model] do not say otherwise",
    )
