"""`load_segmenter`: a network that outlines structures, by name, from a file or a factory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from robust.errors import InputError
from robust.models.formats import load_file
from robust.models.formats.contract import LoadedNetwork, LoaderOptions
from robust.models.formats.factory import call_factory, with_weights
from robust.models.formats.named_segmenters import load_named_segmenter
from robust.models.preparation import evaluate
from robust.models.segmentation.segmenter import OVERLAP, Segmenter
from robust.models.segmentation.trained import load_trained_segmenter
from robust.plan.model_fields import require_fitting_fields
from robust.plan.paths import require_trained

CLASSES_ALONE = (".keras", ".h5", ".hdf5", ".tflite")
"""Suffixes of formats whose channels come last: their outlines are not read."""


def load_segmenter(
    architecture: str | None = None,
    *,
    weights: str | Path | None = None,
    weights_key: str | None = None,
    pretrained: bool = False,
    file: str | Path | None = None,
    factory: str | None = None,
    folder: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    outputs: int | Sequence[str] | None = None,
    head: str = "auto",
    output_key: str | int | None = None,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    size: int | Sequence[int] | None = None,
    multiple_of: int | None = None,
    window: int | Sequence[int] | None = None,
    overlap: float | None = None,
    blend: str | None = None,
    spatial_dims: int | None = None,
    straight_through: Sequence[str] = (),
    channels: int | None = None,
    allow_code: bool = False,
    threshold: float = 0.5,
) -> Segmenter:
    """A segmenter from exactly one of these sources.

    - `architecture`: `monai:UNet`, BasicUNet, SegResNet, UNETR or SwinUNETR; `smp:Unet` and the
      like of segmentation_models_pytorch; with a `weights` file, and with the arguments that it
      was built with in `settings`, where the weights do not show them.
    - `file`: ONNX, a TorchScript file or an exported program (`.pt2`). The last two can run code as
      they are opened: take them from people you trust.
    - `factory`: `package.module:function`, called without arguments, returns a network of images
      `(n, c, *space)` to outputs `(n, outputs, *space)`, with an optional `weights`.
    - `folder`: a folder written by `robust train`, which sets everything else but the threshold.

    `outputs` are the names of the outputs, or their number. The other fields are those of
    `Segmenter`. Raises InputError.
    """
    require_fitting_fields(dict(locals()))
    if folder is not None:
        require_trained(Path(folder))
        return load_trained_segmenter(folder, threshold, straight_through)
    if window is None and (overlap is not None or blend is not None):
        raise InputError("[model] overlap and blend are those of a window; set window")
    names = outputs if isinstance(outputs, Sequence) else None
    options = LoaderOptions(
        weights=None if weights is None else Path(weights),
        weights_key=weights_key,
        pretrained=pretrained,
        outputs=len(outputs) if isinstance(outputs, Sequence) else outputs,
        channels=channels,
        dense=True,
        settings=settings or {},
        allow_code=allow_code,
    )
    if architecture is not None:
        loaded = load_named_segmenter(architecture, options)
    elif file is not None:
        if Path(file).suffix.lower() in CLASSES_ALONE:
            raise InputError(
                f"robust reads classifiers alone from {Path(file).suffix} files, not {file}; "
                f"export the segmenter as ONNX, or give a factory"
            )
        loaded = load_file(Path(file), options)
    else:
        loaded = _from_factory(str(factory), options)
    evaluate(loaded.network)
    known = loaded.known
    return Segmenter(
        loaded.network,
        origin=loaded.origin,
        mean=known.mean if mean is None else mean,
        std=known.std if std is None else std,
        channels=known.channels if channels is None else channels,
        size=size,
        multiple_of=multiple_of,
        window=window,
        overlap=OVERLAP if overlap is None else overlap,
        blend=blend or "gaussian",
        head=loaded.head if head == "auto" and loaded.head is not None else head,
        output_key=output_key,
        output_names=loaded.output_names if names is None else names,
        threshold=threshold,
        spatial_dims=spatial_dims,
        straight_through=straight_through,
    )


def _from_factory(name: str, options: LoaderOptions) -> LoadedNetwork:
    made = call_factory(name)
    if not isinstance(made, nn.Module):
        raise InputError(
            f"factory {name} returns a function; a segmenter needs the network, an nn.Module"
        )
    return with_weights(made, options)
