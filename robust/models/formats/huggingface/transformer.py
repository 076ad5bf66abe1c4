"""Image classifiers of transformers, from a folder that `save_pretrained` wrote."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from robust.errors import InputError, did_you_mean, excerpt, type_and_line
from robust.models.architectures import configuration
from robust.models.checkpoints.archives import check_archive
from robust.models.formats.contract import LoadedNetwork, LoaderOptions, ModelOrigin
from robust.models.formats.huggingface.files import INDICES, PROCESSOR, WEIGHTS
from robust.models.formats.huggingface.processor import rebuild_processor
from robust.models.formats.libraries import import_library, in_silence
from robust.models.process_state import ProcessState
from robust.models.weights import read_state_dict

EXTRA = "huggingface"
HEADS = {
    "single_label_classification": "softmax",
    "multi_label_classification": "multilabel",
}
"""By `problem_type`."""


def load_transformers_folder(
    folder: Path, config: Mapping[str, Any], options: LoaderOptions
) -> LoadedNetwork:
    """The image classifier in a folder, with its labels and its preprocessing; InputError.

    Code of the author is never run; weights are read from safetensors where there are both, and
    pickles as plain tensors alone.
    """
    library = import_library("transformers", EXTRA)
    kind = _classifier_class(library, folder, config)
    network, notes = _load_network(kind, folder)
    settings = network.config
    labels = _labels(settings)
    outputs = int(settings.num_labels)
    if options.outputs not in (None, outputs):
        raise InputError(f"{folder} has {outputs} outputs, not {options.outputs}; remove outputs")
    head, said = _head(folder, settings.problem_type, outputs)
    notes += said
    if settings.model_type == "timm_wrapper":
        layers: list[nn.Module] = []
        known = configuration("timm", str(settings.architecture), network.timm_model)
    elif (folder / PROCESSOR).exists():
        known, layers = rebuild_processor(library, folder, int(_channels(settings)))
    else:
        raise InputError(
            f"{folder} holds no {PROCESSOR}, so its size, mean and std are unknown; copy the one "
            f"that the model was trained with into it"
        )
    return LoadedNetwork(
        nn.Sequential(*layers, network) if layers else network,
        ModelOrigin(f"transformers, {kind.__name__}", notes=notes),
        known,
        head=head,
        output_names=labels,
    )


def _classifier_class(library: Any, folder: Path, config: Mapping[str, Any]) -> type[Any]:
    """The class of the network; InputError where it is none for classifying images."""
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES as KNOWN,
    )

    kinds = KNOWN.get(config["model_type"], ())
    kinds = (kinds,) if isinstance(kinds, str) else tuple(kinds)
    named = [str(name) for name in config.get("architectures") or ()]
    name = named[0] if named else (kinds[0] if kinds else "")
    if name not in kinds:
        what = f"holds a {excerpt(name)}" if name else f"is of type {config['model_type']!r}"
        hint = f"; a {kinds[0]} is one" if kinds else ""
        if not kinds and not name:
            hint = f"; {did_you_mean(str(config['model_type']), KNOWN)}"
        raise InputError(f"{folder} {what}, which is no image classifier{hint}")
    for entry, what in (
        ("quantization_config", "quantised weights"),
        ("adapter_config.json", "an adapter for another model"),
    ):
        if config.get(entry) or (folder / entry).exists():
            raise InputError(
                f"{folder} holds {what}, which has no exact gradient here; save the full model at "
                f"float32"
            )
    found: type[Any] = getattr(library, name)
    return found


def _load_network(kind: type[Any], folder: Path) -> tuple[Any, tuple[str, ...]]:
    """The network with its weights at float32, and what is to be said of them; InputError."""
    present = [file for file in (*WEIGHTS, *INDICES) if (folder / file).exists()]
    if not present:
        raise InputError(
            f"{folder} holds none of {', '.join(WEIGHTS)}; weights of TensorFlow or Flax must be "
            f"saved with PyTorch first"
        )
    safe = any("safetensors" in file for file in present)
    for path in folder.glob("*.safetensors" if safe else "*.bin"):
        check_archive(path, "save the model again with save_pretrained")
    try:
        with in_silence(), _local_alone():
            network, found = kind.from_pretrained(
                folder,
                use_safetensors=safe,
                local_files_only=True,
                trust_remote_code=False,
                weights_only=True,
                # A config may name a kernel that is code on the hub. The eager one computes at
                # float32 what the rest computes at float64.
                attn_implementation="sdpa" if kind._supports_sdpa else "eager",
                dtype=torch.float32,
                output_loading_info=True,
            )
    except Exception as error:  # noqa: BLE001  (of any file)
        for path in () if safe else folder.glob("pytorch_model*.bin"):
            read_state_dict(path)  # says so where it is broken, or a pickle of any kind
        raise InputError(f"{folder} cannot be loaded: {type_and_line(error)}") from None
    for what in ("missing_keys", "mismatched_keys"):
        if names := sorted(map(str, found[what])):
            raise InputError(
                f"the weights in {folder} do not fill a {kind.__name__}: {names[0]} is "
                f"{what.partition('_')[0]} ({len(names)} in all); save the fine-tuned classifier "
                f"with save_pretrained"
            )
    unused = sorted(map(str, found["unexpected_keys"]))
    notes = (f"{len(unused)} weights of the file are unused, {unused[0]} first",) if unused else ()
    return network, notes


@contextmanager
def _set_local_alone() -> Iterator[None]:
    """Nothing that a config names may be fetched while a folder is read; no bar is drawn."""
    import huggingface_hub.constants as hub
    from transformers.utils import logging

    before, hub.HF_HUB_OFFLINE = hub.HF_HUB_OFFLINE, True
    drawn = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        hub.HF_HUB_OFFLINE = before
        if drawn:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]


_local_alone = ProcessState(_set_local_alone)


def _labels(settings: Any) -> tuple[str, ...] | None:
    """Names of the outputs in order, unless they are the library's placeholders."""
    names = tuple(str(settings.id2label[i]) for i in range(len(settings.id2label)))
    placeholders = all(name == f"LABEL_{i}" for i, name in enumerate(names))
    return None if placeholders else names


def _head(folder: Path, problem: str | None, outputs: int) -> tuple[str | None, tuple[str, ...]]:
    """The head that the problem and the number of outputs mean, and what is to be said of it."""
    if problem == "regression":
        raise InputError(
            f"{folder} predicts a number (problem_type regression), not classes; robust audits "
            f"classifiers"
        )
    if outputs == 1:
        return "sigmoid", ("its one output is read as the logit of the finding",)
    return HEADS.get(problem or "", "softmax"), ()


def _channels(settings: Any) -> int:
    """Channels of the images that a network takes; its own settings may keep it one level down."""
    for place in (settings, getattr(settings, "vision_config", None)):
        if (found := getattr(place, "num_channels", None)) is not None:
            return int(found)
    return 3
