"""Drafts a training recipe on the same data as a plan, and makes the plan audit what it trains."""

from __future__ import annotations

from typing import Any

from robust.cases.split_names import SPLITS
from robust.drafting.draft import Draft
from robust.drafting.plan import Drafted
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
    for split, value in splits_of(plan.get("data.splits")).items():
        recipe.set(f"splits.{split}", value)
    return recipe


def splits_of(splits: Any) -> dict[str, Any]:
    """`[splits]` for the splits that data have: a share of train for val where there is none."""
    if isinstance(splits, dict) and not set(SPLITS[1:-1]) & set(splits):
        return {"val": VAL}
    return {}
