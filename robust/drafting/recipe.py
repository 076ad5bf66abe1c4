"""Drafts a training recipe on the same data as a plan, and makes the plan audit what it trains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from robust.cases.split_names import split_meant
from robust.drafting.draft import Draft
from robust.drafting.plan import Drafted
from robust.plan.paths import FOLDERS_ALONE
from robust.training.recipe import read_recipe

VAL = 0.15
"""Share of the groups of train that chooses the epoch, where there is no val split."""


def draft_recipe(drafted: Drafted) -> Draft:
    """A recipe that trains on the data of a plan."""
    plan, layout = drafted.draft, drafted.layout
    grey = drafted.images is not None and (
        drafted.images.grey + drafted.images.grey_in_colour == drafted.images.sampled > 0
    )
    name = layout.recipe if layout is not None else "chest-xray" if grey else "dermoscopy"
    recipe = Draft(about=[f"Trains as robust train --recipe {name} does."])
    for table, values in read_recipe(name).items():
        if isinstance(values, dict):
            for field, value in values.items():
                recipe.set(f"{table}.{field}", value)
        else:
            recipe.set(table, values)
    why = "the library's weights are downloaded once; false starts from random ones"
    recipe.set("network.pretrained", True, why, guess=True)
    recipe.drop("data.grey")
    for place, known in plan.values.items():
        if place.startswith("data.") and place != "data.split":
            recipe.values[place] = known
    for split, value in _splits_of(plan).items():
        recipe.set(f"splits.{split}", value)
    return recipe


def _splits_of(plan: Draft) -> dict[str, Any]:
    """`[splits]` that differ from train, val and test: a share of train where there is no val."""
    splits, split = plan.get("data.splits"), plan.get("data.split")
    if plan.get("data.table") == [FOLDERS_ALONE]:
        root = Path(plan.get("data.path"))
        names = {one.name for one in root.iterdir() if one.is_dir()}
    elif isinstance(splits, dict):
        names = set(splits)
    else:
        return {}
    meant = {split_meant(name) for name in names}
    found: dict[str, Any] = {} if "val" in meant else {"val": VAL}
    if "test" in meant:
        return found
    audited = "none" if split_meant(split or "") in ("train", "val") else split
    return {**found, "test": audited}
