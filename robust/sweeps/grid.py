"""`members_of`: the models and audits of a grid, each with a checked recipe and plan."""

from __future__ import annotations

import copy
import hashlib
import itertools
import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path, PurePath
from typing import Any

from robust.errors import InputError, did_you_mean, excerpt
from robust.plan.load import find_table, make_plan
from robust.plan.overlay import put
from robust.plan.spec import DataSpec, ModelSpec, Plan
from robust.sweeps.spec import SweepAxisSpec, SweepSpec, fields_of
from robust.training.recipe import Recipe, make_recipe

MOST_MEMBERS = 10_000
"""More would be a mistake in the grid."""
MODELS, RUNS = "models", "runs"
"""Folders of a sweep with what was trained and with its audits."""
_PATH_FIELDS = ("path", "weights", "file", "folder")
_NAMED_LISTS = ("attacks", "detectors", "certificates")


@dataclass(frozen=True)
class Level:
    """One level of an axis."""

    text: str
    changes: Mapping[str, Any]
    """Values by dotted field, which begins with `recipe.` or `plan.`."""
    bare: bool
    """Whether its text says enough without the name of the axis."""


@dataclass(frozen=True)
class Member:
    """One model of the grid and its audit."""

    name: str
    """Its levels in a line, unique in the grid."""
    levels: Mapping[str, str]
    """Its level on each axis, in the order of the axes."""
    recipe: Recipe | None
    """None where the plan names the model."""
    plan: Plan = field(repr=False)
    """Of a trained model without `[model]`; `plan_in` adds it."""
    folder: str
    """Name of its audit's folder: safe and unique, and the same in a grid with more levels."""
    training: str
    """Name of its model's folder, which members with the same recipe and data share; empty where
    nothing is trained."""

    def model_folder(self, out: Path) -> Path:
        """Folder of its model in that of the sweep."""
        return out / MODELS / self.training

    def run_folder(self, out: Path) -> Path:
        """Folder of its audit in that of the sweep."""
        return out / RUNS / self.folder

    def plan_in(self, out: Path) -> Plan:
        """The plan with the model that is trained below this folder."""
        if self.recipe is None:
            return self.plan
        asked = self.plan.model or ModelSpec()
        model = asked.model_copy(update={"folder": self.model_folder(out).as_posix()})
        return self.plan.model_copy(update={"model": model})

    def digest(self) -> str:
        """SHA-256 of what decides its numbers but files, which a run knows by their content."""
        both = json.dumps([self.plan.digest(), self.training])
        return hashlib.sha256(both.encode()).hexdigest()


def members_of(spec: SweepSpec, *, allow_code: bool = False) -> list[Member]:
    """Every member of the grid in its order, the last axis fastest; InputError.

    The message names the file, the axis and the value that a recipe or plan refuses.
    """
    source = spec.source
    axes = {axis.name: levels_of(axis, trains=spec.trains) for axis in spec.axes}
    count = math.prod(len(levels) for levels in axes.values())
    if count > MOST_MEMBERS:
        raise InputError(
            f"{source}: the grid has {count} members; {MOST_MEMBERS} are the most: take levels out"
        )
    for entry in spec.exclude:
        _check_levels({k: text_of_value(v) for k, v in entry.items()}, axes, source)
    base = _Base(spec.base_recipe(), spec.base_plan(allow_code=allow_code), spec.title)
    _check_each_level(base, axes, source)
    members = []
    for chosen in itertools.product(*axes.values()):
        levels = dict(zip(axes, chosen, strict=True))
        texts = {name: level.text for name, level in levels.items()}
        if any(_matches(texts, entry) for entry in spec.exclude):
            continue
        name = ", ".join(_said(axis, level) for axis, level in levels.items())
        members.append(base.member(name, levels, f"{source}: member {name}"))
    if not members:
        raise InputError(f"{source}: [[exclude]] leaves no member")
    _check_distinct(members, source)
    return members


def choose_members(members: list[Member], only: Mapping[str, list[str]]) -> list[Member]:
    """Those with one of the named levels on each named axis; InputError for an unknown one."""
    known = {
        axis: list(dict.fromkeys(m.levels[axis] for m in members)) for axis in members[0].levels
    }
    for axis, wanted in only.items():
        if axis not in known:
            raise InputError(f"the sweep has no axis {axis!r}; {did_you_mean(axis, known)}")
        for text in wanted:
            if text not in known[axis]:
                raise InputError(
                    f"axis {axis!r} has no level {text!r}; {did_you_mean(text, known[axis])}"
                )
    chosen = [m for m in members if all(m.levels[a] in texts for a, texts in only.items())]
    if not chosen:
        raise InputError("no member of the sweep has all the levels that --only names")
    return chosen


def levels_of(axis: SweepAxisSpec, *, trains: bool) -> list[Level]:
    """The levels of an axis; InputError where two are the same."""
    if axis.levels:
        return [Level(text, dict(fields), True) for text, fields in axis.levels.items()]
    fields = fields_of(axis, trains=trains)
    short = _short_paths(axis.values) if fields[0].split(".")[-1] in _PATH_FIELDS else {}
    found: list[Level] = []
    for value in axis.values:
        text = short.get(str(value)) or text_of_value(value)
        if any(text == level.text for level in found):
            raise InputError(f"axis {axis.name!r} has the value {excerpt(text)} twice; remove one")
        bare = isinstance(value, str) and not text.replace(".", "").isdigit() and text != "none"
        changes = {one: _value_for(one, value) for one in fields}
        found.append(Level(text, changes, bare))
    return found


def text_of_value(value: Any) -> str:
    """A value as text: `yes`, `0.25`, `pgd-at, 1/255`."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{name} {text_of_value(one)}" for name, one in value.items())
    if isinstance(value, list | tuple):
        return " ".join(text_of_value(one) for one in value)
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def _short_paths(values: tuple[Any, ...]) -> dict[str, str]:
    """Paths by their last part, where these differ; a folder above may name a person."""
    last = {str(value): PurePath(str(value)).name or str(value) for value in values}
    return last if len(set(last.values())) == len(last) else {}


def _value_for(field_name: str, value: Any) -> Any:
    """The value as its field takes it: a name for a table of `[[attacks]]`, a size for a list."""
    name = field_name.split(".")[-1]
    if name in _NAMED_LISTS and field_name == f"plan.{name}":
        several = value if isinstance(value, list) else [value]
        named = [one for one in several if one != "none"]
        return [{"name": one} if isinstance(one, str) else one for one in named]
    if field_name == "plan.audit.eps" and not isinstance(value, list):
        return [value]
    return value


def _said(axis: str, level: Level) -> str:
    return level.text if level.bare else f"{axis} {level.text}"


@dataclass(frozen=True)
class _Base:
    """What all members share."""

    recipe: dict[str, Any] | None
    plan: dict[str, Any]
    title: str

    def member(self, name: str, levels: Mapping[str, Level], source: str) -> Member:
        """The member with these levels; InputError after `source`."""
        recipe_raw, plan_raw = copy.deepcopy(self.recipe), copy.deepcopy(self.plan)
        changes = {f: v for level in levels.values() for f, v in level.changes.items()}
        for dotted, value in changes.items():
            root, _, inner = dotted.partition(".")
            if root == "recipe":
                assert recipe_raw is not None  # the schema of the sweep checks
                _set(recipe_raw, inner, copy.deepcopy(value), Recipe, source)
        recipe = None if recipe_raw is None else make_recipe(recipe_raw, source)
        inherited = recipe is not None and "data" not in self.plan
        if recipe is not None and inherited:
            plan_raw["data"] = _test_data(recipe, source)
            detection = plan_raw.setdefault("detection", {})
            detection.setdefault("reference", recipe.splits.train)
        for dotted, value in changes.items():
            root, _, inner = dotted.partition(".")
            if root == "plan" and not (inherited and f"recipe.{inner}" in changes):
                _set(plan_raw, inner, copy.deepcopy(value), Plan, source)
        plan_raw["title"] = f"{self.title}: {name}"
        if recipe is None and ("model" not in plan_raw or "data" not in plan_raw):
            missing = "model" if "model" not in plan_raw else "data"
            raise InputError(
                f"{source}: the plan has no [{missing}] table; add [plan.{missing}], or a recipe"
            )
        plan = make_plan(plan_raw, source)
        if recipe is not None and plan.model is not None and plan.model.sources:
            raise InputError(
                f"{source}: [plan.model] {plan.model.sources[0]} names a model, and the recipe "
                f"trains one; remove either"
            )
        texts = {axis: level.text for axis, level in levels.items()}
        training = "" if recipe is None else _training_name(recipe)
        return Member(name, texts, recipe, plan, _folder_name(name, texts), training)


def _set(raw: dict[str, Any], inner: str, value: Any, schema: Any, source: str) -> None:
    """Set a field; `none` takes a table away."""
    *tables, name = inner.split(".")
    above = find_table(schema, tables)
    is_table = find_table(above, [name]) is not above
    try:
        if value == "none" and is_table:
            put(raw, inner, None)
        else:
            put(raw, inner, value)
    except InputError as error:
        raise InputError(f"{source}: {error}") from None


def _test_data(recipe: Recipe, source: str) -> dict[str, Any]:
    """`[data]` of a plan that audits the test split of a training, or val without one."""
    split = recipe.splits.test or recipe.splits.val
    if recipe.data is None or not recipe.data.path:
        raise InputError(f"{source}: the recipe names no images; give path in [recipe.data]")
    if not isinstance(split, str):
        raise InputError(
            f"{source}: val is a share of train and there is no test split, so that no plan can "
            f"name what to audit; add [plan.data]"
        )
    own = DataSpec.model_validate(recipe.data.model_dump())
    return {**own.model_dump(mode="json", exclude_defaults=True), "path": own.path, "split": split}


def _training_name(recipe: Recipe) -> str:
    """Twelve hex digits that stand for a recipe with its data."""
    data = "" if recipe.data is None else recipe.data.model_dump_json()
    return hashlib.sha256(f"{recipe.digest()} {_slow_hash(data)}".encode()).hexdigest()[:12]


@cache
def _slow_hash(text: str) -> str:
    """A list of patients that a filter may name would be tried against a fast one."""
    return hashlib.scrypt(text.encode(), salt=b"robust sweep", n=2**14, r=8, p=1, dklen=16).hex()


def _folder_name(name: str, levels: Mapping[str, str]) -> str:
    digest = hashlib.sha256(json.dumps(levels, sort_keys=True).encode()).hexdigest()[:8]
    slug = re.sub(r"[^A-Za-z0-9._]+", "-", name).strip("-.")[:60]
    return f"{slug}-{digest}"


def _check_each_level(base: _Base, axes: Mapping[str, list[Level]], source: str) -> None:
    """InputError for a level that a recipe or plan refuses beside the first of the others."""
    first = {name: levels[0] for name, levels in axes.items()}
    for axis, levels in axes.items():
        for level in levels:
            base.member(
                "", {**first, axis: level}, f"{source}: axis {axis!r}, {excerpt(level.text)}"
            )


def _check_distinct(members: list[Member], source: str) -> None:
    """InputError where two members are one and the same model and audit."""
    seen: dict[str, Member] = {}
    for member in members:
        plan = member.plan.model_dump_json(exclude={"title"})
        other = seen.setdefault(f"{member.training} {plan}", member)
        if other is not member:
            axis = next(a for a, text in member.levels.items() if text != other.levels[a])
            raise InputError(
                f"{source}: axis {axis!r} changes nothing from {excerpt(other.levels[axis])} to "
                f"{excerpt(member.levels[axis])}; both are the same model and audit"
            )
    (name, count), *_ = Counter(member.name for member in members).most_common(1)
    if count > 1:
        raise InputError(f"{source}: two members are called {name}; name the levels otherwise")


def _matches(texts: Mapping[str, str], entry: Mapping[str, Any]) -> bool:
    return all(texts[axis] == text_of_value(value) for axis, value in entry.items())


def _check_levels(named: Mapping[str, str], axes: Mapping[str, list[Level]], source: str) -> None:
    for axis, text in named.items():
        known = [level.text for level in axes[axis]]
        if text not in known:
            raise InputError(
                f"{source}: [[exclude]] axis {axis!r} has no level {text!r}; "
                f"{did_you_mean(text, known)}"
            )
