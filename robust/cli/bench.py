"""`robust bench`: how fast attacks run here, beside the libraries that are installed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from robust.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from attacks import Attack
    from robust.benchmark.contest import Contestant
    from robust.engine.mixed_precision import MixedPrecisionAttacker

EXAMPLE = "Example: robust bench --architecture resnet18 --size 64 --limit 8 --rounds 1"


def bench(
    plan: Annotated[Path | None, typer.Argument(help="A TOML plan: its model and data.")] = None,
    architecture: Annotated[
        str | None, typer.Option(help="Instead: timm or torchvision name, on phantom images.")
    ] = None,
    size: Annotated[int, typer.Option(help="Side of the phantom images.", min=28)] = 224,
    attack: Annotated[
        list[str] | None, typer.Option(help="PGD or CarliniWagnerL2; may be repeated.")
    ] = None,
    eps: Annotated[str, typer.Option(help="Radius for PGD.")] = "1/255",
    steps: Annotated[int, typer.Option(help="Steps of each attack.", min=1)] = 20,
    limit: Annotated[int, typer.Option(help="Images.", min=1)] = 64,
    rounds: Annotated[int, typer.Option(help="Of everyone in turn.", min=1)] = 3,
    precision: Annotated[str, typer.Option(help="auto, float32 or bfloat16.")] = "auto",
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto.")] = "auto",
) -> None:
    """Compare the speed of attacks with other libraries.

    Ratios of times measured in turn: with a busy machine take more rounds. Robust accuracy (or the
    median distance) is measured by us on the network as it is; lower is the stronger attack.
    """
    names = attack or ["PGD"]
    for name in names:
        if name not in ("PGD", "CarliniWagnerL2"):
            known = ["PGD", "CarliniWagnerL2"]
            raise InputError(f"cannot compare {name!r}; {did_you_mean(name, known)}")
    if precision not in ("auto", "float32", "bfloat16"):
        raise InputError(f"precision must be auto, float32 or bfloat16, not {precision!r}")
    if (plan is None) == (architecture is None):
        raise InputError("give a plan, or --architecture for phantom images")
    from robust.benchmark.contest import budgets, contest
    from robust.benchmark.workloads import from_architecture, from_plan
    from robust.plan.spec import parse_eps

    try:
        radius = parse_eps(eps)
    except ValueError as error:
        raise InputError(str(error)) from None
    if plan is not None:
        load = from_plan(plan, limit, device)
    else:
        load = from_architecture(str(architecture), size, limit, device)
    console, x = Console(), load.x
    console.print(f"{len(x)} images of {tuple(x.shape[1:])} on {x.device}", markup=False)
    for one in budgets(names, steps).values():
        everyone, attacker = contest(load, one, radius, rounds=rounds, precision=precision)
        show(everyone, attacker, one, eps, console)


def show(
    everyone: Sequence[Contestant],
    attacker: MixedPrecisionAttacker,
    attack: Attack,
    eps: str,
    console: Console,
) -> None:
    """A table of who took how long and found what."""
    from robust.benchmark.contest import FLOOR, OURS

    console.print(f"\n{attack!r}, {attacker.twins.speed}", markup=False, soft_wrap=True)
    table = Table(box=None, pad_edge=False)
    found = "median L2" if attack.minimum_norm else f"robust % at {eps}"
    for column in ("", "time / robust", "time / floor", found, "peak MiB"):
        table.add_column(column, justify="right" if column else "left", no_wrap=True)
    middle = {each.name: each.middle for each in everyone}
    for each in everyone:
        if each.failed:
            table.add_row(each.name, each.failed)
            continue
        worth = each.found if attack.minimum_norm else 100 * each.found
        table.add_row(
            each.name,
            f"{each.middle / middle[OURS]:.2f}",
            f"{each.middle / middle[FLOOR]:.2f}",
            "" if math.isnan(worth) else f"{worth:.3g}",
            f"{each.memory:.0f}",
        )
    console.print(table)
