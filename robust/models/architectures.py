"""Networks of timm and torchvision by name, and our own; the only file that imports timm."""

from __future__ import annotations

import math
import socket
import urllib.parse
import urllib.request
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from robust.errors import InputError, did_you_mean
from robust.models.networks.gist import NAME, GistNetwork
from robust.models.process_state import ProcessState


@dataclass(frozen=True)
class Preprocessing:
    """Preprocessing that an architecture's own configuration asks for."""

    mean: Sequence[float] | float = 0.0
    std: Sequence[float] | float = 1.0
    size: tuple[int, int] | None = None
    interpolation: str = "bilinear"
    channels: int | None = None
    fit: str = "squash"
    crop_pct: float = 1.0
    """Share of a resized image that the centre crop keeps, by side."""
    half_pixel: str = "even"
    """Where half a pixel of a crop's border goes: to the `even` number, as in torchvision and timm,
    or `down`."""


@dataclass(frozen=True)
class Construction:
    """In what a network differs from the usual one of its name; None: in nothing."""

    channels: int | None = None
    size: tuple[int, int] | None = None
    """Height and width of the images that a transformer is built for."""
    any_size: bool = False
    """Whether a transformer of timm interpolates its position embeddings to other sizes."""


PLAIN = Construction()
OWN = "robust"
"""Before the colon in the names of our own networks."""
AUXILIARY = ("googlenet", "inception_v3")
"""Networks of torchvision that have auxiliary outputs in training if pretrained."""
_FITS = {"center": "crop", "squash": "squash", "border": "pad"}
"""By what timm calls `crop_mode`."""


def list_models(pattern: str = "*") -> dict[str, list[str]]:
    """Names of architectures by library, those that match a shell pattern."""
    import fnmatch

    import timm
    import torchvision.models

    return {
        "timm": timm.list_models(pattern),
        "torchvision": sorted(
            fnmatch.filter(torchvision.models.list_models(module=torchvision.models), pattern)
        ),
    }


def shapes_of(architecture: str) -> dict[str, tuple[int, ...]] | None:
    """Names and shapes in the state dict of a network, built without memory; None if it cannot."""
    library, _, name = architecture.partition(":")
    try:
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            state = create(library, name, None, pretrained=False).state_dict()
    except Exception:  # noqa: BLE001  (some are not made to be built without memory)
        return None
    return {key: tuple(value.shape) for key, value in state.items()}


def find_library(name: str) -> tuple[str, str]:
    """Library and name of an architecture, with the library before a colon or not; InputError."""
    library, _, rest = name.rpartition(":")
    if library == OWN and rest == NAME:
        return OWN, NAME
    if library == OWN:
        raise InputError(f"unknown architecture {rest!r}; {did_you_mean(rest, [NAME])}")
    if library not in ("", "timm", "torchvision"):
        raise InputError(f"unknown library {library!r} in {name!r}; use timm: or torchvision:")
    known = list_models(rest.split(".")[0])  # not all: they would be sorted for nothing
    for candidate in (library,) if library else ("timm", "torchvision"):
        # timm also takes names with a tag of the weights, as in resnet50.a1_in1k
        if rest in known[candidate] or (
            candidate == "timm" and rest.split(".")[0] in known["timm"]
        ):
            return candidate, rest
    known = list_models()
    everything = known[library] if library else known["timm"] + known["torchvision"]
    raise InputError(f"unknown architecture {rest!r}; {did_you_mean(rest, everything)}")


def build_network(
    library: str,
    name: str,
    outputs: int | None,
    pretrained: bool,
    construction: Construction = PLAIN,
) -> nn.Module:
    """The network; InputError where it cannot be built or its weights cannot be downloaded."""
    try:
        return create(library, name, outputs, pretrained, construction)
    except InputError:
        raise
    except Exception as error:  # noqa: BLE001
        if not pretrained:
            raise InputError(f"{library}:{name} cannot be built: {error}") from None
        raise InputError(
            f"the pretrained weights of {library}:{name} could not be downloaded "
            f"({type(error).__name__}); on a machine with internet access run: python -c "
            f'"{_fetch_command(library, name)}", bring {name}.pth here, and set '
            f"weights = '{name}.pth' in place of pretrained = true"
        ) from None


def create(
    library: str,
    name: str,
    outputs: int | None,
    pretrained: bool,
    construction: Construction = PLAIN,
) -> nn.Module:
    """The network; raises whatever the library raises."""
    if library == OWN:
        if pretrained:
            raise InputError(
                f"{OWN}:{NAME} has no pretrained weights, its features are made by hand; start at "
                f"random: --random, or pretrained = false in [network]"
            )
        return GistNetwork(1000 if outputs is None else outputs)
    if library == "timm":
        import timm

        extra: dict[str, Any] = {} if outputs is None else {"num_classes": outputs}
        if construction.channels is not None:
            extra["in_chans"] = construction.channels
        if construction.size is not None:
            extra["img_size"] = construction.size
        if construction.any_size:
            extra["dynamic_img_size"] = True
        with quick_when_offline() if pretrained else nullcontext():
            network: nn.Module = timm.create_model(name, pretrained=pretrained, **extra)
        return network
    import torchvision.models

    arguments: dict[str, Any] = {"weights": "DEFAULT" if pretrained else None}
    if name in AUXILIARY and not pretrained:
        arguments |= {"aux_logits": False, "init_weights": False}
    if outputs is not None and not pretrained:
        arguments["num_classes"] = outputs
    if construction.size is not None:
        arguments["image_size"] = construction.size[0]
    built: nn.Module = torchvision.models.get_model(name, **arguments)
    if construction.channels is not None:
        _replace_first_convolution(built, construction.channels)
    if pretrained and outputs not in (None, 1000):
        raise InputError(
            f"torchvision's pretrained {name} has 1000 outputs, not {outputs}; fine-tune it first"
        )
    return built


def _replace_first_convolution(network: nn.Module, channels: int) -> None:
    """As people do it who train on grey images, with new weights."""
    for place, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            above, _, last = place.rpartition(".")
            new = nn.Conv2d(
                channels,
                module.out_channels,
                module.kernel_size,  # type: ignore[arg-type]
                module.stride,  # type: ignore[arg-type]
                module.padding,  # type: ignore[arg-type]
                bias=module.bias is not None,
            )
            setattr(network.get_submodule(above), last, new)
            return


def _fetch_command(library: str, name: str) -> str:
    build = (
        f"timm.create_model('{name}', pretrained=True)"
        if library == "timm"
        else f"torchvision.models.get_model('{name}', weights='DEFAULT')"
    )
    return f"import torch, {library}; torch.save({build}.state_dict(), '{name}.pth')"


@contextmanager
def _set_quick_when_offline() -> Iterator[None]:
    """Where the hub has no address, look into the local cache alone: its client retries long."""
    import huggingface_hub.constants as hub

    before = hub.HF_HUB_OFFLINE
    hub.HF_HUB_OFFLINE = before or is_unreachable(hub.ENDPOINT)
    try:
        yield
    finally:
        hub.HF_HUB_OFFLINE = before


quick_when_offline = ProcessState(_set_quick_when_offline)


def is_unreachable(url: str) -> bool:
    """Whether the host of a URL has no address here, and no proxy would know it."""
    if urllib.request.getproxies():
        return False
    try:
        socket.getaddrinfo(urllib.parse.urlsplit(url).hostname, 443)
    except OSError:
        return True
    return False


def initial_state(library: str, name: str, construction: Construction = PLAIN) -> dict[str, Tensor]:
    """The state dict of a network with the library's own head, without memory for its values."""
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return create(library, name, None, False, construction).state_dict()


def count_outputs(initial: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> int | None:
    """Outputs of the head in a state dict, where they differ from those of `initial`; else None."""
    differing = {
        state[key].shape[0]
        for key, value in initial.items()
        if key in state
        and value.ndim
        and state[key].shape != value.shape
        and state[key].shape[1:] == value.shape[1:]
    }
    return differing.pop() if len(differing) == 1 else None


def find_construction(
    library: str,
    name: str,
    initial: Mapping[str, Tensor],
    state: Mapping[str, Tensor],
    size: tuple[int, int] | None,
) -> Construction:
    """How a network is built that these weights fit: its channels, and of a transformer its size.

    `initial` is the state dict of the usual one; `size` is what the user feeds.
    """
    channels = _count_channels(initial, state)
    usual = _usual_size(library, name)
    if usual is None:
        return Construction(channels)
    trained = _trained_size(initial, state, usual)
    if trained is None and size in (None, usual):
        return Construction(channels)
    if size is None or library == "torchvision":
        return Construction(channels, trained)
    for one in (
        Construction(channels, size),
        Construction(channels, trained, any_size=True),
    ):
        if _fits(library, name, one, state):
            return one
    return Construction(channels, trained)


def _count_channels(initial: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> int | None:
    """Input channels of the first convolution in a state dict, where they are not the usual 3."""
    for key, value in initial.items():
        if value.ndim == 4 and value.shape[1] == 3 and key in state:
            found = state[key].shape
            others = found[:1] + found[2:] == value.shape[:1] + value.shape[2:]
            return int(found[1]) if len(found) == 4 and found[1] != 3 and others else None
    return None


def _usual_size(library: str, name: str) -> tuple[int, int] | None:
    """The image size that a network is built for; None where it takes any."""
    if library == "timm":
        from timm.models import get_pretrained_cfg

        config = get_pretrained_cfg(name)
        if config is None or not config.fixed_input_size:
            return None
        return (int(config.input_size[1]), int(config.input_size[2]))
    return (224, 224) if name.startswith("vit_") else None


def _trained_size(
    initial: Mapping[str, Tensor], state: Mapping[str, Tensor], usual: tuple[int, int]
) -> tuple[int, int] | None:
    """The image size that a square grid of position embeddings stands for, if not the usual."""
    for key, value in initial.items():
        if key.rpartition(".")[2] not in ("pos_embed", "pos_embedding") or key not in state:
            continue
        found = state[key].shape
        if value.ndim != 3 or len(found) != 3 or found == value.shape:
            continue
        side = math.isqrt(value.shape[1])
        grid = math.isqrt(found[1] - (value.shape[1] - side**2))
        if side and grid and usual[0] % side == 0:
            pixels = grid * (usual[0] // side)
            return pixels, pixels
    return None


def _fits(library: str, name: str, construction: Construction, state: Mapping[str, Tensor]) -> bool:
    """Whether a network can be built so, and all but its head has the shapes of a state dict."""
    try:
        built = initial_state(library, name, construction)
    except Exception:  # noqa: BLE001  (a library raises of every kind for what it does not know)
        return False
    return all(
        state[key].shape[1:] == value.shape[1:] for key, value in built.items() if key in state
    )


def configuration(library: str, name: str, network: nn.Module) -> Preprocessing:
    """The preprocessing that networks of this name are trained with, as far as it is known."""
    if library == OWN:
        return Preprocessing(channels=3)
    if library == "timm":
        from timm.data.config import resolve_model_data_config

        config = resolve_model_data_config(network)  # type: ignore[no-untyped-call]
        return Preprocessing(
            mean=config["mean"],
            std=config["std"],
            size=tuple(config["input_size"][1:]),
            interpolation=config["interpolation"].replace("random", "bilinear"),
            channels=config["input_size"][0],
            fit=_FITS.get(config["crop_mode"], "squash"),
            crop_pct=float(config["crop_pct"]),
        )
    import torchvision.models

    try:
        preset: Any = torchvision.models.get_model_weights(name).DEFAULT.transforms()
        size = int(preset.crop_size[0])
        return Preprocessing(
            preset.mean,
            preset.std,
            (size, size),
            preset.interpolation.value,
            channels=3,
            fit="crop",
            crop_pct=size / int(preset.resize_size[0]),
        )
    except (ValueError, AttributeError):
        return Preprocessing(channels=3)
