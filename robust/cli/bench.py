"""`robust bench`: the speed of attacks beside the libraries that are installed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from robust.cli.output import make_console
from robust.cli.plan_options.options import ATTACKS, DATA, MODEL, RUNNING, AllowCode, Device
from robust.cli.process.manners import emit
from robust.errors import InputError, did_you_mean
from robust.progress import progress_bar

if TYPE_CHECKING:
    from attacks import Attack
    from robust.benchmark.contest import Contestant
    from robust.engine.mixed_precision import MixedPrecisionAttacker

EXAMPLE = "Example: robust bench --architecture resnet18 --size 64 --limit 8 --rounds 1"
ATTACK_NAMES = ("PGD", "CarliniWagnerL2")
PRECISIONS = ("auto", "float32", "bfloat16")


def bench(
    plan: Annotated[
        Path | None,
        typer.Argument(help="Plan in TOML. Its model and data are used.", show_default=False),
    ] = None,
    architecture: Annotated[
        str | None,
        typer.Option(
            help="In place of a plan: timm or torchvision name, run on synthetic images.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    size: Annotated[
        int,
        typer.Option(help="Side of the synthetic images in pixels.", min=28, rich_help_panel=DATA),
    ] = 224,
    limit: Annotated[int, typer.Option(help="Number of images.", min=1, rich_help_panel=DATA)] = 64,
    attack: Annotated[
        list[str] | None,
        typer.Option(
            help="PGD or CarliniWagnerL2. May be repeated.",
            rich_help_panel=ATTACKS,
            show_default="PGD",
        ),
    ] = None,
    eps: Annotated[
        str, typer.Option(help="Attack size (eps) for PGD.", rich_help_panel=ATTACKS)
    ] = "1/255",
    steps: Annotated[
        int, typer.Option(help="Steps of each attack.", min=1, rich_help_panel=ATTACKS)
    ] = 20,
    precision: Annotated[
        str, typer.Option(help="auto, float32 or bfloat16.", rich_help_panel=ATTACKS)
    ] = "auto",
    rounds: Annotated[int, typer.Option(help="Repetitions.", min=1, rich_help_panel=RUNNING)] = 3,
    device: Device = "auto",
    allow_code: AllowCode = False,
) -> None:
    """Compare the speed of attacks with other libraries.

    All libraries run in turn and the table shows ratios of their times. A busy machine needs more
    rounds. Robust accuracy (or the median distance) is measured by robust on the original network;
    lower means a stronger attack.
    """
    names = attack or ["PGD"]
    for name in names:
        if name not in ATTACK_NAMES:
            raise InputError(f"cannot compare {name!r}; {did_you_mean(name, ATTACK_NAMES)}")
    if precision not in PRECISIONS:
        raise InputError(f"precision must be auto, float32 or bfloat16, not {precision!r}")
    if (plan is None) == (architecture is None):
        raise InputError("give a plan, or --architecture for synthetic images")
    if plan is not None:
        from robust.plan.load import load_plan
        from robust.plan.paths import check_paths

        check_paths(load_plan(plan, allow_code=allow_code))
    from robust.benchmark.contest import benchmark_attacks, contest
    from robust.benchmark.contest_cost import expect_cost
    from robust.benchmark.workloads import from_architecture, from_plan
    from robust.units import parse_eps

    try:
        radius = parse_eps(eps)
    except ValueError as error:
        raise InputError(str(error)) from None
    console = make_console()
    console.print(f"Preparing {plan or architecture} and at most {limit} images.")
    with progress_bar() as progress:
        progress(0, 0, "preparing the network and the images")
        if plan is not None:
            load = from_plan(plan, limit, device, allow_code=allow_code)
        else:
            load = from_architecture(str(architecture), size, limit, device)
        progress(0, 0, "measuring one pass")
        budgets = benchmark_attacks(names, steps)
        needed = {name: expect_cost(load, each, rounds) for name, each in budgets.items()}
    x = load.x
    console.print(f"{len(x)} images of {tuple(x.shape[1:])} on {x.device}")
    run: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = []
    for name, budgeted in budgets.items():
        console.print(f"\n{name}. {needed[name].text}", soft_wrap=True)
        with progress_bar() as progress:
            progress(0, 0, "making the faster network")
            everyone, attacker = contest(
                load, budgeted, radius, rounds=rounds, precision=precision, progress=progress
            )
        show(everyone, attacker, budgeted, eps, console)
        threat = {
            "attack": name,
            "norm": budgeted.norms[0],
            "eps": None if budgeted.minimum_norm else radius,
        }
        acceleration = str(attacker.models.acceleration)
        run.append({**threat, "parameters": repr(budgeted), "acceleration": acceleration})
        rows += [{**threat, **row} for row in long_rows(everyone, budgeted)]
    shape, place = list(x.shape[1:]), str(x.device)
    emit(lambda: {"images": len(x), "shape": shape, "device": place, "attacks": run, "rows": rows})


def long_rows(everyone: Sequence[Contestant], attack: Attack) -> Iterator[dict[str, Any]]:
    """The table in long form: a row for each library and measure, and for each round's seconds.

    `round` is None of what is of all rounds together. A library that could not run has one row,
    with the reason in `failed`.
    """
    from robust.benchmark.contest import FLOOR, OURS

    strength = f"median_{attack.norms[0].lower()}" if attack.minimum_norm else "robust_accuracy"
    middle = {each.name: each.median_seconds for each in everyone}
    for each in everyone:
        found: list[tuple[str, int | None, float | None]] = [("seconds", None, None)]
        if not each.failed:
            found = [("seconds", number, one) for number, one in enumerate(each.seconds, 1)]
            found.append(("time / robust", None, each.median_seconds / middle[OURS]))
            found.append(("time / floor", None, each.median_seconds / middle[FLOOR]))
            if not math.isnan(each.strength):
                found.append((strength, None, each.strength))
            found.append(("peak MiB", None, each.memory))
        for measure, number, value in found:
            yield {
                "library": each.name,
                "measure": measure,
                "round": number,
                "value": value,
                "failed": each.failed,
            }


def show(
    everyone: Sequence[Contestant],
    attacker: MixedPrecisionAttacker,
    attack: Attack,
    eps: str,
    console: Console,
) -> None:
    """Print a table of how long each library took and how strong its attack was."""
    from robust.benchmark.contest import FLOOR, OURS

    console.print(f"\n{attack!r}, {attacker.models.acceleration}", soft_wrap=True)
    table = Table(box=None, pad_edge=False)
    measure = "median L2" if attack.minimum_norm else f"robust % at {eps}"
    for column in ("", "time / robust", "time / floor", measure, "peak MiB"):
        table.add_column(column, justify="right" if column else "left", no_wrap=True)
    middle = {each.name: each.median_seconds for each in everyone}
    for each in everyone:
        if each.failed:
            table.add_row(each.name, each.failed)
            continue
        strength = each.strength if attack.minimum_norm else 100 * each.strength
        table.add_row(
            each.name,
            f"{each.median_seconds / middle[OURS]:.2f}",
            f"{each.median_seconds / middle[FLOOR]:.2f}",
            "" if math.isnan(strength) else f"{strength:.3g}",
            f"{each.memory:.0f}",
        )
    console.print(table)
