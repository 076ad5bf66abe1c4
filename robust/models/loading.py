"""`load_classifier`: a network by name, from a file, a factory or a trained folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from robust.errors import InputError, did_you_mean
from robust.models.architectures import (
    AUXILIARY,
    Construction,
    Preprocessing,
    build_network,
    configuration,
    count_outputs,
    find_construction,
    find_library,
    initial_state,
)
from robust.models.blackbox.answers import Answers
from robust.models.blackbox.endpoint import (
    EndpointOptions,
    Layout,
    load_endpoint,
    require_fitting_input,
)
from robust.models.blackbox.network import (
    MOST_AT_ONCE,
    Questions,
    Takes,
    load_callable,
    require_labels_fit,
)
from robust.models.classifier import Classifier, in_bags, resized_side
from robust.models.formats import load_file, load_folder, load_library
from robust.models.formats.contract import (
    LoadedNetwork,
    LoaderOptions,
    MissingField,
    ModelOrigin,
)
from robust.models.formats.factory import call_factory, with_weights
from robust.models.formats.registry import prefix_of
from robust.models.preparation import evaluate
from robust.models.trained import load_trained
from robust.models.weights import load_strictly, read_weights
from robust.plan.model_fields import require_fitting_fields
from robust.plan.paths import is_trained

OUTPUTS_WITHOUT_NAMES = (
    "the model does not name them: give all names in order, outputs = [...] in [model], or the "
    "output's number, from 0"
)


def load_classifier(
    architecture: str | None = None,
    *,
    weights: str | Path | None = None,
    weights_key: str | None = None,
    pretrained: bool = False,
    file: str | Path | None = None,
    factory: str | None = None,
    folder: str | Path | None = None,
    outputs: int | Sequence[str] | None = None,
    finding: int | str | None = None,
    head: str = "auto",
    output_key: str | int | None = None,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    size: int | Sequence[int] | None = None,
    interpolation: str | None = None,
    fit: str | None = None,
    crop_pct: float | None = None,
    channels: int | None = None,
    spatial_dims: int | None = None,
    straight_through: Sequence[str] = (),
    prompts: Sequence[str | Sequence[str]] = (),
    bag: Mapping[str, Any] | None = None,
    allow_code: bool = False,
    endpoint: str | None = None,
    endpoint_token_env: str | None = None,
    endpoint_output: str | None = None,
    endpoint_layout: Layout | None = None,
    endpoint_timeout: float | None = None,
    endpoint_patience: float | None = None,
    answers: Answers | None = None,
    takes: Takes | None = None,
    at_once: int | None = None,
    queries: int | None = None,
    threshold: float = 0.5,
) -> Classifier:
    """A classifier from exactly one of these sources.

    - `architecture`: a timm or torchvision name (`timm:` or `torchvision:` before it decides where
      both have one; timm goes first), with a `weights` file or `pretrained=True`; or a name of
      another library, with its prefix.
    - `file`: a file that contains its architecture: ONNX, Keras or TFLite, a TorchScript file or an
      exported program (`.pt2`). The last two can run code as they are opened: take them from people
      you trust.
    - `factory`: `package.module:function`, called without arguments, with an optional `weights`.
      Where it returns a function and no network, that is a black box, which `takes` numpy arrays or
      tensors.
    - `endpoint`: a black box behind the Open Inference Protocol v2, whose server is asked at once.
    - `folder`: a folder written by `robust train`, which sets everything else but the threshold, or
      a folder of another library.

    `outputs` is the number of outputs, or their names; by default it is read from the weights.
    `finding` is the output to audit of a multilabel head, by name or number. `weights_key` chooses
    among several sets of weights in a file, `output_key` among several outputs. Mean, std, size,
    interpolation, fit, crop_pct and channels come from the architecture's configuration where it
    has one; `spatial_dims` is 3 for a network of volumes, `straight_through` names
    what gradients pass as if it were not there, as `models.gradients.straight_through` says. With
    `bag`, the fields of `BagSpec`, all this is of an instance, and the classifier reads bags. What
    a user should know of the weights stands in `origin.notes`. Raises InputError.
    """
    require_fitting_fields(dict(locals()))
    if folder is not None and is_trained(Path(folder)):
        trained = load_trained(folder, 0.5 if bag else threshold, () if bag else straight_through)
        return _in_bags(trained, bag, threshold, straight_through)
    count = outputs if isinstance(outputs, int) or outputs is None else len(outputs)
    named = () if isinstance(outputs, int) or outputs is None else tuple(outputs)
    pair = None if size is None else _as_pair(size)
    whole = (pair, pair) if isinstance(pair, int) else pair
    options = LoaderOptions(
        weights=None if weights is None else Path(weights),
        weights_key=weights_key,
        pretrained=pretrained,
        outputs=count,
        channels=channels,
        size=whole,
        prompts=tuple(p if isinstance(p, str) else tuple(p) for p in prompts),
        allow_code=allow_code,
    )
    if architecture is not None:
        prefix = prefix_of(architecture)
        if prefix is None:
            loaded = _from_architecture(architecture, options)
        else:
            loaded = load_library(prefix, architecture, options)
    elif file is not None:
        loaded = load_file(Path(file), options)
    elif folder is not None:
        loaded = load_folder(Path(folder), options)
    elif endpoint is not None:
        asked = EndpointOptions(
            token_env=endpoint_token_env,
            output=endpoint_output,
            layout=endpoint_layout,
            timeout=endpoint_timeout,
            patience=endpoint_patience,
            answers=answers,
            at_once=at_once,
            queries=queries,
            outputs=count,
            names=named,
        )
        loaded = load_endpoint(endpoint, asked)
        require_fitting_input(loaded, mean, std, channels, options.size)
    else:
        questions = Questions(
            answers or "scores", count, named, takes or "numpy", at_once or MOST_AT_ONCE
        )
        loaded = _from_factory(str(factory), options, questions, queries)
    if not loaded.origin.is_black_box:
        _refuse_questions(answers=answers, takes=takes, at_once=at_once, queries=queries)
    if prompts and not loaded.prompted:
        raise InputError("prompts are for zero-shot models, such as open_clip:NAME; remove prompts")
    known = loaded.known
    require_labels_fit(loaded.origin.answers, threshold)
    names = outputs if isinstance(outputs, Sequence) else loaded.output_names
    output = _find_output(finding, names)
    if head == "auto" and loaded.head is not None:
        head = loaded.head
        _check_finding(head, output, names)
    evaluate(loaded.network)
    origin = loaded.origin
    if fit is None and crop_pct is None and (note := _crop_note(known, whole)):
        origin = replace(origin, notes=(*origin.notes, note))
    own = fit in (None, known.fit)
    of_one = Classifier(
        loaded.network,
        origin=origin,
        mean=known.mean if mean is None else mean,
        std=known.std if std is None else std,
        channels=known.channels if channels is None else channels,
        size=known.size if pair is None else pair,
        interpolation=known.interpolation if interpolation is None else interpolation,
        fit=known.fit if fit is None else fit,
        crop_pct=crop_pct if crop_pct is not None else known.crop_pct if own else 1.0,
        half_pixel=known.half_pixel,
        head=head,
        finding=output,
        output_names=names,
        output_key=output_key,
        threshold=0.5 if bag else threshold,
        spatial_dims=spatial_dims,
        straight_through=() if bag else straight_through,
    )
    return _in_bags(of_one, bag, threshold, straight_through)


def _in_bags(
    instance: Classifier,
    bag: Mapping[str, Any] | None,
    threshold: float,
    straight_through: Sequence[str],
) -> Classifier:
    """The classifier of bags that `[model] bag` asks for; that of images without it."""
    if bag is None:
        return instance
    return in_bags(
        instance,
        bag.get("pooling", "mean"),
        bag["tile"],
        threshold=threshold,
        straight_through=straight_through,
    )


def random_classifier(architecture: str, outputs: int = 2) -> Classifier:
    """A network with random weights, to measure its speed with; InputError for an unknown name."""
    library, name = find_library(architecture)
    network = build_network(library, name, outputs, pretrained=False)
    known = configuration(library, name, network)
    evaluate(network)
    return Classifier(network, mean=known.mean, std=known.std, head="softmax")


def _refuse_questions(**fields: object) -> None:
    """InputError for fields of a black box, where a factory returns a network."""
    for name, value in fields.items():
        if value is not None:
            raise InputError(
                f"[model] {name} is for a black box, and the factory returns a network; remove "
                f"{name}"
            )


def _find_output(finding: int | str | None, outputs: Sequence[str] | None) -> int | None:
    """The number of the output that `finding` names; InputError."""
    names = list(outputs or ())
    if isinstance(finding, int) and finding in range(len(names)) and not names[finding]:
        raise InputError(f"output {finding} was not trained; {did_you_mean('', _trained(names))}")
    if not isinstance(finding, str):
        return finding
    if finding not in _trained(names):
        raise InputError(
            f"finding {finding!r} is not among the outputs; "
            + (did_you_mean(finding, _trained(names)) if names else OUTPUTS_WITHOUT_NAMES)
        )
    return names.index(finding)


def _trained(names: Sequence[str]) -> list[str]:
    return [name for name in names if name]


def _check_finding(head: str, finding: int | None, names: Sequence[str] | None) -> None:
    """InputError where a head that the files name does not fit whether a finding was chosen."""
    if head == "multilabel" and finding is None:
        hint = did_you_mean("", _trained(names), limit=20) if names else "give its number"
        raise MissingField(
            "finding", f"the model has an output for each finding: set finding; {hint}"
        )
    if head != "multilabel" and finding is not None:
        raise InputError(
            f"the model's outputs are read as {head}, not as findings of their own; remove finding"
        )


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
    if weights is None:
        if options.channels == 1:
            raise InputError(
                f"the pretrained weights of {name} take 3 channels; leave channels out: grey "
                f"images are shown to all three"
            )
        network = build_network(library, name, outputs, True)
        known = configuration(library, name, network)
        return LoadedNetwork(network, ModelOrigin(f"{library}:{name}"), known)
    initial = initial_state(library, name)
    found = read_weights(weights, initial, options.weights_key)
    construction = find_construction(library, name, initial, found.state, options.size)
    if outputs is None:
        outputs = count_outputs(initial, found.state)
    network = build_network(library, name, outputs, False, construction)
    notes = load_strictly(network, found.state, weights)
    known, changes = _known(library, name, network, construction, options)
    origin = ModelOrigin(f"{library}:{name}", notes=(*found.notes, *notes, *changes))
    return LoadedNetwork(network, origin, known)


def _known(
    library: str,
    name: str,
    network: nn.Module,
    construction: Construction,
    options: LoaderOptions,
) -> tuple[Preprocessing, tuple[str, ...]]:
    """The preprocessing of an architecture with these weights, and notes on it; InputError."""
    known, notes = configuration(library, name, network), []
    channels = construction.channels or 3
    if channels not in (1, 3):
        raise InputError(
            f"the weights are those of a network with {channels} input channels; images have 1 or 3"
        )
    if options.channels not in (None, channels):
        remedy = (
            "leave channels out: grey images are shown to all three"
            if channels == 3
            else ("leave channels out: colour images are read as grey")
        )
        raise InputError(
            f"the weights take {channels} channel{'s' * (channels > 1)}, channels = "
            f"{options.channels} cannot be; {remedy}"
        )
    if channels == 1:
        mean, std = _average(known.mean), _average(known.std)
        known = replace(known, channels=1, mean=mean, std=std)
        notes.append(
            f"the weights take one channel; mean {mean:g} and std {std:g} are the averages of the "
            f"architecture's own three, where mean and std in [model] do not say otherwise"
        )
    if construction.size is not None:
        known = replace(known, size=construction.size)
    if library == "torchvision" and name in AUXILIARY:
        notes.append(
            f"transform_input of {name} is off; a network that was fine-tuned from torchvision's "
            f"own weights has it on: give a factory then"
        )
    return known, tuple(notes)


def _average(values: float | Sequence[float]) -> float:
    return float(values) if isinstance(values, int | float) else sum(values) / len(values)


def _crop_note(known: Preprocessing, size: tuple[int, int] | None) -> str:
    """What a library's own transform leaves out of an image; empty where it leaves out nothing."""
    if known.fit == "squash" and known.crop_pct == 1:
        return ""
    size = size or known.size
    if size is None:
        return ""
    if known.fit == "pad":
        what = "padded with black to the network's shape"
    else:
        side = resized_side(min(size), known.crop_pct)
        whole = "the short side" if known.fit == "crop" else "both sides"
        what = f"resized to {side} pixels on {whole}, and the centre {size[0]} x {size[1]} is taken"
    return (
        f"images are {what}, as the architecture's own transform does it; fit = 'squash' in "
        f"[model] shows whole images to the network"
    )


def _from_factory(
    name: str, options: LoaderOptions, questions: Questions, queries: int | None
) -> LoadedNetwork:
    """The network that a factory returns, or the black box."""
    made = call_factory(name)
    if isinstance(made, nn.Module):
        return with_weights(made, options)
    if options.weights is not None:
        raise InputError(
            f"factory {name} returns a function, a black box, which takes no weights; remove them"
        )
    return load_callable(made, questions, name, queries)
