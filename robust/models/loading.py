"""`load_classifier`: a network by name, from a file, a factory or a trained folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from robust.errors import InputError, did_you_mean, type_and_line
from robust.files import path_exists
from robust.models.architectures import (
    build_network,
    configuration,
    count_outputs,
    find_library,
)
from robust.models.classifier import Classifier
from robust.models.formats import load_file, load_folder, load_library
from robust.models.formats.contract import LoadedNetwork, LoaderOptions, ModelOrigin
from robust.models.formats.registry import LIBRARIES
from robust.models.formats.tensorflow import refuse_as_weights
from robust.models.preparation import evaluate
from robust.models.trained import load_trained
from robust.models.weights import load_strictly, read_state_dict
from robust.plan.code import load_named
from robust.plan.paths import TRAINED


def load_classifier(
    architecture: str | None = None,
    *,
    weights: str | Path | None = None,
    pretrained: bool = False,
    file: str | Path | None = None,
    factory: str | None = None,
    folder: str | Path | None = None,
    outputs: int | Sequence[str] | None = None,
    finding: int | str | None = None,
    head: str = "auto",
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    size: int | Sequence[int] | None = None,
    interpolation: str | None = None,
    fit: str = "squash",
    channels: int | None = None,
    prompts: Sequence[str] = (),
    allow_code: bool = False,
    threshold: float = 0.5,
) -> Classifier:
    """A classifier from exactly one of four sources.

    - `architecture`: a timm or torchvision name (`timm:` or `torchvision:` before it decides where
      both have one; timm goes first), with a `weights` file or `pretrained=True`; or a name of
      another library, with its prefix.
    - `file`: a file that contains its architecture: a TorchScript file or an exported program
      (`.pt2`), an ONNX, Keras or TFLite file. The first two can run code as they are opened: take
      them from people you trust.
    - `factory`: `package.module:function`, called without arguments, with an optional `weights`.
    - `folder`: a folder written by `robust train`, which sets everything else but the threshold, or
      a folder of another library.

    `outputs` is the number of outputs, or their names; by default it is read from the weights.
    `finding` is the output to audit of a multilabel head, by name or number. Mean, std,
    size, interpolation and channels come from the architecture's configuration where it has one.
    Raises InputError.
    """
    _check_source(architecture=architecture, file=file, factory=factory, folder=folder)
    if folder is not None and (Path(folder) / TRAINED).exists():
        _refuse_more(
            weights=weights,
            pretrained=pretrained or None,
            outputs=outputs,
            finding=finding,
            head=None if head == "auto" else head,
            mean=mean,
            std=std,
            size=size,
            interpolation=interpolation,
            fit=None if fit == "squash" else fit,
            channels=channels,
        )
        return load_trained(folder, threshold)
    if weights is not None and path_exists(Path(weights)):
        refuse_as_weights(Path(weights))
    count = outputs if isinstance(outputs, int) or outputs is None else len(outputs)
    pair = None if size is None else _as_pair(size)
    options = LoaderOptions(
        weights=None if weights is None else Path(weights),
        pretrained=pretrained,
        outputs=count,
        channels=channels,
        size=(pair, pair) if isinstance(pair, int) else pair,
        prompts=tuple(prompts),
        allow_code=allow_code,
    )
    if architecture is not None:
        library = architecture.partition(":")[0]
        load = load_library if library in LIBRARIES else _from_architecture
        loaded = load(architecture, options)
    elif file is not None:
        loaded = load_file(Path(file), options)
    elif folder is not None:
        loaded = load_folder(Path(folder), options)
    else:
        loaded = LoadedNetwork(_from_factory(str(factory), weights), ModelOrigin("factory"))
    known = loaded.known
    output = _find_output(finding, outputs if outputs is not None else loaded.output_names)
    if head == "auto" and loaded.head is not None:
        head = loaded.head
    evaluate(loaded.network)
    return Classifier(
        loaded.network,
        origin=loaded.origin,
        mean=known.mean if mean is None else mean,
        std=known.std if std is None else std,
        channels=known.channels if channels is None else channels,
        size=known.size if pair is None else pair,
        interpolation=known.interpolation if interpolation is None else interpolation,
        fit=fit,
        head="multilabel" if output is not None and head == "auto" else head,
        finding=output,
        threshold=threshold,
    )


def random_classifier(architecture: str, outputs: int = 2) -> Classifier:
    """A network with random weights, to measure its speed with; InputError for an unknown name."""
    library, name = find_library(architecture)
    network = build_network(library, name, outputs, pretrained=False)
    known = configuration(library, name, network)
    evaluate(network)
    return Classifier(network, mean=known.mean, std=known.std, head="softmax")


def _check_source(**sources: object) -> None:
    """InputError unless exactly one source is given."""
    given = [name for name, value in sources.items() if value is not None]
    if len(given) != 1:
        raise InputError(
            f"[model] needs exactly one of architecture, file, factory and folder; "
            f"got {' and '.join(given) or 'none'}"
        )


def _refuse_more(**given: object) -> None:
    """InputError for what a trained folder sets itself: any other value would be another model."""
    for name, value in given.items():
        if value is not None:
            raise InputError(f"[model] folder sets {name} itself; remove {name}")


def _find_output(finding: int | str | None, outputs: int | Sequence[str] | None) -> int | None:
    """The number of the output that `finding` names; InputError."""
    if not isinstance(finding, str):
        return finding
    names = list(outputs) if isinstance(outputs, Sequence) else []
    if finding not in names:
        raise InputError(
            f"finding {finding!r} is not among the outputs; "
            + (did_you_mean(finding, names) if names else "name them: outputs = [...]")
        )
    return names.index(finding)


def _as_pair(size: int | Sequence[int]) -> int | tuple[int, int]:
    if isinstance(size, int):
        return size
    if len(size) != 2:
        raise InputError(f"size must be one number or (height, width), not {list(size)}")
    return int(size[0]), int(size[1])


def _from_architecture(name: str, options: LoaderOptions) -> LoadedNetwork:
    weights, outputs = options.weights, options.outputs
    if (weights is None) != options.pretrained:
        raise InputError(
            f"{name} needs either a weights file or pretrained = true; it has "
            + ("both" if options.pretrained else "neither")
        )
    library, name = find_library(name)
    state = read_state_dict(weights) if weights is not None else None
    if state is not None and outputs is None:
        outputs = count_outputs(library, name, state)
    network = build_network(library, name, outputs, options.pretrained)
    if state is not None:
        load_strictly(network, state, weights)
    known = configuration(library, name, network)
    return LoadedNetwork(network, ModelOrigin(f"{library}:{name}"), known)


def _from_factory(name: str, weights: str | Path | None) -> nn.Module:
    network = _call_factory(name)
    if weights is not None:
        load_strictly(network, read_state_dict(weights), weights)
    return network


def _call_factory(name: str) -> nn.Module:
    build = load_named(name, "factory")
    try:
        network = build()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001
        raise InputError(f"factory {name} failed: {type_and_line(error)}") from None
    if not isinstance(network, nn.Module):
        raise InputError(f"factory {name} returns a {type(network).__name__}, not an nn.Module")
    return network
