"""Splits have one list of classes and share no group; what cannot train or judge is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from robust.errors import InputError
from robust.training.recipe import Recipe, make_recipe
from robust.training.splits import count_classes, open_training_splits


def recipe_for(path: object, **tables: dict[str, Any]) -> Recipe:
    data = {"path": str(path), **tables.pop("data", {})}
    return make_recipe({"network": {"architecture": "x"}, "data": data, **tables})


def write(root: Path, rows: list[tuple[str, str, str]]) -> Path:
    """A folder with a row (label, group, split) an image."""
    lines = ["file,label,group,split"]
    for i, (label, group, split) in enumerate(rows):
        Image.fromarray(np.full((8, 8), i, np.uint8)).save(root / f"{i}.png")
        lines.append(f"{i}.png,{label},{group},{split}")
    (root / "cases.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root


def rows(split: str, labels: str, first: int = 0) -> list[tuple[str, str, str]]:
    return [(label, f"{split}{first + i}", split) for i, label in enumerate(labels)]


def test_a_share_of_train_takes_whole_groups_of_every_class(tmp_path: Path) -> None:
    listed = [(label, f"p{i // 2}", "train") for i, label in enumerate("aabb" * 10)]
    root = write(tmp_path, listed)
    opened = [
        open_training_splits(
            recipe_for(root, splits={"val": 0.2, "test": "none"}, training={"seed": seed})
        )
        for seed in (0, 0, 1)
    ]
    chosen = [{e.group for e in splits.val.entries} for splits in opened]
    assert chosen[0] == chosen[1] != chosen[2]
    splits = opened[0]
    assert count_classes(splits.val) == {"a": 4, "b": 4} and len(splits.train) == 32
    assert not chosen[0] & {e.group for e in splits.train.entries}
    assert splits.test is None and set(splits.named) == {"train", "val"}


def test_a_group_on_two_sides(tmp_path: Path) -> None:
    listed = [*rows("train", "abab"), *rows("val", "ab"), ("a", "train0", "test")]
    with pytest.raises(
        InputError, match=r"1 group .* is in more than one split: 1 in test and train"
    ):
        open_training_splits(recipe_for(write(tmp_path, listed)))


@pytest.mark.parametrize(
    ("train", "val", "said"),
    [
        ("aaaa", "ab", "train holds a only"),
        ("abab", "aa", "val holds a only"),
        ("abab", "abc", "train has no case of c"),
    ],
)
def test_a_split_that_cannot_teach_or_judge(
    tmp_path: Path, train: str, val: str, said: str
) -> None:
    root = write(tmp_path, [*rows("train", train), *rows("val", val), *rows("test", "ab")])
    with pytest.raises(InputError, match=said):
        open_training_splits(recipe_for(root))


def test_a_missing_split_names_those_there_are_and_what_to_do(tmp_path: Path) -> None:
    root = write(tmp_path, [*rows("train", "abab"), *rows("test", "ab")])
    with pytest.raises(InputError, match=r"no rows of split 'val'; there are: test, train.*0\.15"):
        open_training_splits(recipe_for(root))
    with pytest.raises(InputError, match=r'split \'exam\'.*test = "none"'):
        open_training_splits(recipe_for(root, splits={"val": 0.5, "test": "exam"}))
    with pytest.raises(InputError) as error:
        open_training_splits(recipe_for(root, data={"label": "labl"}))
    assert "no label column 'labl'" in str(error.value) and "[splits]" not in str(error.value)


def test_class_folders_that_a_split_lacks_keep_their_numbers(tmp_path: Path) -> None:
    for split, names in (("train", "abc"), ("val", "abc"), ("test", "bc")):
        for name in names:
            place = tmp_path / split / name
            place.mkdir(parents=True)
            for i in range(2):
                Image.fromarray(np.zeros((8, 8), np.uint8)).save(place / f"{i}.png")
    splits = open_training_splits(recipe_for(tmp_path, data={"group": "none"}))
    assert splits.test is not None and splits.test.classes == ("a", "b", "c")
    assert count_classes(splits.test) == {"a": 0, "b": 2, "c": 2}


def test_a_recipe_without_images() -> None:
    with pytest.raises(InputError, match="names no images"):
        open_training_splits(make_recipe({"network": {"architecture": "x"}}))


def test_a_fraction_of_train_is_nested_and_of_whole_groups_of_every_class(tmp_path: Path) -> None:
    listed = [(label, f"p{i // 2}", "train") for i, label in enumerate("aabb" * 10)]
    root = write(tmp_path, listed + rows("val", "ab"))

    def learned(**splits: object) -> set[str]:
        opened = open_training_splits(recipe_for(root, splits={"test": "none", **splits}))
        assert len({e.group for e in opened.val.entries}) == 2
        groups = {e.group for e in opened.train.entries}
        assert len(opened.train) == 2 * len(groups)
        return groups

    fractions = [learned(fraction=share) for share in (0.1, 0.3, 0.5, 1.0)]
    assert [len(groups) for groups in fractions] == [2, 6, 10, 20]
    assert fractions[0] < fractions[1] < fractions[2] < fractions[3]
    assert learned(fraction=0.3, fraction_seed=1) != fractions[1]
