"""Plans: eps as people write them, and what is part of a plan's identity."""

from __future__ import annotations

from pathlib import Path

import pytest

from robust.cli.plan_options.overrides import plan_from
from robust.errors import InputError
from robust.plan import parse_eps
from robust.plan.load import load_plan, make_plan
from robust.plan.spec import ModelSpec


@pytest.mark.parametrize(
    ("text", "value"),
    [("1/255", 1 / 255), ("0.5/255", 0.5 / 255), ("0.03", 0.03), (0, 0.0), (" 8 / 255 ", 8 / 255)],
)
def test_eps_as_people_write_it(text: object, value: float) -> None:
    assert parse_eps(text) == value


@pytest.mark.parametrize("text", ["one", "1/0", "-1/255", None, "nan"])
def test_eps_that_is_none(text: object) -> None:
    with pytest.raises(ValueError, match="eps"):
        parse_eps(text)


def test_the_title_is_no_part_of_the_plans_identity() -> None:
    a, b = make_plan({"title": "a"}), make_plan({"title": "b"})
    assert a.digest() == b.digest()
    assert a.digest() != make_plan({"audit": {"seed": 1}}).digest()


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ('factory = "payload:go"', "factory payload:go, which runs code"),
        ('file = "m.pt2"', "file m.pt2, which can run code"),
        ('file = "m.pt"', "file m.pt, which can run code"),
        ("factory = 3", "factory 3"),
    ],
)
@pytest.mark.parametrize("table", ["model", "scenarios.surrogate"])
def test_the_plan_of_a_folder_names_no_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str, said: str, table: str
) -> None:
    """The folder may have come from elsewhere; a plan file that is named may name what it likes."""
    first = "" if table == "model" else '[model]\nfolder = "m"\n'
    plan = tmp_path / "plan.toml"
    plan.write_text(f'{first}[{table}]\n{model}\n[data]\npath = "phantom:chest_xray"\n')
    for read in (load_plan, lambda path: plan_from(path, {})):
        with pytest.raises(InputError, match=said) as caught:
            read(tmp_path)
        assert "add --allow-code" in str(caught.value)
    if model != "factory = 3":
        monkeypatch.chdir(tmp_path)
        for name in ("m.pt", "m.pt2", "own.pt", "model.json"):
            Path(name).touch()
        assert load_plan(tmp_path, allow_code=True).data == load_plan(plan).data
        assert plan_from(tmp_path, {}, allow_code=True) is not None
        # What the user names on the command line takes its place.
        field = model.split()[0]
        own = {"factory": "mine:net", "file": "own.pt"}[field]
        assert plan_from(tmp_path, {f"{table}.{field}": own}) is not None


def test_the_factory_of_the_demonstration_is_robusts_own(tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text('[model]\nfactory = "robust.demo:network"\n')
    assert load_plan(tmp_path).model is not None


def test_fields_of_a_model_that_choose_weights_outputs_and_crop() -> None:
    model = {"factory": "a:b", "weights_key": "state_dict_ema", "output_key": 0, "fit": "crop"}
    spec = make_plan({"model": {**model, "crop_pct": "224/256"}}).model
    assert spec is not None and spec.crop_pct == 0.875 and spec.output_key == 0
    assert ModelSpec(factory="a:b").fit is None, "the architecture's own"
