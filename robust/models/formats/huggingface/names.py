"""Models of the Hugging Face hub by name: from the local cache, or downloaded once."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from robust.errors import InputError, type_and_line
from robust.files import read_json_table
from robust.models.architectures import quick_when_offline
from robust.models.formats.contract import LoadedNetwork, LoaderOptions
from robust.models.formats.huggingface.files import (
    CONFIG,
    INDICES,
    PROCESSOR,
    WEIGHTS,
    read_config,
)
from robust.models.formats.huggingface.folder import load_hub_folder
from robust.models.formats.libraries import in_silence


def load_hub_name(name: str, options: LoaderOptions) -> LoadedNetwork:
    """The image classifier `owner/name`, or `owner/name@revision`, of the hub; InputError.

    It may be one of transformers or of timm. No code of its author is run.
    """
    repository, _, revision = name.partition("@")
    if repository.count("/") != 1 or not all(repository.split("/")):
        raise InputError(f"a name on the hub looks like owner/name, not {repository!r}")
    if options.weights is not None or not options.pretrained:
        raise InputError(
            f"{name} is a model with its weights on the hub: set pretrained = true and no "
            f"weights; for files that you have, set folder in place of architecture"
        )
    try:
        with in_silence(), quick_when_offline():
            folder = _fetch(repository, revision or None)
    except InputError:
        raise
    except Exception as error:  # noqa: BLE001  (of the client, of the network, of the disk)
        short = repository.partition("/")[2]
        said = f" --revision {revision}" if revision else ""
        raise InputError(
            f"{repository} is not in the local cache and could not be downloaded "
            f"({type(error).__name__}); on a machine with internet access run: hf download "
            f"{repository}{said} --local-dir {short}, bring the folder here, and set folder = "
            f"'{short}' in place of architecture and pretrained"
        ) from None
    plain = LoaderOptions(
        outputs=options.outputs, channels=options.channels, prompts=options.prompts
    )
    return load_hub_folder(folder, plain)


def _fetch(repository: str, revision: str | None) -> Path:
    """The folder of a repository in the cache, with the files that a classifier needs.

    Raises whatever the hub's client raises.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    def fetch(file: str) -> Path:
        return Path(hf_hub_download(repository, file, revision=revision))

    config = fetch(CONFIG)
    read_config(config)  # refused before anything large is fetched
    with suppress(EntryNotFoundError):
        fetch(PROCESSOR)
    for file in (*WEIGHTS, *INDICES):
        try:
            found = fetch(file)
        except EntryNotFoundError as error:
            last = error
            continue
        if file in INDICES:
            parts = read_json_table(found).get("weight_map")
            if not isinstance(parts, dict):
                raise InputError(f"{found} names no files of weights; download it again")
            for part in sorted(set(map(str, parts.values()))):
                fetch(part)
        return config.parent
    raise InputError(
        f"{repository} holds none of {', '.join(WEIGHTS)} ({type_and_line(last)}); choose a "
        f"revision that does: owner/name@revision"
    )
