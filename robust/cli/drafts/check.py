"""`robust check`: whether plans have a mistake, known at once and without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from robust.cli.output import make_console, print_errors
from robust.cli.process.failures import BAD_INPUT
from robust.cli.process.manners import emit
from robust.errors import InputError
from robust.report.text.format import counted

EXAMPLE = "Example (after robust demo): robust check demo-report/plan.toml"


def check(
    plans: Annotated[
        list[Path],
        typer.Argument(metavar="PLAN", help="Plans in TOML.", show_default=False),
    ],
    files: Annotated[
        bool, typer.Option("--files", help="Also require that the files they name are there.")
    ] = False,
) -> None:
    """Look for mistakes in plans: fields, values, names of attacks and detectors, and gates.

    It takes a second, opens no model and no image, and runs no code that a plan names: for a
    pre-commit hook, or an editor. Exit codes: 0 no mistake, 2 a mistake in a plan; each plan with
    one is a line on standard error.
    """
    from robust.plan.checking.check import check_plan_file

    console, wrong = make_console(wrap=False), []
    found: list[dict[str, str | None]] = []
    for path in plans:
        try:
            plan = check_plan_file(path, files=files)
        except InputError as error:
            wrong.append(str(error))
            found.append({"plan": str(path), "mistake": str(error)})
        else:
            found.append({"plan": str(path), "mistake": None})
            gates = "with gates" if plan.gates else "without gates"
            attacks = counted(len(plan.attacks), "attack")
            console.print(f"{path}: no mistake; {attacks}, {gates}")
    emit(lambda: found)
    if wrong:
        print_errors(wrong)
        raise typer.Exit(BAD_INPUT)
