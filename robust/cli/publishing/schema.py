"""`robust schema`: JSON schemas of plans, recipes, sweeps and reports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from robust.cli.plan_options.options import OUTPUT
from robust.cli.process.manners import emit, manners
from robust.errors import InputError, did_you_mean

EXAMPLE = "Example: robust schema plan --out plan.schema.json"
KINDS = ("plan", "recipe", "sweep", "report")


def schema(
    kind: Annotated[
        str,
        typer.Argument(
            help=f"{', '.join(KINDS[:-1])} or {KINDS[-1]}.", autocompletion=lambda: [*KINDS]
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="File to write to.", rich_help_panel=OUTPUT),
    ] = None,
) -> None:
    """Print the JSON schema of a kind of file, for an editor or another program.

    With it an editor completes the fields of a plan, shows what each means and marks a wrong one.
    In VS Code with the extension Even Better TOML the line #:schema ./plan.schema.json at the top
    of a plan does so. robust itself checks more than a schema can say.
    """
    if kind not in KINDS:
        raise InputError(f"no schema of {kind!r}; {did_you_mean(kind, KINDS)}")
    found = _schema(kind)
    emit(lambda: found)
    text = json.dumps(found, indent=1, ensure_ascii=False)
    if out is None:
        if not manners().as_json:
            print(text)
        return
    from robust.cli.output import make_console, write_text

    write_text(out, text + "\n")
    make_console(wrap=False).print(f"wrote {out}")


def _schema(kind: str) -> dict[str, Any]:
    if kind == "report":
        from robust.report.formats.json_schema import report_schema

        return report_schema()
    from robust.plan.toml_schema import toml_schema

    if kind == "recipe":
        from robust.training.recipe import Recipe

        return toml_schema(Recipe, kind)
    if kind == "sweep":
        from robust.sweeps.spec import SweepSpec

        return toml_schema(SweepSpec, kind)
    from robust.plan.spec import Plan

    return toml_schema(Plan, kind)
