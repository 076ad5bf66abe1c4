"""A recipe says in one line what is wrong with it, and what it says survives being written."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from robust.errors import InputError
from robust.training.recipe import RECIPES, load_recipe, make_recipe

NETWORK = {"architecture": "torchvision:squeezenet1_1"}


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_of_the_package_are_whole_and_survive_being_written(
    name: str, tmp_path: Path
) -> None:
    recipe = load_recipe(name)
    path = tmp_path / "again.toml"
    path.write_text(tomli_w.dumps(recipe.to_toml()), encoding="utf-8")
    assert load_recipe(path) == recipe
    assert load_recipe(path).digest() == recipe.digest()


def test_the_package_has_seven_and_no_chest_stands_on_its_head() -> None:
    of_masks = {"lungs", "vessels", "lesion", "volume"}
    assert set(RECIPES) == {"chest-xray", "fundus", "dermoscopy"} | of_masks
    chest = load_recipe("chest-xray")
    lungs = load_recipe("lungs").augmentation
    assert chest.augmentation.flip_vertical == lungs.flip_vertical == 0
    assert lungs.flip_horizontal == 0  # left and right are two classes
    assert chest.data is not None and chest.data.grey
    assert load_recipe("dermoscopy").augmentation.flip_vertical > 0


def test_entries_are_laid_over_and_the_digest_tells_what_decides_the_weights() -> None:
    plain = load_recipe("chest-xray")
    over = load_recipe("chest-xray", {"data": {"path": "x"}, "training": {"epochs": 3}})
    assert over.data is not None and (over.data.path, over.data.grey) == ("x", True)
    assert over.training.epochs == 3 and over.digest() != plain.digest()
    # Where the images lie is no part of it: their fingerprint is.
    assert load_recipe("chest-xray", {"data": {"path": "y"}}).digest() == plain.digest()


def test_a_split_may_be_left_out_and_a_val_be_a_share() -> None:
    recipe = make_recipe({"network": NETWORK, "splits": {"val": 0.2, "test": "none"}})
    assert (recipe.splits.val, recipe.splits.test) == (0.2, None)
    assert make_recipe(recipe.to_toml()) == recipe


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ({}, "network is missing"),
        ({"network": {}}, "network.architecture is missing"),
        ({"network": NETWORK, "trainin": {}}, "unknown entry trainin; did you mean training"),
        ({"network": NETWORK | {"hed": "plain"}}, "unknown entry network.hed; nearest of 21: head"),
        ({"network": NETWORK, "training": {"epochs": 0}}, "training.epochs: "),
        ({"network": NETWORK, "splits": {"val": 1.5}}, "share of the train split between 0 and 1"),
        ({"network": NETWORK, "splits": {"val": "test"}}, "names test twice"),
        ({"network": NETWORK, "data": {"path": "x", "split": "a"}}, "[splits] names"),
        (
            {"network": NETWORK, "training": {"epochs": 2, "warmup": 2.0}},
            "takes all of the 2 epochs",
        ),
        (
            {"network": NETWORK, "training": {"schedule": "onecycle", "warmup": 1.0}},
            "onecycle has its own warmup",
        ),
        ({"network": NETWORK, "adversarial": {"method": "pgd-at", "eps": 4}}, "'4/255'"),
        ({"network": NETWORK, "adversarial": {"method": "pgd-at", "eps": 0}}, "eps is 0"),
        ({"network": NETWORK, "adversarial": {"method": "trades"}}, "adversarial.eps is missing"),
        (
            {"network": NETWORK, "adversarial": {"method": "trades", "eps": "1/255", "warmup": 99}},
            "never reaches eps",
        ),
        ({"network": []}, "network: must be a table"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(raw: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as error:
        make_recipe(raw, "my.toml")
    assert said in str(error.value) and str(error.value).startswith("my.toml: ")
    assert "\n" not in str(error.value)


def test_a_name_that_is_none_and_a_file_that_is_no_toml(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="did you mean chest-xray"):
        load_recipe("chest")
    with pytest.raises(InputError, match="no such recipe"):
        load_recipe(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("a = ", encoding="utf-8")
    with pytest.raises(InputError, match="not valid TOML"):
        load_recipe(tmp_path / "bad.toml")


def test_a_digest_knows_fields_that_came_later_only_where_they_are_set() -> None:
    """Folders that were trained before them can be named again."""
    plain = load_recipe("fundus")
    content = plain.model_dump(mode="json", exclude={"title", "data"})
    del content["splits"]["fraction"], content["splits"]["fraction_seed"]
    for name in ("bag", "start_from", "mask_channel"):
        del content["network"][name]
    del content["training"]["freeze"], content["training"]["attention_weight"]
    text = json.dumps(content, sort_keys=True).encode()
    assert plain.digest() == hashlib.sha256(text).hexdigest()
    assert load_recipe("fundus", {"splits": {"fraction": 0.5}}).digest() != plain.digest()
    assert load_recipe("fundus", {"training": {"freeze": True}}).digest() != plain.digest()
