"""`load_classifier`: an architecture by name, a file that carries its own, or a factory."""

from __future__ import annotations

import importlib
import os
import socket
import sys
import urllib.parse
import urllib.request
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from robust.errors import InputError, did_you_mean, first_line
from robust.models.classifier import Classifier
from robust.models.prepare import evaluate
from robust.models.programs import load_program
from robust.models.weights import load_strictly, read_state_dict


@dataclass(frozen=True)
class Preprocessing:
    """What an architecture's own configuration says of its inputs."""

    mean: Sequence[float] | float = 0.0
    std: Sequence[float] | float = 1.0
    size: tuple[int, int] | None = None
    interpolation: str = "bilinear"
    channels: int | None = None


def load_classifier(
    architecture: str | None = None,
    *,
    weights: str | Path | None = None,
    pretrained: bool = False,
    file: str | Path | None = None,
    factory: str | None = None,
    outputs: int | Sequence[str] | None = None,
    finding: int | str | None = None,
    head: str = "auto",
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    size: int | Sequence[int] | None = None,
    interpolation: str | None = None,
    fit: str = "squash",
    channels: int | None = None,
    threshold: float = 0.5,
) -> Classifier:
    """A classifier from exactly one of three sources.

    - `architecture`: a timm or torchvision name (`timm:` or `torchvision:` before it decides where
      both have one; timm goes first), with a `weights` file or `pretrained=True`.
    - `file`: a TorchScript file, or an exported program (`.pt2`).
    - `factory`: `package.module:function`, called without arguments, with an optional `weights`.

    `outputs` is the number of the head's outputs, or their names; by default it is read from the
    weights. `finding` names or counts the output that a multilabel head is asked for. Mean, std,
    size, interpolation and channels come from the architecture's configuration where it has one.
    Raises InputError.
    """
    sources = {"architecture": architecture, "file": file, "factory": factory}
    given = [name for name, value in sources.items() if value is not None]
    if len(given) != 1:
        raise InputError(
            f"[model] needs exactly one of architecture, file and factory; got "
            f"{' and '.join(given) or 'none'}"
        )
    count = outputs if isinstance(outputs, int) or outputs is None else len(outputs)
    known = Preprocessing()
    if architecture is not None:
        network, known = _from_architecture(architecture, weights, pretrained, count)
    elif file is not None:
        network = load_program(Path(file))
    else:
        assert factory is not None  # one of the three is given
        network = _from_factory(factory)
        if weights is not None:
            load_strictly(network, read_state_dict(weights), weights)
    if isinstance(finding, str):
        names = list(outputs) if isinstance(outputs, Sequence) else []
        if finding not in names:
            raise InputError(
                f"finding {finding!r} is not among the outputs; "
                + (did_you_mean(finding, names) if names else "name them: outputs = [...]")
            )
        finding = names.index(finding)
    if finding is not None and head == "auto":
        head = "multilabel"
    if isinstance(size, Sequence):
        if len(size) != 2:
            raise InputError(f"size must be one number or (height, width), not {list(size)}")
        size = (int(size[0]), int(size[1]))
    evaluate(network)
    return Classifier(
        network,
        mean=known.mean if mean is None else mean,
        std=known.std if std is None else std,
        channels=known.channels if channels is None else channels,
        size=known.size if size is None else size,
        interpolation=known.interpolation if interpolation is None else interpolation,
        fit=fit,
        head=head,
        finding=finding,
        threshold=threshold,
    )


def random_classifier(architecture: str, outputs: int = 2) -> Classifier:
    """A network with random weights, to measure its speed with; InputError for an unknown name."""
    library, name = _find_library(architecture)
    try:
        network = _create(library, name, outputs, pretrained=False)
    except Exception as error:  # noqa: BLE001
        raise InputError(f"{library}:{name} cannot be built: {error}") from None
    known = _configuration(library, name, network)
    evaluate(network)
    return Classifier(network, mean=known.mean, std=known.std, head="softmax")


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


def _from_architecture(
    name: str, weights: str | Path | None, pretrained: bool, outputs: int | None
) -> tuple[nn.Module, Preprocessing]:
    if (weights is None) != pretrained:
        raise InputError(
            f"{name} needs either a weights file or pretrained = true; it has "
            + ("both" if pretrained else "neither")
        )
    library, name = _find_library(name)
    state = read_state_dict(weights) if weights is not None else None
    if state is not None and outputs is None:
        outputs = _count_outputs(library, name, state)
    try:
        network = _create(library, name, outputs, pretrained)
    except Exception as error:  # noqa: BLE001
        if not pretrained:
            raise InputError(f"{library}:{name} cannot be built: {error}") from None
        raise InputError(
            f"the pretrained weights of {library}:{name} are not to be had here "
            f"({type(error).__name__}); on a machine with a network run: python -c "
            f'"{_fetch_command(library, name)}", bring {name}.pth here, and set '
            f"weights = '{name}.pth' in place of pretrained = true"
        ) from None
    if state is not None:
        load_strictly(network, state, weights)
    return network, _configuration(library, name, network)


def _find_library(name: str) -> tuple[str, str]:
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


def _create(library: str, name: str, outputs: int | None, pretrained: bool) -> nn.Module:
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
    made: nn.Module = torchvision.models.get_model(name, **arguments)
    if pretrained and outputs not in (None, 1000):
        raise InputError(
            f"torchvision's pretrained {name} has 1000 outputs, not {outputs}; fine-tune it first"
        )
    return made


def _fetch_command(library: str, name: str) -> str:
    build = (
        f"timm.create_model('{name}', pretrained=True)"
        if library == "timm"
        else f"torchvision.models.get_model('{name}', weights='DEFAULT')"
    )
    return f"import torch, {library}; torch.save({build}.state_dict(), '{name}.pth')"


@contextmanager
def _quick_when_offline() -> Iterator[None]:
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


def _count_outputs(library: str, name: str, state: Mapping[str, Tensor]) -> int | None:
    """The head's outputs as the weights have them: where they differ from a head of 1000."""
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        own = _create(library, name, None, pretrained=False).state_dict()
    differing = {
        state[key].shape[0]
        for key, value in own.items()
        if key in state
        and value.ndim
        and state[key].shape != value.shape
        and state[key].shape[1:] == value.shape[1:]
    }
    return differing.pop() if len(differing) == 1 else None


def _configuration(library: str, name: str, network: nn.Module) -> Preprocessing:
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


def _from_factory(name: str) -> nn.Module:
    module_name, _, function = name.partition(":")
    if not function or not all(part.isidentifier() for part in module_name.split(".")):
        raise InputError(f"factory {name!r} must look like package.module:function")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        top = module_name.split(".")[0]
        itself = error.name is not None and f"{module_name}.".startswith(f"{error.name}.")
        remedy = (
            f"run from the folder that holds {top}" if itself else f"{top} needs it: install it"
        )
        raise InputError(f"factory {name!r}: {error}; {remedy}") from None
    except (Exception, SystemExit) as error:  # noqa: BLE001  (a script may even parse arguments)
        reason = f"{type(error).__name__}: {first_line(error)}"
        raise InputError(f"factory {name}: {module_name} cannot be imported: {reason}") from None
    if not hasattr(module, function):
        public = [known for known in vars(module) if not known.startswith("_")]
        raise InputError(f"{module_name} has no {function!r}; {did_you_mean(function, public)}")
    try:
        network = getattr(module, function)()
    except (Exception, SystemExit) as error:  # noqa: BLE001
        raise InputError(
            f"factory {name} failed: {type(error).__name__}: {first_line(error)}"
        ) from None
    if not isinstance(network, nn.Module):
        raise InputError(f"factory {name} returns a {type(network).__name__}, not an nn.Module")
    return network
