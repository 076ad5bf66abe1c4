"""`SweepSpec`: schema of sweep.toml, a grid over the fields of a recipe and of a plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pydantic
from pydantic import BaseModel, Field, JsonValue

from robust.errors import InputError, did_you_mean
from robust.plan.load import check_values, find_table, first_error, read_plan, read_toml
from robust.plan.spec import Plan
from robust.plan.table import PlanTable
from robust.training.recipe import Recipe, read_recipe

RANDOM = ("seed", "fold", "data draw", "machine")
"""Axes whose levels are draws of many, unless the file says otherwise."""
TRAIN_FRACTION = "train fraction"
"""The axis that learning curves are drawn along."""
TRAINED_FIELDS: dict[str, tuple[str, ...]] = {
    "architecture": ("recipe.network.architecture",),
    "pretrained": ("recipe.network.pretrained",),
    "image size": ("recipe.network.size",),
    "hardening": ("recipe.adversarial",),
    "epochs": ("recipe.training.epochs",),
    "seed": ("recipe.training.seed",),
    TRAIN_FRACTION: ("recipe.splits.fraction",),
    "data draw": ("recipe.splits.fraction_seed",),
    "fold": ("recipe.data.split_seed", "plan.data.split_seed"),
    "data": ("recipe.data.path", "plan.data.path"),
}
"""Fields of the axes that have a name of their own, where models are trained."""
AUDITED_FIELDS: dict[str, tuple[str, ...]] = {
    "architecture": ("plan.model.architecture",),
    "pretrained": ("plan.model.pretrained",),
    "image size": ("plan.model.size",),
    "seed": ("plan.audit.seed",),
    "fold": ("plan.data.split_seed",),
    "data": ("plan.data.path",),
}
"""The same where the plan names the model."""
PLAN_FIELDS: dict[str, tuple[str, ...]] = {
    "attack": ("plan.attacks",),
    "detector": ("plan.detectors",),
    "certificate": ("plan.certificates",),
    "eps": ("plan.audit.eps",),
    "norm": ("plan.audit.norm",),
    "goal": ("plan.audit.goal",),
}
"""Fields of the axes that concern the audit alone."""


class SweepAxisSpec(PlanTable):
    """`[[axes]]`: one thing that is varied."""

    name: str = Field(min_length=1, max_length=60)
    """Its name. `architecture`, `pretrained`, `image size`, `hardening`, `epochs`, `seed`, `train
    fraction`, `data draw`, `fold`, `data`, `attack`, `detector`, `certificate`, `eps`, `norm` and
    `goal` know their field."""
    field: str | None = None
    """Field that it sets, `recipe.training.lr` or `plan.audit.seed`. Default: that of the name."""
    values: tuple[JsonValue, ...] = ()
    """Values of the field, at least one; `none` removes a table such as `recipe.adversarial`."""
    levels: dict[str, dict[str, JsonValue]] = Field(default_factory=dict)
    """In place of `field` and `values`: levels by name, each with the fields that it sets:
    `{chest = {"recipe.data.path" = "chest"}, fundus = {"recipe.data.path" = "fundus"}}`."""
    random: bool | None = None
    """Whether its levels are draws of many, whose spread is estimated. Default: yes for seed, fold,
    data draw and machine."""

    @property
    def is_random(self) -> bool:
        """Whether its levels are draws of many."""
        return self.name in RANDOM if self.random is None else self.random


class LearningCurveSpec(PlanTable):
    """`[learning_curve]`: what is asked of accuracy against the number of training images."""

    wanted: dict[str, float] = Field(default_factory=dict)
    """By measure the value to be reached: `{"clean accuracy" = 0.9, "robust accuracy" = 0.5}`."""


class SweepSpec(PlanTable):
    """A whole sweep. The tables of `recipe` and `plan` are checked member by member."""

    title: str = Field(default="Sweep", min_length=1, max_length=120)
    """Title of the page."""
    recipe: str | dict[str, JsonValue] | None = None
    """Recipe that trains the models: a name, a path or a table, whose `base` names a recipe that
    the rest of the table is laid over. Default: nothing is trained, and `[plan.model]` is
    audited."""
    plan: str | dict[str, JsonValue] = Field(default_factory=dict)
    """Plan of the audits: a path or a table, whose `base` names a file. Of trained models it needs
    no `[model]`, and without `[data]` their test split is audited."""
    axes: tuple[SweepAxisSpec, ...]
    """`[[axes]]`: a table for each thing that is varied; members are all combinations."""
    exclude: tuple[dict[str, JsonValue], ...] = ()
    """`[[exclude]]`: levels by axis; members that have all of them are left out."""
    learning_curve: LearningCurveSpec = LearningCurveSpec()
    """`[learning_curve]`: for an axis `train fraction`."""
    _source: str = pydantic.PrivateAttr("sweep")

    @property
    def source(self) -> str:
        """The file that it was read from, with which messages begin."""
        return self._source

    @property
    def trains(self) -> bool:
        """Whether models are trained."""
        return self.recipe is not None

    def base_recipe(self) -> dict[str, Any] | None:
        """The tables of the recipe before any axis, not yet checked; None without one."""
        if self.recipe is None or isinstance(self.recipe, str):
            return None if self.recipe is None else read_recipe(self.recipe)
        return _with_base(self.recipe, "recipe", read_recipe)

    def base_plan(self, *, allow_code: bool = False) -> dict[str, Any]:
        """The tables of the plan before any axis, not yet checked."""

        def read(path: str) -> dict[str, Any]:
            return read_plan(path, allow_code=allow_code)

        return (
            read(self.plan) if isinstance(self.plan, str) else _with_base(self.plan, "plan", read)
        )


def _with_base(table: dict[str, Any], what: str, read: Any) -> dict[str, Any]:
    own = dict(table)
    base = own.pop("base", None)
    if base is None:
        return _copied(own)
    if not isinstance(base, str):
        raise InputError(f"[{what}] base must be a name or a path, not {base!r}")
    return _merged(read(base), own)


def _copied(table: dict[str, Any]) -> dict[str, Any]:
    return _merged({}, table)


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Tables of `above` laid over those of `below`, entry by entry."""
    found = dict(below)
    for name, value in above.items():
        if isinstance(value, dict):
            old = found.get(name)
            found[name] = _merged(old if isinstance(old, dict) else {}, value)
        else:
            found[name] = value
    return found


def load_sweep(path: str | Path) -> SweepSpec:
    """Read a sweep from TOML; InputError with the first mistake.

    Relative paths in it start at the current folder, as in a shell.
    """
    hint = "check the path"
    return make_sweep(read_toml(Path(path), "sweep", hint), str(path))


def make_sweep(raw: dict[str, Any], source: str = "sweep") -> SweepSpec:
    """A checked sweep from plain values; InputError with the first mistake, after `source`."""
    check_values(raw, source)
    try:
        spec = SweepSpec.model_validate(raw)
    except pydantic.ValidationError as error:
        raise InputError(f"{source}: {first_error(error, SweepSpec)}") from None
    spec._source = source
    wrong = _contradiction(spec)
    if wrong:
        raise InputError(f"{source}: {wrong}")
    return spec


def fields_of(axis: SweepAxisSpec, *, trains: bool) -> tuple[str, ...]:
    """The dotted fields that an axis sets with each of its `values`."""
    known = {**(TRAINED_FIELDS if trains else AUDITED_FIELDS), **PLAN_FIELDS}
    if axis.field is not None:
        return (axis.field,)
    return (axis.name,) if "." in axis.name else known.get(axis.name, ())


def _contradiction(spec: SweepSpec) -> str | None:
    """The first contradiction between fields, or None."""
    if not spec.axes:
        return "no [[axes]]; name one, for example name = 'seed' with values = [0, 1, 2]"
    names = [axis.name for axis in spec.axes]
    for axis in spec.axes:
        if names.count(axis.name) > 1:
            return f"two axes are called {axis.name!r}; give each its own name"
        wrong = _wrong_axis(axis, trains=spec.trains)
        if wrong:
            return f"axis {axis.name!r}: {wrong}"
    for entry in spec.exclude:
        unknown = [name for name in entry if name not in names]
        if unknown:
            hint = did_you_mean(unknown[0], names)
            return f"[[exclude]] knows no axis {unknown[0]!r}; {hint}"
        if not entry:
            return "[[exclude]] names no axis; name levels by axis, or remove it"
    if spec.learning_curve.wanted and TRAIN_FRACTION not in names:
        return f"[learning_curve] needs an axis {TRAIN_FRACTION!r}; add it, or remove the table"
    for measure, value in spec.learning_curve.wanted.items():
        if not 0 < value < 1:
            return f"[learning_curve] wanted {measure!r} is {value:g}; give a share between 0 and 1"
    return None


def _wrong_axis(axis: SweepAxisSpec, *, trains: bool) -> str | None:
    if axis.levels:
        if axis.values or axis.field is not None:
            return "give either levels, or field and values"
        for level, changes in axis.levels.items():
            if not changes:
                return f'level {level!r} sets no field; name one, such as "recipe.data.path"'
            for field in changes:
                wrong = _wrong_field(field, trains=trains)
                if wrong:
                    return f"level {level!r}: {wrong}"
        return None
    if not axis.values:
        return "it has no values; give values = [...], or levels"
    fields = fields_of(axis, trains=trains)
    if not fields:
        every = {**TRAINED_FIELDS, **AUDITED_FIELDS, **PLAN_FIELDS}
        if axis.name in every:
            return "it belongs to trained models; add a recipe, or name a field of the plan"
        return (
            f"unknown name; {did_you_mean(axis.name, every, limit=20)}; or give its field, such as "
            f"field = 'recipe.training.lr'"
        )
    return next((w for field in fields if (w := _wrong_field(field, trains=trains))), None)


def _wrong_field(field: str, *, trains: bool) -> str | None:
    """Why a recipe or a plan has no such field, or None."""
    root, *tables = field.split(".")
    schemas: dict[str, type[BaseModel]] = {"recipe": Recipe, "plan": Plan}
    if root not in schemas or not tables or not all(tables):
        return f"{field} is no field; it begins with recipe. or plan., as recipe.training.lr does"
    if root == "recipe" and not trains:
        return f"{field} needs a recipe, and the sweep trains nothing; add recipe = 'NAME'"
    *above, name = tables
    schema = find_table(schemas[root], above)
    loose = schema.model_config.get("extra") == "allow"
    if above and find_table(schemas[root], above[:1]) is schemas[root]:
        known = schemas[root].model_fields
        return f"unknown table {above[0]} in {field}; {did_you_mean(above[0], known, limit=20)}"
    if name not in schema.model_fields and not loose:
        return f"unknown field {field}; {did_you_mean(name, schema.model_fields, limit=20)}"
    return None
