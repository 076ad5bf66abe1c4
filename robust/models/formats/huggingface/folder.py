"""Folders with a config.json, as the Hugging Face hub keeps them: of transformers or of timm."""

from __future__ import annotations

from pathlib import Path

from robust.errors import InputError
from robust.models.formats.contract import LoadedNetwork, LoaderOptions
from robust.models.formats.huggingface.files import CONFIG, read_config
from robust.models.formats.huggingface.transformer import load_transformers_folder
from robust.models.formats.timm_folder import load_timm_folder


def load_hub_folder(folder: Path, options: LoaderOptions) -> LoadedNetwork:
    """The image classifier in a folder of `save_pretrained` or of timm's hub format; InputError."""
    config = read_config(folder / CONFIG)
    if "model_type" in config:
        return load_transformers_folder(folder, config, options)
    if "architecture" in config:
        return load_timm_folder(folder, config, options)
    raise InputError(
        f"{folder / CONFIG} names neither a model_type (transformers) nor an architecture (timm); "
        f"give a folder that one of these libraries has written"
    )
