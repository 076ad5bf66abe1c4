"""Files of a folder on the hub: their names, and its config.json."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from robust.errors import InputError, excerpt
from robust.files import read_json_table

CONFIG, PROCESSOR = "config.json", "preprocessor_config.json"
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
INDICES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
"""Of weights in several files."""


def read_config(path: Path) -> Mapping[str, Any]:
    """The content of a config.json; InputError where it is no table or asks for foreign code."""
    content = read_json_table(path)
    if content.get("auto_map"):
        named = content["auto_map"]
        code = next(iter(named.values())) if isinstance(named, dict) else named
        raise InputError(
            f"{path} asks for code of its author (auto_map: {excerpt(code)}), which robust never "
            f"runs: export the model to ONNX or with torch.export, or build it in a factory of "
            f"your own"
        )
    return content
