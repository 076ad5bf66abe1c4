"""MONAI bundles of 2-D classifiers: configs/inference.json, configs/metadata.json, models/model.pt.

Cardoso et al., "MONAI: An open-source framework for deep learning in healthcare", 2022.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from robust.errors import InputError, excerpt, type_and_line
from robust.files import read_json_table, read_text
from robust.models.architectures import Preprocessing
from robust.models.formats.contract import LoadedNetwork, LoaderOptions, ModelOrigin
from robust.models.formats.libraries import import_library, in_silence
from robust.models.formats.monai.transforms import rebuild_transforms, short_name
from robust.models.programs import load_program
from robust.models.weights import load_strictly, read_weights

EXTRA = "monai"
CONFIGS = ("inference.json", "inference.yaml", "inference.yml")
METADATA = "metadata.json"
MODEL, PROGRAM = Path("models/model.pt"), Path("models/model.ts")
NETWORKS = ("network_def", "network", "net")
"""Entries of inference.json that may hold the network, without where it is to run."""
MOST_LEVELS = 40
"""Of references and tables in one another."""


def load_bundle(folder: Path, options: LoaderOptions) -> LoadedNetwork:
    """The classifier in a bundle, with its preprocessing; InputError.

    Expressions in its configs, modules beside them and TorchScript are code: they are refused
    unless `allow_code`.
    """
    import_library("monai.bundle", EXTRA)
    config, metadata = _read_config(folder), _read_metadata(folder)
    _require_flat_classifier(folder, config, metadata)
    network, notes = _network(folder, config, options)
    layers = _preprocessing(folder, config)
    names = _channel_names(metadata)
    image = _format(metadata, "inputs")
    channels = options.channels or image.get("num_channels")
    if options.outputs is not None and names and options.outputs != len(names):
        raise InputError(f"{folder} has {len(names)} outputs, not {options.outputs}")
    called = excerpt(metadata.get("name") or type(network).__name__)
    return LoadedNetwork(
        nn.Sequential(*layers, network),
        ModelOrigin(f"MONAI bundle, {called}", notes=notes),
        Preprocessing(channels=int(channels) if channels in (1, 3) else None),
        head=_head(config, len(names)),
        output_names=names or None,
    )


# --- what the files say ---


def _read_config(folder: Path) -> Mapping[str, Any]:
    found = [folder / "configs" / name for name in CONFIGS if (folder / "configs" / name).exists()]
    if not found:
        raise InputError(
            f"{folder} holds no configs/{CONFIGS[0]}; name the folder of a MONAI bundle for "
            f"inference"
        )
    path = found[0]
    if path.suffix == ".json":
        return read_json_table(path)
    yaml = import_library("yaml", EXTRA)
    try:
        content = yaml.safe_load(read_text(path))
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} is not valid YAML; copy the bundle again") from None
    if not isinstance(content, dict):
        raise InputError(f"{path} holds no table; copy it again")
    return content


def _read_metadata(folder: Path) -> Mapping[str, Any]:
    path = folder / "configs" / METADATA
    return read_json_table(path) if path.exists() else {}


def _format(metadata: Mapping[str, Any], side: str) -> Mapping[str, Any]:
    """What metadata.json says of the first input or output; empty where it says nothing."""
    data = metadata.get("network_data_format")
    tables = data.get(side) if isinstance(data, dict) else None
    first = next(iter(tables.values()), None) if isinstance(tables, dict) else None
    return first if isinstance(first, dict) else {}


def _channel_names(metadata: Mapping[str, Any]) -> tuple[str, ...]:
    named = _format(metadata, "outputs").get("channel_def")
    if not isinstance(named, dict) or not all(str(key).isdigit() for key in named):
        return ()
    return tuple(str(named[key]) for key in sorted(named, key=int))


def _require_flat_classifier(
    folder: Path, config: Mapping[str, Any], metadata: Mapping[str, Any]
) -> None:
    """InputError for volumes, and for bundles that segment, detect or generate."""
    image, made = _format(metadata, "inputs"), _format(metadata, "outputs")
    shape = image.get("spatial_shape")
    name = next((known for known in NETWORKS if known in config), "")
    definition = config.get(name)
    dims = definition.get("spatial_dims") if isinstance(definition, dict) else None
    if dims == 3 or (isinstance(shape, list) and len(shape) == 3):
        raise InputError(f"{folder} is a bundle for 3-D volumes; robust audits 2-D classifiers")
    kind = str(made.get("type", ""))
    flat = made.get("format") in (None, "", "classes", "class", "labels", "probabilities")
    if "segment" in f"{made.get('format')} {kind}" or (kind == "image" and not flat):
        what = excerpt(metadata.get("task") or "segmentation")
        raise InputError(f"{folder} is a bundle for {what}; robust takes classifiers from bundles")


def _head(config: Mapping[str, Any], outputs: int) -> str | None:
    """The head that the bundle's own activation after the network means, where it has one."""
    for transform in _listed(config, "postprocessing"):
        if short_name(transform) == "Activations":
            if transform.get("softmax") is True:
                return "softmax"
            if transform.get("sigmoid") is True:
                return "sigmoid" if outputs == 1 else "multilabel"
    return None


def _listed(config: Mapping[str, Any], entry: str) -> list[Mapping[str, Any]]:
    """The transforms of an entry, with references to plain values filled in."""
    found = config.get(entry)
    if isinstance(found, dict):
        found = found.get("transforms")
    if isinstance(found, str) and found.startswith("@"):
        found = config.get(found[1:])
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


# --- the network ---


def _network(
    folder: Path, config: Mapping[str, Any], options: LoaderOptions
) -> tuple[nn.Module, tuple[str, ...]]:
    """The network with its weights, and what is to be said of these."""
    if not (folder / MODEL).exists():
        if not (folder / PROGRAM).exists():
            raise InputError(f"{folder} holds no {MODEL.as_posix()}; copy the weights into it")
        _require_code(options, f"{folder / PROGRAM} is TorchScript, which can run code")
        return load_program(folder / PROGRAM), ()
    network = _build(folder, config, options)
    weights = read_weights(folder / MODEL, network.state_dict(), options.weights_key)
    return network, (*weights.notes, *load_strictly(network, weights.state, folder / MODEL))


def _build(folder: Path, config: Mapping[str, Any], options: LoaderOptions) -> nn.Module:
    from monai.bundle.config_parser import ConfigParser

    entry = next((known for known in NETWORKS if known in config), None)
    if entry is None:
        raise InputError(f"{folder} has no network_def in its inference config")
    plain, code = _filled(config[entry], config, 0)
    full = _with_full_names(plain)
    code = code or _foreign_target(full)
    content: Mapping[str, Any] = {entry: full}
    if code is not None:
        _require_code(
            options,
            f"{folder} names {excerpt(code)!r} in its network, which is no network of MONAI or "
            f"torch.nn but code",
        )
        content = config
        sys.path.insert(0, str(folder))
    try:
        with in_silence():
            network = ConfigParser(dict(content)).get_parsed_content(entry)
    except Exception as error:  # noqa: BLE001  (of any names and arguments)
        raise InputError(
            f"MONAI cannot build {entry} of {folder}: {type_and_line(error)}"
        ) from None
    finally:
        if code is not None and str(folder) in sys.path:
            sys.path.remove(str(folder))
    if not isinstance(network, nn.Module):
        raise InputError(f"{entry} of {folder} is a {type(network).__name__}, not a network")
    return network


def _require_code(options: LoaderOptions, what: str) -> None:
    if not options.allow_code:
        raise InputError(
            f"{what}: if you trust the bundle, set allow_code = true in [model] or add --allow-code"
        )


def _filled(value: Any, config: Mapping[str, Any], level: int) -> tuple[Any, str | None]:
    """A value with its references filled in, and the first piece of code in it or None."""
    if level > MOST_LEVELS:
        raise InputError("the references in a MONAI config go round in a circle")
    if isinstance(value, str):
        if value.startswith(("$", "%")):
            return value, value
        if value.startswith("@"):
            return _filled(_look_up(value[1:], config), config, level + 1)
        return value, None
    if isinstance(value, Mapping):
        pairs = {key: _filled(inner, config, level + 1) for key, inner in value.items()}
        code = next((found for _, found in pairs.values() if found is not None), None)
        return {key: inner for key, (inner, _) in pairs.items()}, code
    if isinstance(value, list):
        items = [_filled(inner, config, level + 1) for inner in value]
        return [inner for inner, _ in items], next((c for _, c in items if c is not None), None)
    return value, None


def _look_up(reference: str, config: Mapping[str, Any]) -> Any:
    """The value of `a::b` or `a#b`."""
    found: Any = config
    for part in reference.replace("#", "::").split("::"):
        if isinstance(found, list) and part.isdigit() and int(part) < len(found):
            found = found[int(part)]
        elif isinstance(found, Mapping) and part in found:
            found = found[part]
        else:
            raise InputError(f"a MONAI config refers to {excerpt(reference)}, which it has not")
    return found


def _with_full_names(value: Any) -> Any:
    """The same; a bare name is one of MONAI's networks, and is built, not debugged or returned."""
    if isinstance(value, list):
        return [_with_full_names(inner) for inner in value]
    if not isinstance(value, Mapping):
        return value
    plain = {key: _with_full_names(inner) for key, inner in value.items() if key != "_mode_"}
    if "." not in str(plain.get("_target_", ".")):
        plain["_target_"] = f"monai.networks.nets.{plain['_target_']}"
    return plain


def _foreign_target(value: Any) -> str | None:
    """The first `_target_` that is no layer or network of torch or MONAI, or None."""
    inner: Sequence[Any] = value if isinstance(value, list) else ()
    if isinstance(value, Mapping):
        if "_target_" in value and not _is_layer(str(value["_target_"])):
            return str(value["_target_"])
        inner = list(value.values())
    return next((found for one in inner if (found := _foreign_target(one)) is not None), None)


def _is_layer(target: str) -> bool:
    """Whether a name stands for a network or a layer, or a function of MONAI that builds one."""
    module, _, name = target.rpartition(".")
    if not module.startswith(("monai.networks.nets", "monai.networks.blocks", "torch.nn")):
        return False
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ImportError:
        return False
    home = str(getattr(found, "__module__", ""))
    if inspect.isclass(found):
        return issubclass(found, nn.Module) and home.startswith(("monai.networks.", "torch.nn."))
    return inspect.isfunction(found) and home.startswith("monai.networks.nets.")


def _preprocessing(folder: Path, config: Mapping[str, Any]) -> list[nn.Module]:
    transforms: Sequence[Mapping[str, Any]] = _listed(config, "preprocessing")
    if not transforms:
        raise InputError(
            f"{folder} has no preprocessing in its inference config; give its weights as weights "
            f"of architecture = 'monai:NAME' and set size, mean and std in [model]"
        )
    filled = []
    for transform in transforms:
        asked = {k: v for k, v in transform.items() if k not in ("keys", "device")}
        plain, code = _filled(asked, config, 0)
        if code is not None:
            raise InputError(
                f"{folder} holds {excerpt(code)!r} in its preprocessing, which robust cannot "
                f"rebuild; give its weights as weights of architecture = 'monai:NAME'"
            )
        filled.append(plain)
    return rebuild_transforms(filled)
