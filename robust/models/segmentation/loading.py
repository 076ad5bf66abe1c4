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
from robust.models.preparation import evaluate
from robust.models.segmentation.segmenter import OVERLAP, Segmenter
from robust.plan.model_fields import require_fitting_fields


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
    channels: int | None = None,
    allow_code: bool = False,
    threshold: float = 0.5,
) -> Segmenter:
    """A segmenter from exactly one of these sources.

    - `factory`: `package.module:function`, called without arguments, returns a network `(n, c,
      *space)` to outputs `(n, outputs, *space)`, with an optional `weights`.

    The other fields are those of `Segmenter`. Raises InputError.
    """
    require_fitting_fields(dict(locals()))
    if window is None and (overlap is not None or blend is not None):
        raise InputError("[model] overlap and blend are those of a window; set window")
    names = outputs if isinstance(outputs, Sequence) else None
    options = LoaderOptions(
        weights=None if weights is None else Path(weights),
        weights_key=weights_key,
        pretrained=pretrained,
        outputs=len(outputs) if isinstance(outputs, Sequence) else outputs,
        channels=channels,
        spatial_dims=spatial_dims,
        settings=settings or {},
        allow_code=allow_code,
    )
    if file is not None:
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
        head=head,
        output_key=output_key,
        output_names=loaded.output_names if names is None else names,
        threshold=threshold,
        spatial_dims=spatial_dims,
    )


def _from_factory(name: str, options: LoaderOptions) -> LoadedNetwork:
    made = call_factory(name)
    if not isinstance(made, nn.Module):
        raise InputError(
            f"factory {name} returns a function; a segmenter needs the network, an nn.Module"
        )
    return with_weights(made, options)
