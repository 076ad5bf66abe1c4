"""`robust list`: the attacks, detectors, architectures and data formats that there are."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from robust.errors import InputError, did_you_mean

EXAMPLE = "Example: robust list models --filter 'resnet*'"


def list_(
    what: Annotated[str, typer.Argument(help="attacks, detectors, models or data.")],
    filter: Annotated[str, typer.Option(help="Shell pattern for the names of models.")] = "*",
) -> None:
    """List attacks, detectors, models or data formats."""
    if what not in LISTS:
        raise InputError(f"cannot list {what!r}; {did_you_mean(what, LISTS)}")
    Console().print(LISTS[what](filter))


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def attacks(pattern: str) -> Table:
    """Every attack with its norms, what it needs to know of the model, its cost and its paper."""
    from attacks import ATTACKS

    table = _table("attack", "norms", "finds", "needs to know", "passes", "idea and paper")
    for name, kind in ATTACKS.items():
        attack = kind()
        idea = (sys.modules[kind.__module__].__doc__ or "").splitlines()[0]
        finds = "the smallest change" if attack.minimum_norm else "a change within eps"
        norms = ", ".join(attack.norms)
        table.add_row(name, norms, finds, attack.knowledge, str(attack.passes), idea)
    table.add_row("foolbox:NAME", "Linf, L2", "", "", "", "Any attack of foolbox, if installed.")
    return table


def detectors(pattern: str) -> Table:
    """Every detector with what it learns from, what it needs, and its paper."""
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
    """The forms that `path` in `[data]` may take."""
    from robust.cases.phantoms.draw import MODALITIES

    table = _table("path", "what is read", "groups")
    table.add_row(
        "FOLDER with cases.csv",
        "images and DICOM; columns file, label, group, split, metadata",
        "a column",
    )
    table.add_row(
        "FOLDER/CLASS/*.png",
        "one subfolder per class, perhaps inside train, val and test",
        "group_pattern",
    )
    table.add_row("FILE.npz", "an official MedMNIST file", 'group = "none"')
    for modality in MODALITIES:
        table.add_row(f"phantom:{modality}", "synthetic images, drawn by a program", "built in")
    return table


LISTS: dict[str, Callable[[str], Table]] = {
    "attacks": attacks,
    "detectors": detectors,
    "models": models,
    "data": data,
}
