"""The splits of a training: the same classes in each, no group and no picture in two of them."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from robust.cases import Cases, open_cases
from robust.cases.consistency import check_no_shared_groups
from robust.cases.duplicates.separation import separate
from robust.errors import InputError
from robust.progress import Progress
from robust.records import CopiedImages, SplitCopies
from robust.training.recipe import Recipe


@dataclass(frozen=True)
class Splits:
    """Cases to learn from, to choose the best epoch on, and for the final evaluation."""

    train: Cases
    val: Cases
    test: Cases | None
    copies: tuple[SplitCopies, ...] = ()
    """Images that were left out because they show a picture of a later split."""
    within: Mapping[str, CopiedImages] = field(default_factory=dict)
    """By role: copies inside val and test. Those of one picture are one group."""

    @property
    def named(self) -> dict[str, Cases]:
        """The splits by role, without a test split where there is none."""
        found = {"train": self.train, "val": self.val}
        return found if self.test is None else {**found, "test": self.test}


def open_training_splits(recipe: Recipe) -> Splits:
    """The splits that a recipe names; InputError where they cannot train or evaluate a network."""
    if recipe.data is None or not recipe.data.path:
        raise InputError("the recipe names no images; give --data, or path in its [data] table")
    names = recipe.splits
    train = _open(recipe, names.train, '[splits] train names them; "all" takes every row')
    classes = train.classes
    if isinstance(names.val, float):
        train, val = split_off_val(train, names.val, recipe.training.seed)
    else:
        remedy = "[splits] val names them; a number takes that share out of train: val = 0.15"
        val = _open(recipe, names.val, remedy, classes)
    test = None
    if names.test is not None:
        remedy = '[splits] test names them; test = "none" goes without'
        test = _open(recipe, names.test, remedy, classes)
    if names.fraction < 1:
        train = take_fraction(train, names.fraction, names.fraction_seed)
    splits = Splits(train, val, test)
    _check_classes(splits)
    _check_groups(splits)
    return splits


def separate_splits(splits: Splits, progress: Progress) -> Splits:
    """The splits without images of train that show one of val or test, and of val one of test.

    Every image is read. InputError for one that cannot be, and where too few images are left.
    """
    found = separate(splits.named, progress)
    kept = found.splits
    separated = Splits(kept["train"], kept["val"], kept.get("test"), found.between, found.within)
    try:
        _check_classes(separated)
    except InputError as error:
        raise InputError(f"without copies of images of later splits, {error}") from None
    return separated


def split_off_val(train: Cases, share: float, seed: int) -> tuple[Cases, Cases]:
    """Split `train` in two: the rest, and a val split with this share of each class's groups.

    A hash of the group and the seed decides, so the order of rows does not matter.
    """
    chosen = _drawn_groups(train, share, str(seed))
    inside = [entry.group in chosen for entry in train.entries]
    kept = train.select([i for i, out in enumerate(inside) if not out])
    return kept, replace(train.select([i for i, out in enumerate(inside) if out]), split="val")


def take_fraction(train: Cases, share: float, seed: int) -> Cases:
    """The cases of this share of each class's groups, at least one; smaller shares are nested."""
    chosen = _drawn_groups(train, share, f"fraction {seed}")
    return train.select([i for i, entry in enumerate(train.entries) if entry.group in chosen])


def _drawn_groups(train: Cases, share: float, seed: str) -> set[str]:
    """This share of each class's groups, by a hash of the seed and the group.

    A group with several classes counts for the highest. Of masks, groups are drawn from all.
    """
    highest: dict[str, int] = {}
    for entry in train.entries:
        highest[entry.group] = max(entry.label, highest.get(entry.group, 0))
    chosen: set[str] = set()
    for label in sorted(set(highest.values())):
        owners = [group for group, class_of_group in highest.items() if class_of_group == label]
        owners.sort(key=lambda group: hashlib.sha256(f"{seed} {group}".encode()).digest())
        chosen.update(owners[: math.ceil(share * len(owners))])
    return chosen


def count_classes(cases: Cases) -> dict[str, int]:
    """Cases of each class, by name; none where labels are masks."""
    if cases.outlines is not None:
        return {}
    counts = Counter(entry.label for entry in cases.entries)
    return {name: counts[label] for label, name in enumerate(cases.classes)}


def _open(recipe: Recipe, split: str, remedy: str, classes: tuple[str, ...] | None = None) -> Cases:
    assert recipe.data is not None  # open_training_splits checks
    options = {**recipe.data.options(), "split": split}
    if not (recipe.training.attention_weight and split == recipe.splits.train):
        options.pop("region", None)  # masks that tell a training where to look are needed there
    try:
        cases = open_cases(recipe.data.path, **options)
        if classes is not None and cases.classes != classes:
            # A split may lack a class; then only the names say which number is which.
            cases = open_cases(recipe.data.path, **{**options, "classes": classes})
    except InputError as error:
        message = str(error)
        missing = any(part in message for part in ("no split", repr(split), f"'{split}_images'"))
        raise InputError(f"{message} ({remedy})" if missing else message) from None
    return cases


def _check_classes(splits: Splits) -> None:
    if splits.train.outlines is not None:
        return
    learned = count_classes(splits.train)
    present = [name for name, count in learned.items() if count]
    if len(present) < 2:
        raise InputError(
            f"train holds {' and '.join(present) or 'nothing'} only; a classifier learns from "
            f"two classes or more: choose another label column or filter"
        )
    for name, count in learned.items():
        if not count:
            raise InputError(
                f"train has no case of {name}, which the network cannot learn; remove the "
                f"class from [data] classes, or name another train split"
            )
    judged = [name for name, count in count_classes(splits.val).items() if count]
    if len(judged) < 2:
        raise InputError(
            f"val holds {' and '.join(judged) or 'nothing'} only, so epochs cannot be compared; "
            f"choose another val, or a share of train: val = 0.15"
        )


def _check_groups(splits: Splits) -> None:
    for (one, first), (other, second) in _pairs(splits):
        check_no_shared_groups(first, second, (one, other))


def _pairs(splits: Splits) -> Iterator[tuple[tuple[str, Cases], tuple[str, Cases]]]:
    return itertools.combinations(splits.named.items(), 2)
