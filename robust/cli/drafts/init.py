"""`robust init`: write a plan from a folder or a table of images and a model."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from robust.cli.drafts.questions import ask
from robust.cli.output import FAILED, make_console, print_errors, write_text
from robust.cli.plan_options.fields import CASE_OPTIONS, FieldOption, with_fields
from robust.cli.plan_options.options import DATA, MODEL, OUTPUT, AllowCode, Device
from robust.cli.process.manners import emit, manners
from robust.errors import InputError
from robust.files import path_exists
from robust.plan.spec import Plan
from robust.progress import progress_bar
from robust.report.text.format import counted

if TYPE_CHECKING:
    from robust.auditing.dry_run import DryRun
    from robust.drafting.draft import Draft
    from robust.drafting.plan import Drafted, DraftRequest

EXAMPLE = "Example: robust init HAM10000/ --layout ham10000 --model model.pth"

_DATA = (*CASE_OPTIONS, FieldOption("--split", "data.split", "Split to audit."))
PANELS = ((DATA, tuple(replace(option, default=None) for option in _DATA)),)
"""Options that set a field of the plan, so that it is not guessed: none has a default."""


@with_fields(Plan, PANELS)
def init(
    path: Annotated[
        Path,
        typer.Argument(
            help="Folder of images, a table of labels, or a MedMNIST .npz.", show_default=False
        ),
    ],
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            help="Weights (.pth, .safetensors), a whole network (.onnx, .keras, .tflite, .pt2), a "
            "folder, LIBRARY:NAME such as timm:resnet18, package.module:function, or the address "
            "of an endpoint.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    architecture: Annotated[
        str | None,
        typer.Option(
            help="Name of the network, where the names and shapes of the weights do not tell it.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    layout: Annotated[
        str | None,
        typer.Option(
            help="Name of a public data set, as robust list layouts prints it.",
            rich_help_panel=DATA,
            show_default="recognised, or none",
        ),
    ] = None,
    finding: Annotated[
        str | None,
        typer.Option(
            help="Finding to audit, as the table or the layout names it, or all.",
            rich_help_panel=DATA,
        ),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the images, where PATH is a table outside it.",
            rich_help_panel=DATA,
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Plan to write.", rich_help_panel=OUTPUT)
    ] = Path("plan.toml"),
    train: Annotated[
        bool,
        typer.Option(
            "--train",
            help="If there is no model yet: also write recipe.toml, which trains one on the data.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    replace_files: Annotated[
        bool,
        typer.Option(
            "--replace", help="Replace a plan (and recipe) that exists.", rich_help_panel=OUTPUT
        ),
    ] = False,
    device: Device = "auto",
    allow_code: AllowCode = False,
    *,
    changes: Mapping[str, Any],
) -> None:
    """Write a plan from your images and your model.

    The command looks at the files and writes a commented plan in which each guess is marked. Then
    it measures for a few seconds, and prints the audit command and what it will cost. What an
    option says is not guessed. The command asks only what the files cannot tell, and only at a
    terminal; elsewhere it leaves a line to fill in. Exit codes: 0 the plan runs, 1 something is to
    be filled in or fixed, 2 bad input.
    """
    recipe = out.with_name("recipe.toml") if train else None
    _check_options(model, train, [out, *([recipe] if recipe is not None else [])], replace_files)
    from robust.drafting.plan import DraftRequest

    if allow_code:
        changes = {**changes, "model.allow_code": True}
    request = DraftRequest(path, model, architecture, images, layout, finding, train, changes)
    with progress_bar() as progress:
        progress(0, 0, "looking at the files")
        drafted = _draft(request, out)
    console = make_console()
    while drafted.draft.questions and _somebody_answers():
        question = drafted.draft.questions[0]
        given = {**request.changes, question.place: ask(console, question)}
        request = replace(request, changes=given)
        drafted = _draft(request, out)
    write_text(out, drafted.draft.text())
    _show(console, drafted, out)
    code = _show_open(console, drafted, out)
    found: DryRun | None = None
    problem = drafted.problem
    if recipe is not None:
        code |= _write_recipe(console, drafted, recipe, out)
    elif not code:
        found, problem = _show_cost(console, out, device)
        code |= bool(problem)
    emit(lambda: _values(drafted, out, recipe, found, problem))
    if code:
        raise typer.Exit(FAILED)


def _somebody_answers() -> bool:
    asked = manners()
    talks = not (asked.as_json or asked.quiet)
    return talks and sys.stdin.isatty() and sys.stdout.isatty()


def _values(
    drafted: Drafted, out: Path, recipe: Path | None, found: DryRun | None, problem: str
) -> dict[str, Any]:
    """What was written, what it was drafted from, and what the user should look at."""
    draft, facts, cases = drafted.draft, drafted.facts, drafted.cases
    return {
        "plan": str(out),
        "recipe": None if recipe is None else str(recipe),
        "layout": None if drafted.layout is None else drafted.layout.key,
        "cases": None if cases is None else len(cases),
        "classes": None if cases is None else list(cases.classes),
        "images": None if drafted.images is None else asdict(drafted.images),
        "model": None
        if facts is None
        else {
            "kind": facts.kind,
            "outputs": facts.outputs,
            "architectures": [match.name for match in facts.matches],
        },
        "notes": list(draft.notes),
        "guesses": [
            {"field": place, "value": one.value, "why": one.why}
            for place, one in draft.values.items()
            if one.guess
        ],
        "questions": [
            {
                "field": one.place,
                "text": one.text,
                "example": one.example,
                "choices": list(one.choices),
            }
            for one in draft.questions
        ],
        "problem": problem,
        "cost": None if found is None else {**asdict(found), **found.totals},
        "train": None if recipe is None else _train_command(recipe, out),
        "audit": _command(out),
    }


def _check_options(model: str | None, train: bool, files: list[Path], replace_files: bool) -> None:
    if train and model is not None:
        raise InputError("--train is for data without a model: leave --model out")
    for file in files:
        if path_exists(file) and file.is_dir():
            raise InputError(f"{file} is a folder; name a file with --out")
        if path_exists(file) and not replace_files:
            raise InputError(f"{file} exists; name another file with --out, or add --replace")


def _draft(request: DraftRequest, out: Path) -> Drafted:
    from robust.drafting.plan import draft_plan

    drafted = draft_plan(request)
    if request.train:
        drafted.draft.set("model.folder", _trained(out), "The folder that robust train writes.")
    return drafted


def _trained(out: Path) -> str:
    return (Path("models") / out.stem).as_posix()


def _show(console: Console, drafted: Drafted, out: Path) -> None:
    """What was found, and what the user should look at."""
    if drafted.images is not None:
        console.print(drafted.images.text())
    if drafted.facts is not None:
        console.print(_model_text(drafted))
    for note in drafted.draft.notes:
        console.print(note)
    guesses = [place for place, value in drafted.draft.values.items() if value.guess]
    console.print(f"\nPlan: {out}", soft_wrap=True)
    if guesses:
        console.print(f"Look at the guesses in it: {', '.join(guesses)}")


def _model_text(drafted: Drafted) -> str:
    facts = drafted.facts
    assert facts is not None
    text = f"Model: {facts.kind}"
    if facts.matches:
        text += f" of {facts.matches[0].name}"
    if facts.outputs:
        text += f", {counted(facts.outputs, 'output')}"
    return f"{text}."


def _show_open(console: Console, drafted: Drafted, out: Path) -> int:
    """What is to be filled in or fixed; the exit code."""
    for question in drafted.draft.questions:
        console.print(f"\nTo fill in: {question.place} in {out}. {question.text}")
        if question.choices:
            more = ", ..." if len(question.choices) > 20 else ""
            console.print(f"One of: {', '.join(question.choices[:20])}{more}")
    if drafted.problem:
        print_errors([f"the plan does not run yet: {drafted.problem}"])
    return int(bool(drafted.draft.questions or drafted.problem))


def _write_recipe(console: Console, drafted: Drafted, recipe: Path, out: Path) -> int:
    from robust.drafting.recipe import draft_recipe
    from robust.training.recipe import make_recipe

    draft: Draft = draft_recipe(drafted)
    make_recipe(draft.tables(), str(recipe))
    write_text(recipe, draft.text())
    console.print(f"Recipe: {recipe}", soft_wrap=True)
    console.print(f"\nTrain:  {_train_command(recipe, out)}", soft_wrap=True)
    console.print(f"Audit:  {_command(out)}", soft_wrap=True)
    return 0


def _train_command(recipe: Path, out: Path) -> str:
    return shlex.join(["robust", "train", str(recipe), "--out", _trained(out)])


def _command(out: Path) -> str:
    return shlex.join(["robust", "audit", str(out)])


def _show_cost(console: Console, out: Path, device: str) -> tuple[DryRun | None, str]:
    """Print the command and what it will cost; the cost, or why the plan does not run yet."""
    try:
        found = _measured(out, device)
    except InputError as error:
        print_errors([f"the plan does not run yet: {error}"])
        console.print(f"\nAudit once it does: {_command(out)}", soft_wrap=True)
        return None, str(error)
    from robust.auditing.cost_table import cost_table

    console.print(cost_table(found))
    console.print(f"\nAudit:  {_command(out)}", soft_wrap=True)
    return found, ""


def _measured(out: Path, device: str) -> DryRun:
    from robust.cli.plan_options.overrides import plan_from

    with progress_bar() as progress:
        progress(0, 0, "measuring")
        from robust.auditing.dry_run import dry_run
        from robust.auditing.request import RunSettings

        return dry_run(plan_from(out, {}), RunSettings(None, device))
