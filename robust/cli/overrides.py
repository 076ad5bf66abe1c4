"""Flags of the command line as a plan: what is given there goes over what the file says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from detectors import DETECTORS, BayesianUncertainty
from robust.engine.gate_check import check_gates
from robust.errors import InputError
from robust.plan.load import load_plan, make_plan, read_plan
from robust.plan.spec import Plan

_MODEL = (
    *("architecture", "weights", "pretrained", "file", "factory", "folder"),
    *("head", "finding"),
    *("mean", "std", "size", "channels"),
)
_DATA = (
    *("split", "label", "where", "classes", "findings", "group", "group_pattern"),
    *("subgroups", "limit", "grey", "window"),
)
_REPORT = ("images", "gallery")
_LISTS = ("classes", "findings", "subgroups", "eps")
_NUMBERS = ("mean", "std")


def plan_from(path: Path | None, **flags: Any) -> Plan:
    """The plan in a file with flags laid over it, or of flags alone; InputError."""
    raw: dict[str, Any] = {}
    if path is not None:
        check_gates(load_plan(path))
        raw = read_plan(path)
    # By identity: a seed of 0 equals False and is an answer all the same.
    given = {k: v for k, v in flags.items() if v is not None and v is not False and v != []}
    for name in _LISTS:
        if name in given:
            given[name] = [part.strip() for part in given[name].split(",")]
    for name in _NUMBERS:
        if name in given:
            given[name] = _numbers(name, given[name])
    if given.get("finding", "").lstrip("-").isdigit():
        given["finding"] = int(given["finding"])
    if "data" in given:
        raw.setdefault("data", {})["path"] = given.pop("data")
    if "title" in given:
        raw["title"] = given.pop("title")
    if "attack" in given:
        raw["attacks"] = [{"name": name} for name in given.pop("attack")]
        if "eps" not in given and "eps" not in raw.get("audit", {}):
            given["eps"] = ["1/255"] if path is None else None
    if "detector" in given:
        raw["detectors"] = [{"name": name} for name in _detectors(given.pop("detector"))]
    for name, value in given.items():
        if value is not None:
            raw.setdefault(_section(name), {})[name] = value
    missing = [name for name in ("model", "data") if name not in raw]
    if path is not None and missing:
        raise InputError(f"{path} has no [{missing[0]}] table; an audit needs a model and data")
    if "path" not in raw.get("data", {"path": ""}) or "data" not in raw or "model" not in raw:
        raise InputError(
            "an audit needs a model and data: give a plan, or --architecture (or --file, "
            "--factory, --folder) and --data; `robust demo` needs neither"
        )
    return make_plan(raw, str(path or "the flags"))


def _detectors(names: list[str]) -> list[str]:
    """`all` is every detector but BayesianUncertainty, since few networks have the dropout that it
    needs: by name it comes as well.
    """
    if "all" not in names:
        return names
    every = [name for name in DETECTORS if name != BayesianUncertainty.__name__]
    return list(dict.fromkeys([*every, *(name for name in names if name != "all")]))


def _section(name: str) -> str:
    sections = {"model": _MODEL, "data": _DATA, "report": _REPORT}
    return next((section for section, names in sections.items() if name in names), "audit")


def _numbers(name: str, text: str) -> float | list[float]:
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"--{name} {text!r}: write one number or three with commas") from None
    return values[0] if len(values) == 1 else values
