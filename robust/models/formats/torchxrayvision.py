"""torchxrayvision: chest X-ray networks with 18 outputs, by the names of their weights.

Cohen et al., "TorchXRayVision: A library of chest X-ray datasets and models", 2021.
"""

from __future__ import annotations

import urllib.parse
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from robust.errors import InputError, did_you_mean, type_and_line
from robust.models.architectures import Preprocessing, is_unreachable
from robust.models.checkpoints.archives import check_archive
from robust.models.formats.contract import LoadedNetwork, LoaderOptions, ModelOrigin
from robust.models.formats.libraries import import_library, in_silence
from robust.models.weights import Weights, load_strictly, read_weights
from robust.plan.paths import require_weights

EXTRA = "torchxrayvision"
MEAN, STD = 0.5, 1 / 2048
"""They take [0, 1] to [-1024, 1024]."""


def load_xray_network(name: str, options: LoaderOptions) -> LoadedNetwork:
    """A network of torchxrayvision as logits: its operating points and its sigmoid are off.

    Weights come from a file or, with `pretrained`, from the library's own folder of downloads.
    InputError.
    """
    library = import_library("torchxrayvision", EXTRA)
    known: Mapping[str, Mapping[str, Any]] = library.models.model_urls
    full = [known_name for known_name in known if "-res" in known_name]
    if name not in known:
        raise InputError(f"torchxrayvision has no weights {name!r}; {did_you_mean(name, full)}")
    if (options.weights is None) != options.pretrained:
        raise InputError(
            f"torchxrayvision:{name} needs either a weights file or pretrained = true; it has "
            + ("both" if options.pretrained else "neither")
        )
    described = known[name]
    labels = tuple(str(label) for label in described["labels"])
    if options.outputs not in (None, len(labels)):
        raise InputError(
            f"torchxrayvision:{name} has {len(labels)} outputs, not {options.outputs}; remove "
            f"outputs"
        )
    path = options.weights or _downloaded(library, name, str(described["weights_url"]))
    network = _build(library, name, len(labels))
    weights = _read_weights(library, path, network, options.weights_key)
    state = {name: value for name, value in weights.state.items() if name != "op_threshs"}
    notes = (*weights.notes, *load_strictly(network, state, path))
    side = int(described["input_resolution"])
    untrained = sum(not label for label in labels)
    if untrained:
        notes += (f"{untrained} of its {len(labels)} outputs were not trained",)
    return LoadedNetwork(
        network,
        ModelOrigin(f"torchxrayvision, {name}", notes=notes),
        Preprocessing(MEAN, STD, (side, side), channels=1, fit="crop"),
        head="multilabel",
        output_names=labels,
    )


def _build(library: Any, name: str, outputs: int) -> nn.Module:
    """The network without weights: the library's ResNet alone cannot be built without a file."""
    with in_silence():
        if not name.startswith("resnet"):
            dense: nn.Module = library.models.DenseNet(num_classes=outputs)
            return dense
        import torchvision.models

        residual: Any = torchvision.models.get_model(
            name.partition("-")[0], weights=None, num_classes=outputs
        )
        residual.conv1 = nn.Conv2d(1, 64, kernel_size=7, stride=2, padding=3, bias=False)
        network: nn.Module = residual
        return network


def _read_weights(library: Any, path: Path, network: nn.Module, key: str | None) -> Weights:
    """The state dict in a file; the library publishes whole networks, pickled.

    Such a network is opened with its own classes alone, so that no other code can run.
    """
    require_weights(path)
    if path.suffix == ".safetensors":
        return read_weights(path, network.state_dict(), key)
    check_archive(path, "download it again")
    models = library.models
    classes = [
        *(models.DenseNet, models._DenseBlock, models._DenseLayer, models._Transition),
        *(nn.Sequential, nn.ModuleDict, nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.MaxPool2d),
        *(nn.AvgPool2d, nn.Linear, OrderedDict),
    ]
    try:
        with in_silence(), torch.serialization.safe_globals(classes):
            content = torch.load(path, map_location="cpu", weights_only=True)
            if isinstance(content, nn.Module):
                for module in content.modules():  # those of old versions of torch lack it
                    module.__dict__.setdefault("_non_persistent_buffers_set", set())
                return Weights(dict(content.state_dict()), ())
    except Exception:  # noqa: BLE001
        pass  # what is wrong is said below
    return read_weights(path, network.state_dict(), key)


def _downloaded(library: Any, name: str, url: str) -> Path:
    """The file in the library's folder, downloaded where it is not there yet; InputError."""
    place = Path(library.utils.get_cache_dir()) / Path(urllib.parse.urlsplit(url).path).name
    if place.is_file():
        return place
    reason = "no connection"
    if not is_unreachable(url):
        try:
            with in_silence():
                return Path(library.models.get_weights(name))
        except Exception as error:  # noqa: BLE001
            reason = type_and_line(error)
    raise InputError(
        f"the weights of torchxrayvision:{name} could not be downloaded ({reason}); on a machine "
        f"with internet access download {url}, bring the file here, and set weights = "
        f"'{place.name}' in place of pretrained = true"
    )
