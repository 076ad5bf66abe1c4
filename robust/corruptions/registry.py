"""Corruptions of each modality: those that MedMNIST-C defines and those of its scanners."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from robust.corruptions.contract import Corruption
from robust.corruptions.medmnist_c.definitions import MEDMNIST_C
from robust.corruptions.scanner.table import SCANNER_EFFECTS
from robust.errors import InputError, did_you_mean

MODALITIES: Mapping[str, tuple[str, ...]] = {
    "chest X-ray": ("pneumoniamnist", "chestmnist"),
    "fundus": ("retinamnist",),
    "dermoscopy": ("dermamnist",),
    "ultrasound": ("breastmnist",),
    "OCT": ("octmnist",),
    "CT": ("organamnist", "organcmnist", "organsmnist"),
    "pathology": ("pathmnist",),
    "microscopy": ("bloodmnist", "tissuemnist"),
    "MRI": (),
}
"""By the name that a plan gives, the data sets of MedMNIST-C that show it.

The first defines the severities of its corruptions; a plan names another set in its place.
"""

GROUPS = ("medmnist-c", "scanner")
"""Names that stand for all corruptions of one origin."""


def corruptions_of(modality: str, kinds: Sequence[str] = ()) -> list[Corruption]:
    """The corruptions of a modality, or of a data set of MedMNIST-C such as `tissuemnist`.

    A data set is a modality whose severities are its own. `kinds` are names of corruptions, or
    `medmnist-c` or `scanner` for all of that origin; empty for both. The result has the order of
    the kinds, each corruption once. InputError, with the nearest name, for what does not exist.
    """
    origins = _of(modality)
    known = {one.name: one for group in GROUPS for one in origins[group]}
    names = [*known, *(group for group in GROUPS if origins[group])]
    chosen: dict[str, Corruption] = {}
    for kind in kinds or [group for group in GROUPS if origins[group]]:
        if kind in known:
            found: tuple[Corruption, ...] = (known[kind],)
        elif found := origins.get(kind, ()):
            pass
        elif kind in GROUPS:
            raise InputError(f"{kind} defines nothing for {modality}; {_there(names)}")
        else:
            raise InputError(f"{modality} has no corruption {kind!r}; {did_you_mean(kind, names)}")
        chosen |= {one.name: one for one in found}
    return list(chosen.values())


def _there(names: Sequence[str]) -> str:
    return f"there are: {', '.join(names) or 'none'}"


def _of(asked: str) -> dict[str, tuple[Corruption, ...]]:
    """Its corruptions by group; those of MedMNIST-C come first where both have a name."""
    names = {name.lower(): name for name in (*MODALITIES, *MEDMNIST_C)}
    name = names.get(asked.lower())
    if name is None:
        raise InputError(f"unknown modality {asked!r}; {did_you_mean(asked, names.values())}")
    modality = next(home for home, sets in MODALITIES.items() if name in (home, *sets))
    data_set = name if name in MEDMNIST_C else next(iter(MODALITIES[modality]), None)
    defined = MEDMNIST_C[data_set] if data_set else ()
    taken = {one.name for one in defined}
    scanner = tuple(one for one in SCANNER_EFFECTS[modality] if one.name not in taken)
    return {"medmnist-c": defined, "scanner": scanner}


def _by_name() -> dict[str, tuple[Corruption, ...]]:
    found: dict[str, list[Corruption]] = {}
    for corruption in itertools.chain(*MEDMNIST_C.values(), *SCANNER_EFFECTS.values()):
        same = found.setdefault(corruption.name, [])
        if corruption not in same:
            same.append(corruption)
    return {name: tuple(ones) for name, ones in found.items()}


CORRUPTIONS: Mapping[str, tuple[Corruption, ...]] = _by_name()
"""All definitions of a kind, by its name: one per data set of MedMNIST-C, and those of scanners."""
