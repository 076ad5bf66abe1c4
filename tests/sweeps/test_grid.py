"""The grid of a sweep: its members, and one line for every mistake in it."""

from __future__ import annotations

from typing import Any

import pytest

from robust.errors import InputError
from robust.sweeps.grid import choose_members, members_of
from robust.sweeps.spec import load_sweep
from tests.sweeps.grids import PLAN, RECIPE, SEEDS, SIZES, sweep


def test_members_are_all_combinations_and_the_last_axis_is_fastest() -> None:
    members = members_of(sweep(SEEDS, SIZES))
    assert [member.name for member in members] == [
        "seed 0, 1/255",
        "seed 0, 2/255",
        "seed 1, 1/255",
        "seed 1, 2/255",
    ]
    assert [m.recipe.training.seed for m in members if m.recipe] == [0, 0, 1, 1]
    assert [m.plan.audit.eps[0] * 255 for m in members] == pytest.approx([1, 2, 1, 2])
    assert {m.plan.audit.seed for m in members} == {0}


def test_members_that_differ_in_the_audit_alone_share_a_training() -> None:
    members = members_of(sweep(SEEDS, SIZES))
    assert [m.training == members[0].training for m in members] == [True, True, False, False]
    assert len({m.folder for m in members}) == 4


def test_more_levels_leave_the_folders_of_the_others() -> None:
    few = members_of(sweep(SEEDS))
    more = members_of(sweep({"name": "seed", "values": [0, 1, 2]}))
    assert [m.folder for m in few] == [m.folder for m in more][:2]
    assert [m.training for m in few] == [m.training for m in more][:2]


def test_the_test_split_of_the_training_is_audited() -> None:
    (member, _) = members_of(sweep(SEEDS))
    assert member.plan.data is not None
    assert (member.plan.data.split, member.plan.data.count) == ("test", 12)
    assert member.plan.detection.reference == "train"


def test_a_level_may_set_several_fields_and_none_takes_a_table_away() -> None:
    axes = (
        {
            "name": "modality",
            "levels": {
                "chest": {"recipe.data.path": "phantom:chest_xray"},
                "fundus": {"recipe.data.path": "phantom:fundus", "plan.audit.seed": 3},
            },
        },
        {"name": "hardening", "values": ["none", {"method": "pgd-at", "eps": "1/255"}]},
    )
    members = members_of(sweep(*axes))
    assert [m.name for m in members] == [
        "chest, hardening none",
        "chest, hardening method pgd-at, eps 1/255",
        "fundus, hardening none",
        "fundus, hardening method pgd-at, eps 1/255",
    ]
    assert [m.plan.data.path for m in members if m.plan.data] == [
        *["phantom:chest_xray"] * 2,
        *["phantom:fundus"] * 2,
    ]
    assert [m.recipe.adversarial is None for m in members if m.recipe] == [True, False] * 2
    assert [m.plan.audit.seed for m in members] == [0, 0, 3, 3]


def test_detectors_and_attacks_are_named_as_in_a_plan() -> None:
    axes = (
        {"name": "detector", "values": ["none", "KernelDensity"]},
        {"name": "attack", "values": ["FGSM", ["PGD", "Noise"]]},
    )
    members = members_of(sweep(*axes))
    assert [[d.name for d in m.plan.detectors] for m in members] == [
        *[[]] * 2,
        *[["KernelDensity"]] * 2,
    ]
    assert [[a.name for a in m.plan.attacks] for m in members] == [["FGSM"], ["PGD", "Noise"]] * 2
    assert len({m.training for m in members}) == 1


def test_excluded_combinations_are_no_members() -> None:
    spec = sweep(SEEDS, SIZES, exclude=[{"seed": 1, "eps": "2/255"}])
    assert [m.name for m in members_of(spec)] == ["seed 0, 1/255", "seed 0, 2/255", "seed 1, 1/255"]


def test_only_takes_the_named_levels() -> None:
    members = members_of(sweep(SEEDS, SIZES))
    assert [m.name for m in choose_members(members, {"seed": ["1"], "eps": ["1/255"]})] == [
        "seed 1, 1/255"
    ]
    with pytest.raises(InputError, match="no axis 'sed'; did you mean seed"):
        choose_members(members, {"sed": ["1"]})
    with pytest.raises(InputError, match="no level '7'; there are: 0, 1"):
        choose_members(members, {"seed": ["7"]})


def test_a_model_of_the_plan_is_not_trained() -> None:
    plan = {**PLAN, "model": {"folder": "m"}, "data": {"path": "phantom:chest_xray"}}
    spec = sweep(SIZES, recipe=None, plan=plan)
    assert [(m.recipe, m.training) for m in members_of(spec)] == [(None, "")] * 2


BIG = [
    {"name": "seed", "values": list(range(101))},
    {"name": "lr", "field": "recipe.training.lr", "values": [k / 1000 for k in range(1, 101)]},
]


@pytest.mark.parametrize(
    ("axes", "more", "said"),
    [
        ([], {}, "no \\[\\[axes\\]\\]"),
        ([{"name": "sead", "values": [1]}], {}, "unknown name; did you mean seed"),
        ([{"name": "seed"}], {}, "axis 'seed': it has no values"),
        ([SEEDS, SEEDS], {}, "two axes are called 'seed'"),
        ([{"name": "seed", "values": [1, 1]}], {}, "'seed' has the value 1 twice"),
        ([{"name": "seed", "values": ["x"]}], {}, "axis 'seed', x: training.seed: .*got 'x'"),
        ([{"name": "seed", "values": [0, -1]}], {}, "axis 'seed', -1: training.seed: .*at least 0"),
        (
            [{"name": "lr", "field": "recipe.training.lrr", "values": [1]}],
            {},
            "unknown field recipe.training.lrr; .*lr",
        ),
        (
            [{"name": "lr", "field": "recipe.traning.lr", "values": [1]}],
            {},
            "unknown table traning in recipe.traning.lr; .*training",
        ),
        ([{"name": "lr", "field": "lr", "values": [1]}], {}, "lr is no field"),
        ([{"name": "m", "levels": {"a": {}}}], {}, "level 'a' sets no field"),
        ([{**SEEDS, "levels": {"a": {"plan.audit.seed": 1}}}], {}, "either levels, or field"),
        ([SEEDS], {"recipe": None}, "the plan has no \\[model\\] table"),
        ([{"name": "hardening", "values": ["none"]}], {"recipe": None}, "add a recipe"),
        ([SEEDS], {"recipe": "chest-xry"}, "did you mean chest-xray"),
        ([SEEDS], {"recipe": {"base": 3}}, "base must be a name"),
        ([SEEDS], {"plan": {**PLAN, "model": {"folder": "m"}}}, "names a model, and the recipe"),
        ([SEEDS], {"exclude": [{"sed": 1}]}, "knows no axis 'sed'; did you mean seed"),
        ([SEEDS], {"exclude": [{"seed": 9}]}, "axis 'seed' has no level '9'"),
        ([SEEDS], {"exclude": [{"seed": 0}, {"seed": 1}]}, "leaves no member"),
        ([SEEDS], {"learning_curve": {"wanted": {"AUC": 0.9}}}, "needs an axis 'train fraction'"),
        ([SEEDS], {"titel": "x"}, "unknown entry titel; did you mean title"),
        (BIG, {}, "10100 members; 10000 are the most"),
        (
            [{"name": "m", "levels": {"a": {"plan.title": "x"}, "b": {"plan.title": "y"}}}],
            {},
            "axis 'm' changes nothing from a to b",
        ),
    ],
)
def test_a_mistake_is_one_line(axes: list[Any], more: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        members_of(sweep(*axes, **more))


def test_tables_are_laid_over_a_base(tmp_path: Any) -> None:
    (tmp_path / "sweep.toml").write_text(
        '[recipe]\nbase = "chest-xray"\ndata = { path = "phantom:chest_xray" }\n'
        "[recipe.training]\nepochs = 2\n"
        '[[axes]]\nname = "seed"\nvalues = [0, 1]\n',
        encoding="utf-8",
    )
    (first, _) = members_of(load_sweep(tmp_path / "sweep.toml"))
    assert first.recipe is not None
    assert (first.recipe.training.epochs, first.recipe.data is not None) == (2, True)
    assert first.recipe.network.architecture != RECIPE["network"]["architecture"]
