"""Folders in timm's own format for the hub: config.json with an architecture, and weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from robust.errors import InputError, type_and_line
from robust.models.architectures import configuration, create
from robust.models.formats.contract import LoadedNetwork, LoaderOptions, ModelOrigin
from robust.models.formats.libraries import in_silence
from robust.models.weights import load_strictly, read_weights

FILES = ("model.safetensors", "pytorch_model.bin", "pytorch_model.pth", "model.pth")
"""Of weights, in timm's own order."""


def load_timm_folder(
    folder: Path, config: Mapping[str, Any], options: LoaderOptions
) -> LoadedNetwork:
    """The network that timm's `save_for_hf` wrote; its labels are the names of the outputs."""
    path = next((folder / file for file in FILES if (folder / file).exists()), None)
    if path is None:
        raise InputError(f"{folder} holds none of {', '.join(FILES)}; copy the weights into it")
    try:
        with in_silence():
            network = create("timm", f"local-dir:{folder}", None, pretrained=False)
    except Exception as error:  # noqa: BLE001  (of any name and any arguments in the file)
        raise InputError(
            f"timm cannot build what {folder / 'config.json'} describes: {type_and_line(error)}"
        ) from None
    weights = read_weights(path, network.state_dict())
    notes = (*weights.notes, *load_strictly(network, weights.state, path))
    asked = getattr(network, "pretrained_cfg", {})
    names = asked.get("label_names") or ()
    outputs = int(getattr(network, "num_classes", 0))
    if outputs == 0:
        raise InputError(f"{folder} holds features alone, without a classifier; fine-tune it first")
    if options.outputs not in (None, outputs):
        raise InputError(f"{folder} has {outputs} outputs, not {options.outputs}; remove outputs")
    return LoadedNetwork(
        network,
        ModelOrigin(f"timm folder, {config['architecture']}", notes=notes),
        configuration("timm", str(config["architecture"]), network),
        output_names=tuple(map(str, names)) if len(names) == outputs else None,
    )
