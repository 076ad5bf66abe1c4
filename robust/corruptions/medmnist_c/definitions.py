"""The corruptions that MedMNIST-C defines of each data set, made from its tables."""

from __future__ import annotations

from collections.abc import Mapping

from robust.corruptions.contract import Corruption
from robust.corruptions.medmnist_c.colour.brightness import Brightness
from robust.corruptions.medmnist_c.tables import NOTES, SEVERITY_TABLES


def _corruption(data_set: str, kind: str, levels: tuple[float, ...]) -> Corruption:
    definition = f"MedMNIST-C, {data_set}"
    note = NOTES.get((data_set, kind), "")
    return Brightness(kind, definition, levels, note)


MEDMNIST_C: Mapping[str, tuple[Corruption, ...]] = {
    data_set: tuple(_corruption(data_set, kind, levels) for kind, levels in kinds.items())
    for data_set, kinds in SEVERITY_TABLES.items()
}
"""By data set, in the order of the paper's code."""
