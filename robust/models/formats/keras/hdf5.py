"""Checks an HDF5 file before Keras reads it: no link out of the file, and no bomb."""

from __future__ import annotations

from typing import Any

from robust.errors import excerpt
from robust.models.checkpoints.archives import MOST_UNPACKED


def count_values(file: Any) -> int:
    """Number of all values in an open HDF5 file, which holds nothing but plain arrays.

    ValueError for a link to another place, for values that lie in another file, and for arrays that
    take much more memory than the file holds.
    """
    import h5py

    values = unpacked = 0

    def find_link(name: str, link: object) -> str | None:
        return None if isinstance(link, h5py.HardLink) else f"{excerpt(name)} is a link elsewhere"

    def find_bomb(name: str, thing: object) -> str | None:
        nonlocal values, unpacked
        if not isinstance(thing, h5py.Dataset):
            return None
        if thing.external or thing.is_virtual:
            return f"the values of {excerpt(name)} lie in another file"
        values += thing.size or 0
        if thing.nbytes > thing.id.get_storage_size():
            unpacked += thing.nbytes
        if unpacked > MOST_UNPACKED:
            return f"its packed arrays hold more than {MOST_UNPACKED >> 20} MiB"
        return None

    # What a callback returns ends the walk; what it raises would be lost.
    why = file.visititems_links(find_link) or file.visititems(find_bomb)
    if why is not None:
        raise ValueError(why)
    return values
