"""Values of the command line laid over a plan or a recipe."""

from __future__ import annotations

import datetime
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from robust.errors import InputError
from robust.plan.code import names_code
from robust.plan.load import find_table, load_plan, make_plan, read_plan
from robust.plan.overlay import Changes, lay_over, put
from robust.plan.paths import check_paths
from robust.plan.spec import Plan
from robust.units import TYPICAL


def plan_from(
    path: Path | None,
    changes: Changes,
    *,
    allow_code: bool = False,
    folders: Sequence[Path | None] = (),
) -> Plan:
    """The plan in a file with `changes` laid over it, or of `changes` alone; InputError.

    The plan of a folder may name code only with `allow_code`. The files that it names must be
    there, and `folders` must be writable: that is known before anything heavy is imported.
    """
    raw: dict[str, Any] = {}
    if path is not None:
        raw = read_plan(path, allow_code=allow_code, named=changes)
    lay_over(raw, changes)
    if allow_code and "model.folder" in changes:
        put(raw, "model.allow_code", True)
    short = "attacks" in changes and "audit.eps" not in changes
    if path is None and short and changes.get("audit.norm") not in TYPICAL:
        put(raw, "audit.eps", ["1/255"])  # attacks that were chosen by hand want a short run
    missing = [name for name in ("model", "data") if name not in raw]
    if path is not None and missing:
        raise InputError(f"{path} has no [{missing[0]}] table; an audit needs a model and data")
    if missing or (isinstance(raw["data"], dict) and "path" not in raw["data"]):
        raise InputError(
            "an audit needs a model and data: give a plan, or --architecture (or --file, "
            "--factory, --folder, --endpoint) and --data; `robust demo` needs neither"
        )
    plan = make_plan(raw, str(path or "the options"))
    check_paths(plan, *folders)
    if path is not None:
        _check_own_gates(load_plan(path, allow_code=True), changes)
    return plan


def _check_own_gates(plan: Plan, changes: Changes) -> None:
    """InputError where a file's gates name what the same file does not have.

    Attacks that the user has replaced are not made: of a folder, their code may not run.
    """
    if plan.gates and not ("attacks" in changes and any(names_code(a.name) for a in plan.attacks)):
        from robust.engine.gate_precheck import check_gates

        check_gates(plan)


def parse_settings(texts: Iterable[str], model: type[BaseModel]) -> dict[str, Any]:
    """Each `FIELD=VALUE` of `--set` by its field.

    A value is read as TOML where it is TOML and as text where it is not; a field of `model` that
    is a list also takes its entries with commas. InputError.
    """
    changes: dict[str, Any] = {}
    for text in texts:
        field, equals, value = text.partition("=")
        field = field.strip()
        if not equals or not all(field.split(".")):
            raise InputError(f"--set {text!r}: write FIELD=VALUE, for example audit.eps=1/255")
        parsed = _parse(value.strip())
        if _is_list(model, field) and not isinstance(parsed, list):
            parsed = (
                [part.strip() for part in parsed.split(",")]
                if isinstance(parsed, str)
                else [parsed]
            )
        changes[field] = parsed
    return changes


def _parse(text: str) -> Any:
    try:
        value = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    dated = isinstance(value["value"], datetime.date | datetime.time)
    return text if dated or len(value) > 1 else value["value"]


def _is_list(model: type[BaseModel], field: str) -> bool:
    """Whether a field takes a list and nothing else."""
    *tables, name = field.split(".")
    known = find_table(model, tables).model_fields
    annotation = known[name].annotation if name in known else None
    kinds = [kind for kind in (get_args(annotation) or ()) if kind is not type(None)]
    if get_origin(annotation) is tuple:
        return True
    return bool(kinds) and all(get_origin(kind) is tuple for kind in kinds)
