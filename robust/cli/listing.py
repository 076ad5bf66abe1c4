"""What there is to choose from: attacks, detectors, architectures, data; as tables to print."""

from __future__ import annotations

import sys
from collections.abc import Callable

from rich.table import Table

from robust.errors import InputError


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def attacks(pattern: str) -> Table:
    """Every attack with its norms, its cost and its paper."""
    from attacks import ATTACKS

    table = _table("attack", "norms", "finds", "passes", "idea and paper")
    for name, kind in ATTACKS.items():
        attack = kind()
        idea = (sys.modules[kind.__module__].__doc__ or "").splitlines()[0]
        finds = "the nearest image" if attack.minimum_norm else "an image within eps"
        table.add_row(name, ", ".join(attack.norms), finds, str(attack.passes), idea)
    table.add_row("foolbox:NAME", "Linf, L2", "", "", "Any attack of foolbox, if installed.")
    return table


def detectors(pattern: str) -> Table:
    """Every detector with what it learns from and cannot do without, and its paper."""
    from detectors import DETECTORS

    table = _table("detector", "learns from", "needs", "gradient", "idea and paper")
    table.columns[0].no_wrap = True
    for name, kind in DETECTORS.items():
        idea = (sys.modules[kind.__module__].__doc__ or "").splitlines()[0]
        learns = "clean, attacked" if kind.has_head else "nothing"
        needs = ["an attack"] if kind.needs_head else []
        needs += ["dropout"] if kind.needs_dropout else []
        gradient = "yes" if kind.differentiable else "no"
        table.add_row(name, learns, ", ".join(needs), gradient, idea)
    return table


def models(pattern: str) -> Table:
    """Architectures whose names match a shell pattern."""
    from robust.models import list_models

    found = list_models(pattern)
    if not any(found.values()):
        raise InputError(f"no architecture matches {pattern!r}; try a pattern such as 'resnet*'")
    table = _table("library", "architecture")
    for library, names in found.items():
        for name in names:
            table.add_row(library, name)
    return table


def data(pattern: str) -> Table:
    """What `path` in `[data]` may be."""
    from robust.cases.phantoms.draw import MODALITIES

    table = _table("path", "what is read", "groups")
    table.add_row(
        "FOLDER with cases.csv", "columns file, label, group, split, metadata", "a column"
    )
    table.add_row(
        "FOLDER/CLASS/*.png", "a subfolder a class, below train, val, test or not", "group_pattern"
    )
    table.add_row("FILE.npz", "an official MedMNIST file", 'group = "none"')
    for modality in MODALITIES:
        table.add_row(f"phantom:{modality}", "drawn by a program, no network needed", "built in")
    return table


LISTS: dict[str, Callable[[str], Table]] = {
    "attacks": attacks,
    "detectors": detectors,
    "models": models,
    "data": data,
}
