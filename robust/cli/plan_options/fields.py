"""Command-line options that each set one field of a plan or a recipe.

A command names its table of `FieldOption`s once; `with_fields` turns the table into options, and
the command receives what was given as one mapping from field to value.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from pydantic import BaseModel
from pydantic_core import PydanticUndefined
from rich.markup import escape

from robust.errors import InputError
from robust.plan.load import find_table
from robust.units import eps_text

Read = Callable[[str, Any], Any]
"""From an option's name and its value on the command line to the field's value."""


def as_given(flag: str, value: Any) -> Any:
    """The value unchanged."""
    return value


def as_intensities(flag: str, value: str) -> Any:
    """`percentiles`, or two numbers."""
    return value if value == "percentiles" else as_numbers(flag, value)


def as_names(flag: str, value: str) -> list[str]:
    """`a, b` as a list of its parts."""
    return [part.strip() for part in value.split(",")]


def as_numbers(flag: str, value: str) -> float | list[float]:
    """One number, or several with commas; InputError."""
    try:
        values = [float(part) for part in value.split(",")]
    except ValueError:
        raise InputError(f"{flag} {value!r}: write one number or three with commas") from None
    return values[0] if len(values) == 1 else values


def as_name_or_number(flag: str, value: str) -> str | int:
    """An output's name, or its number."""
    return int(value) if value.lstrip("-").isdigit() else value


def as_findings(flag: str, value: str) -> str | int | list[str | int]:
    """A name or a number, or several with commas."""
    parts = [as_name_or_number(flag, part.strip()) for part in value.split(",")]
    return parts[0] if len(parts) == 1 else parts


def as_split_or_share(flag: str, value: str) -> str | float:
    """A split's name, or a share between 0 and 1."""
    try:
        return float(value)
    except ValueError:
        return value


def as_tables(flag: str, value: list[str]) -> list[dict[str, str]]:
    """Names as the tables of a TOML file that hold nothing else."""
    return [{"name": name} for name in value]


def as_corruptions(flag: str, value: str) -> dict[str, str]:
    """A modality, or `auto`, as the table that names it."""
    return {} if value == "auto" else {"modality": value}


def as_splits(flag: str, value: str) -> str | dict[str, str | float]:
    """A column or `path`; or `test=list.txt` or `train=0.8,test=0.2` as a table."""
    if "=" not in value:
        return value
    found: dict[str, str | float] = {}
    for part in as_names(flag, value):
        name, equals, source = part.partition("=")
        if not equals or not name.strip() or not source.strip():
            raise InputError(f"{flag} {value!r}: write test=LIST, or train=0.8,test=0.2")
        found[name.strip()] = as_split_or_share(flag, source.strip())
    return found


@dataclass(frozen=True)
class FieldOption:
    """One option and the one field that it sets."""

    flag: str
    """As it is written: `--eps`, or `--grey/--colour`."""
    field: str
    """Dotted name in the TOML file: `audit.eps`."""
    help: str
    kind: Any = str
    """The type on the command line."""
    read: Read = as_given
    default: str | None = None
    """Shown by `--help` where the field's own default does not say it."""

    @property
    def name(self) -> str:
        """The parameter's name."""
        return self.flag.split("/")[0].removeprefix("--").replace("-", "_")

    def parameter(self, panel: str, model: type[BaseModel]) -> inspect.Parameter:
        """The option as typer reads it from a signature."""
        default_shown = self.default or default_text(model, self.field)
        text = escape(f"{self.help} [default: {default_shown}]" if default_shown else self.help)
        # Typer's own default is None, which means that the field keeps its value.
        option = typer.Option(self.flag, help=text, rich_help_panel=panel, show_default=False)
        return inspect.Parameter(
            self.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[self.kind | None, option],
        )


CASE_OPTIONS = (
    FieldOption(
        "--table",
        "data.table",
        "Table of labels: CSV, TSV (also .gz) or XLSX; several with commas. none: folders are "
        "classes.",
        read=as_names,
        default="cases.csv",
    ),
    FieldOption(
        "--join", "data.join", "Further tables, joined on the columns they share.", read=as_names
    ),
    FieldOption(
        "--file-column",
        "data.file",
        "Column that names the image, several with commas, or a template: '{dir}/{id}.png'.",
        default="file",
    ),
    FieldOption("--label", "data.label", "Label column; several with commas.", default="label"),
    FieldOption(
        "--mask",
        "data.mask",
        "Column of the mask, several with commas (one file a structure), or a template.",
        default="mask",
    ),
    FieldOption(
        "--overlap/--no-overlap",
        "data.overlap",
        "Whether a pixel may belong to several structures.",
        bool,
        default="yes with several mask columns",
    ),
    FieldOption(
        "--region", "data.region", "Column of the mask that an attack on a class stays in."
    ),
    FieldOption(
        "--target-mask", "data.target_mask", "Column of the mask that the goal 'mask' aims at."
    ),
    FieldOption(
        "--volumes",
        "data.volumes",
        "whole: a volume is a case. slices: each slice is.",
        default="whole",
    ),
    FieldOption("--axis", "data.axis", "Axis that slices are cut along.", int, default="2"),
    FieldOption(
        "--intensities",
        "data.intensities",
        "What a volume shows as 0 and 1: two values, -160,240, or percentiles.",
        read=as_intensities,
        default="percentiles",
    ),
    FieldOption(
        "--spacing",
        "data.spacing",
        "Millimetres between pixels of files that do not say it: 0.5 or 1,1,3.",
        read=as_numbers,
    ),
    FieldOption(
        "--separator", "data.separator", "Text between several values of one label cell: '|'."
    ),
    FieldOption(
        "--positive",
        "data.positive",
        "Label values, or label columns, that mean the finding: b,c.",
        read=as_names,
    ),
    FieldOption(
        "--uncertain",
        "data.uncertain",
        "What -1 in a label column counts as: positive, negative or exclude.",
    ),
    FieldOption(
        "--blank", "data.blank", "What an empty label counts as: positive, negative or exclude."
    ),
    FieldOption("--reader", "data.reader", "Column of the reader, where several read one image."),
    FieldOption(
        "--vote", "data.vote", "How several readers of an image are joined: majority, any or all."
    ),
    FieldOption("--where", "data.where", "Row filter, for example 'source == \"odir\"'."),
    FieldOption(
        "--classes",
        "data.classes",
        "Class names in the order of the model's outputs: a,b,c.",
        read=as_names,
    ),
    FieldOption(
        "--findings", "data.findings", "Classes that count as a finding: b,c.", read=as_names
    ),
    FieldOption(
        "--group", "data.group", "Column of the patient or lesion, or none.", default="group"
    ),
    FieldOption(
        "--group-pattern",
        "data.group_pattern",
        "Regular expression whose first bracket is the patient in a file's path.",
    ),
    FieldOption(
        "--blank-group",
        "data.blank_group",
        "own: an image with an empty group cell is its own group.",
    ),
    FieldOption(
        "--splits",
        "data.splits",
        "Where splits come from: a column, path (its folders), lists (test=list.txt) or shares "
        "(train=0.8,test=0.2).",
        read=as_splits,
        default="split",
    ),
    FieldOption(
        "--split-seed", "data.split_seed", "Seed of splits drawn by shares.", int, default="0"
    ),
)
"""Options that say which cases, labels, classes and groups a data set has."""

Panels = Sequence[tuple[str, Sequence[FieldOption]]]
"""Options by the panel of `--help` that shows them."""


def with_fields(model: type[BaseModel], panels: Panels) -> Callable[..., Callable[..., None]]:
    """Add the options to a command that takes `changes`, a mapping from field to value.

    Only options that were given are in it. Defaults in `--help` are those of `model`.
    """
    options = [option for _, group in panels for option in group]
    option_parameters = [
        option.parameter(panel, model) for panel, group in panels for option in group
    ]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        command_parameters = [
            parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for parameter in inspect.signature(command, eval_str=True).parameters.values()
            if parameter.name != "changes"
        ]

        @functools.wraps(command)
        def run(**arguments: Any) -> None:
            given = {option: arguments.pop(option.name) for option in options}
            changes = {
                option.field: option.read(option.flag.split("/")[0], value)
                for option, value in given.items()
                if value is not None and value != []
            }
            command(**arguments, changes=changes)

        # Typer reads the options from the signature; the wrapped command's would hide these.
        del run.__wrapped__  # type: ignore[attr-defined]
        run.__signature__ = inspect.Signature([*option_parameters, *command_parameters])  # type: ignore[attr-defined]
        run.__annotations__ = {
            p.name: p.annotation for p in (*option_parameters, *command_parameters)
        }
        return run

    return decorate


def default_text(model: type[BaseModel], field: str) -> str:
    """A field's default as the command line writes it; empty where there is none to show."""
    *tables, name = field.split(".")
    value = find_table(model, tables).model_fields[name].default
    if name == "eps" and isinstance(value, tuple):
        return ",".join(eps_text(eps) for eps in value)
    if isinstance(value, tuple):
        value = ",".join(str(getattr(part, "name", part)) for part in value)
    if value is None or isinstance(value, bool) or value is PydanticUndefined:
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value)
