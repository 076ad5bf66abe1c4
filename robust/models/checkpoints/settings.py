"""What a checkpoint says of its training, as a hint: architecture, classes, size, mean, std."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from robust.models.checkpoints.inert import Inert

_HOLDERS = ("hyper_parameters", "args", "hparams", "config", "cfg", "opt", "params")
_WANTED = (
    *("arch", "architecture", "model", "model_name", "backbone", "encoder_name", "num_classes"),
    *("n_classes", "classes", "outputs", "in_chans", "in_channels", "channels", "img_size"),
    *("image_size", "input_size", "size", "crop_pct", "interpolation", "mean", "std"),
)
_WORD = re.compile(r"[A-Za-z0-9_.:-]{1,48}")
"""Names of networks; no path and no sentence, which may name a person."""


def settings_note(content: Any) -> str:
    """The settings of the training that `[model]` has as well, in a sentence; empty without any."""
    found: dict[str, str] = {}
    for name, value in _settings(content):
        text = _text(value)
        if name in _WANTED and text:
            found.setdefault(name, text)
    if not found:
        return ""
    said = ", ".join(f"{name} {text}" for name, text in found.items())
    return f"the checkpoint says of its training: {said}; compare it with [model]"


def _settings(content: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(content, Mapping):
        return
    if isinstance(content.get("arch"), str):
        yield "arch", content["arch"]
    for holder in _HOLDERS:
        held = content.get(holder)
        entries = {**held.entries, **held.attributes} if isinstance(held, Inert) else held
        if isinstance(entries, Mapping):
            yield from ((name, v) for name, v in entries.items() if isinstance(name, str))


def _text(value: Any) -> str:
    """A number, a few numbers or a name; empty for anything else."""
    if isinstance(value, bool):
        return ""
    if isinstance(value, int | float):
        return f"{value:g}" if isinstance(value, float) else f"{value:d}"[:20]
    if isinstance(value, str):
        return value if _WORD.fullmatch(value) else ""
    if isinstance(value, list | tuple) and 1 <= len(value) <= 4:
        parts = [_text(one) for one in value if isinstance(one, int | float)]
        return f"({', '.join(parts)})" if len(parts) == len(value) and all(parts) else ""
    return ""
