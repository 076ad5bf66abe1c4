"""Networks of timm and torchvision by name; the only file that imports timm."""

from __future__ import annotations

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
from robust.models.process_state import ProcessState


@dataclass(frozen=True)
class Preprocessing:
    """Preprocessing that an architecture's own configuration asks for."""

    mean: Sequence[float] | float = 0.0
    std: Sequence[float] | float = 1.0
    size: tuple[int, int] | None = None
    interpolation: str = "bilinear"
    channels: int | None = None


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
    if library not in ("", "timm", "torchvision"):
        raise InputError(f"unknown library {library!r} in {name!r}; use timm: or torchvision:")
    known = list_models()
    for candidate in (library,) if library else ("timm", "torchvision"):
        # timm also takes names with a tag of the weights, as in resnet50.a1_in1k
        if rest in known[candidate] or (
            candidate == "timm" and rest.split(".")[0] in known["timm"]
        ):
            return candidate, rest
    everything = known[library] if library else known["timm"] + known["torchvision"]
    raise InputError(f"unknown architecture {rest!r}; {did_you_mean(rest, everything)}")


def build_network(library: str, name: str, outputs: int | None, pretrained: bool) -> nn.Module:
    """The network; InputError where it cannot be built or its weights cannot be downloaded."""
    try:
        return create(library, name, outputs, pretrained)
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


def create(library: str, name: str, outputs: int | None, pretrained: bool) -> nn.Module:
    """The network; raises whatever the library raises."""
    if library == "timm":
        import timm

        extra: dict[str, Any] = {} if outputs is None else {"num_classes": outputs}
        with _quick_when_offline() if pretrained else nullcontext():
            network: nn.Module = timm.create_model(name, pretrained=pretrained, **extra)
        return network
    import torchvision.models

    arguments: dict[str, Any] = {"weights": "DEFAULT" if pretrained else None}
    if name in ("googlenet", "inception_v3") and not pretrained:
        arguments |= {"aux_logits": False, "init_weights": False}
    if outputs is not None and not pretrained:
        arguments["num_classes"] = outputs
    built: nn.Module = torchvision.models.get_model(name, **arguments)
    if pretrained and outputs not in (None, 1000):
        raise InputError(
            f"torchvision's pretrained {name} has 1000 outputs, not {outputs}; fine-tune it first"
        )
    return built


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
    if not before and not urllib.request.getproxies():
        try:
            socket.getaddrinfo(urllib.parse.urlsplit(hub.ENDPOINT).hostname, 443)
        except OSError:
            hub.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        hub.HF_HUB_OFFLINE = before


_quick_when_offline = ProcessState(_set_quick_when_offline)


def count_outputs(library: str, name: str, state: Mapping[str, Tensor]) -> int | None:
    """Outputs of the head in a state dict, where they differ from the usual 1000; else None."""
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        initial = create(library, name, None, pretrained=False).state_dict()
    differing = {
        state[key].shape[0]
        for key, value in initial.items()
        if key in state
        and value.ndim
        and state[key].shape != value.shape
        and state[key].shape[1:] == value.shape[1:]
    }
    return differing.pop() if len(differing) == 1 else None


def configuration(library: str, name: str, network: nn.Module) -> Preprocessing:
    """The preprocessing that networks of this name are trained with, as far as it is known."""
    if library == "timm":
        from timm.data.config import resolve_model_data_config

        config = resolve_model_data_config(network)  # type: ignore[no-untyped-call]
        return Preprocessing(
            mean=config["mean"],
            std=config["std"],
            size=tuple(config["input_size"][1:]),
            interpolation=config["interpolation"].replace("random", "bilinear"),
            channels=config["input_size"][0],
        )
    import torchvision.models

    try:
        preset: Any = torchvision.models.get_model_weights(name).DEFAULT.transforms()
        size = int(preset.crop_size[0])
        return Preprocessing(
            preset.mean, preset.std, (size, size), preset.interpolation.value, channels=3
        )
    except (ValueError, AttributeError):
        return Preprocessing(channels=3)
