"""Reads a plan from a TOML file or from plain values; the first mistake is an InputError."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn, get_args

import pydantic
from pydantic import BaseModel

from robust.errors import InputError, did_you_mean, excerpt, value_text
from robust.files import path_exists, read_text
from robust.plan.code import names_code
from robust.plan.endpoints import bare_endpoint, shown_uri
from robust.plan.paths import is_trained
from robust.plan.spec import Plan
from robust.units import TYPICAL, check_eps, typical_text

PLAN = "plan.toml"
"""Name of the plan in a folder that is given in place of a file."""


THIS_FOLDER = "."
"""Model folder of a plan that lies in it."""
OWN_FACTORIES = ("robust.demo:network",)
"""Factories that are code of robust itself."""
MOST_LEVELS, MOST_ENTRIES, MOST_CHARACTERS = 20, 10_000, 10_000
"""Of tables and lists in one another, of one of them, and of one text."""


def load_plan(path: str | Path, *, allow_code: bool = False) -> Plan:
    """Read a plan from TOML; InputError with the first mistake.

    Relative paths in it start at the current folder, as in a shell. The plan.toml of a folder may
    name code (a factory, a TorchScript file, a .pt2, a `module:Class`) only with `allow_code`: the
    folder may have come from elsewhere. A plan file that is named itself may always.
    """
    return make_plan(read_plan(path, allow_code=allow_code), str(path))


def read_plan(
    path: str | Path, *, allow_code: bool = False, named: Collection[str] = ()
) -> dict[str, Any]:
    """The tables of a plan as they are written, not yet checked; InputError.

    A folder means the plan.toml in it. A model folder that the plan of a trained model names is
    then the folder itself, since it may have been moved, and `.` is the folder of the plan. Fields
    in `named` (`model.factory`) are replaced by what the user named, so that the folder's plan may
    hold anything there.
    """
    path = Path(path)
    inside = path / PLAN
    hint = "check the path; `robust demo` writes an example"
    in_folder = path_exists(inside)
    folder = path if in_folder else path.parent
    raw = read_toml(inside if in_folder else path, "plan", hint)
    known = _table(raw, "model").get("folder")
    moved = in_folder and is_trained(folder)
    if known is not None and (moved or known == THIS_FOLDER):
        raw["model"]["folder"] = folder.as_posix()
    if allow_code and known is not None:
        raw["model"]["allow_code"] = True
    if in_folder and not allow_code:
        refuse_code(_without(raw, named), str(inside))
    return raw


def refuse_code(raw: Mapping[str, Any], source: str, yourself: str = "") -> None:
    """InputError where the tables of a plan from elsewhere name code that loading would run.

    `yourself` says how the user can name it in place of the source.
    """
    tables = {"": _table(raw, "model")}
    tables["scenarios.surrogate "] = _table(_table(raw, "scenarios"), "surrogate")
    tables["corruptions.reference "] = _table(_table(raw, "corruptions"), "reference")
    tables["twin "] = _table(raw, "twin")
    for where, table in tables.items():
        factory, file = table.get("factory"), table.get("file")
        option = "--file" if factory is None else "--factory"
        if table.get("endpoint") is not None:
            shown = excerpt(bare_endpoint(str(table["endpoint"])))
            what = f"{source} names the {where}endpoint {shown}, to which all images would be sent"
            option = "--endpoint"
        elif factory is not None and factory not in OWN_FACTORIES:
            what = f"{source} names the {where}factory {excerpt(factory)}, which runs code"
        elif file is not None:
            what = f"{source} names the {where}file {excerpt(file)}, which can run code"
        elif table.get("allow_code"):
            _refuse(
                f"{source} sets allow_code for the {where}model, whose files may hold code",
                "name the model yourself, with --folder or in a plan file",
            )
        else:
            continue
        own = yourself or f"{option} or in a plan file"
        _refuse(what, f"name the model yourself, with {own}")
    if (uri := _table(raw, "track").get("uri")) is not None:
        what = f"{source} names the tracking server {excerpt(shown_uri(str(uri)))}, to which the "
        _refuse(f"{what}results would be sent", "name it yourself, with --track or in a plan file")
    for name in _denoisers(raw.get("certificates")):
        what = f"{source} names the denoiser {excerpt(name)} of a certificate, which runs code"
        _refuse(what, "name it yourself, in a plan file")
    for kind in ("attack", "detector"):
        for name in _code_names(raw.get(f"{kind}s")):
            what = f"{source} names the {kind} {excerpt(name)}, which runs code"
            _refuse(what, f"name the {kind} yourself, with --{kind} or in a plan file")


def _refuse(what: str, instead: str) -> NoReturn:
    raise InputError(
        f"{what}, and the folder may come from elsewhere: if you trust it, add --allow-code "
        f"(in Python: allow_code=True), or {instead}"
    )


def _code_names(tables: object) -> list[object]:
    """The names in `[[attacks]]` or `[[detectors]]` that stand for code of somebody."""
    entries = tables if isinstance(tables, list | tuple) else []
    names = [entry.get("name") for entry in entries if isinstance(entry, Mapping)]
    return [name for name in names if names_code(name)]


def _denoisers(tables: object) -> list[object]:
    """The denoisers in `[[certificates]]`, each of which a factory builds."""
    entries = tables if isinstance(tables, list | tuple) else []
    named = [entry.get("denoiser") for entry in entries if isinstance(entry, Mapping)]
    return [name for name in named if name]


def _without(raw: Mapping[str, Any], fields: Collection[str]) -> dict[str, Any]:
    """The tables without some of their fields, by dotted name."""
    left: dict[str, Any] = {}
    for name, value in raw.items():
        inner = {f.removeprefix(f"{name}.") for f in fields if f.startswith(f"{name}.")}
        if name not in fields:
            left[name] = _without(value, inner) if isinstance(value, dict) else value
    return left


def read_toml(path: Path, what: str, hint: str) -> dict[str, Any]:
    """The tables of a TOML file; InputError, with `hint` where there is no such file.

    `what` names the kind of file for the message.
    """
    shown = excerpt(path, 300)
    if not path_exists(path):
        raise InputError(f"no such {what}: {shown}; {hint}")
    if path.is_dir():
        raise InputError(f"{shown} is a folder; give the TOML file in it")
    try:
        raw = tomllib.loads(read_text(path))
    except RecursionError:
        raise InputError(f"{shown}: its tables or lists are nested too deeply") from None
    except ValueError as error:  # of TOML, of dates, or a number with too many digits
        if isinstance(error, InputError):
            raise
        raise InputError(f"{shown} is not valid TOML: {excerpt(error, 300)}") from None
    return raw


def check_values(raw: object, source: str, place: tuple[object, ...] = ()) -> None:
    """InputError where plain values are larger or deeper than those of any plan or recipe.

    Such numbers overflow in a library far from here, and such texts bury every message.
    """
    wrong = ""
    if len(place) > MOST_LEVELS:
        wrong = "tables or lists are nested too deeply"
    elif isinstance(raw, int) and abs(raw) >= 1 << 63:
        wrong = "the number is too large"
    elif isinstance(raw, float) and math.isnan(raw):
        wrong = "nan is not a number; remove the entry or give one"
    elif isinstance(raw, str) and len(raw) > MOST_CHARACTERS:
        wrong = f"the text has {len(raw)} characters; {MOST_CHARACTERS} are the most"
    elif isinstance(raw, Mapping | list | tuple) and len(raw) > MOST_ENTRIES:
        wrong = f"there are {len(raw)} entries; {MOST_ENTRIES} are the most"
    if wrong:
        shown = ".".join(excerpt(part, 40) for part in place[:6])
        raise InputError(f"{source}: {shown}: {wrong}" if shown else f"{source}: {wrong}")
    if isinstance(raw, Mapping):
        for name, value in raw.items():
            check_values(value, source, (*place, name))
    elif isinstance(raw, list | tuple):
        for i, value in enumerate(raw):
            check_values(value, source, (*place, i))


def _table(raw: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    table = raw.get(name)
    return table if isinstance(table, dict) else {}


def make_plan(raw: dict[str, Any], source: str = "plan") -> Plan:
    """A checked plan from plain values; InputError with the first mistake, after `source`."""
    check_values(raw, source)
    try:
        plan = Plan.model_validate(raw)
    except pydantic.ValidationError as error:
        raise InputError(f"{source}: {first_error(error, Plan)}") from None
    _check_sizes(plan, source)
    if not plan.attacks:
        raise InputError(f"{source}: no [[attacks]]; name one, for example name = 'PGD'")
    if not plan.audit.eps:
        raise InputError(f"{source}: [audit] eps is empty; give at least one, such as '1/255'")
    if plan.audit.target is not None and plan.audit.goal != "error":
        raise InputError(f"{source}: [audit] give either goal or target, not both")
    return plan


def _check_sizes(plan: Plan, source: str) -> None:
    """InputError for an eps that does not fit its norm, and where L1 or L0 cannot be worked in.

    An attack without a norm of its own may work in another than that of `[audit]`: its eps is
    checked when its cells are made.
    """
    audit, norm = plan.audit, plan.audit.norm
    if norm in TYPICAL:
        if "eps" not in audit.model_fields_set:
            raise InputError(
                f"{source}: [audit] norm {norm} needs eps, such as {typical_text(norm)}"
            )
        scenarios = plan.scenarios
        if scenarios.universal or scenarios.queries or scenarios.surrogate is not None:
            _refuse_norm(source, "scenarios", norm)
        if plan.twin is not None:
            _refuse_norm(source, "twin", norm)
    sizes = [(norm, eps) for eps in audit.eps]
    sizes += [(norm, plan.scenarios.eps)] if plan.scenarios.eps is not None else []
    sizes += [(a.norm, eps) for a in plan.attacks if a.norm for eps in a.eps or ()]
    for own, eps in sizes:
        try:
            check_eps(eps, own)
        except ValueError as error:
            raise InputError(str(error)) from None


def _refuse_norm(source: str, table: str, norm: str) -> NoReturn:
    raise InputError(
        f"{source}: [{table}] works in Linf and L2, and [audit] norm is {norm}; remove the table, "
        f"or give norm = '{norm}' to the attacks alone"
    )


def first_error(error: pydantic.ValidationError, schema: type[BaseModel]) -> str:
    """The first mistake in a file with this schema."""
    detail = error.errors()[0]
    place = [excerpt(part) for part in detail["loc"]]
    where = ".".join(place)
    if detail["type"] == "extra_forbidden":
        table = find_table(schema, place[:-1])
        return f"unknown entry {where}; {did_you_mean(place[-1], table.model_fields, limit=20)}"
    if detail["type"] == "missing":
        return f"{where} is missing"
    expected = {"tuple_type": "must be a list in brackets", "model_type": "must be a table"}
    bounds = {
        "greater_than": "must be above {gt}",
        "greater_than_equal": "must be at least {ge}",
        "less_than": "must be below {lt}",
        "less_than_equal": "must be at most {le}",
    }
    message = expected.get(detail["type"], detail["msg"].removeprefix("Value error, "))
    if detail["type"] in bounds:
        message = bounds[detail["type"]].format(**detail.get("ctx", {}))
    return f"{where}: {message} (got {value_text(detail.get('input'))})"


def find_table(schema: type[BaseModel], tables: Iterable[str]) -> type[BaseModel]:
    """The schema of a table inside `schema`; unknown names are skipped."""
    found = schema
    for name in tables:
        if name in found.model_fields:
            found = _table_in(found.model_fields[name].annotation) or found
    return found


def _table_in(annotation: Any) -> type[BaseModel] | None:
    """`ModelSpec` in `ModelSpec | None` or `tuple[ModelSpec, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _table_in(part))), None)
