"""The networks of this experiment: plain, and augmented with one or the other half of the kinds.

Run: `python -m experiments.augmentation.networks [--only NAME ...]`. Each is a SqueezeNet 1.1 from
weights of ImageNet, fine-tuned at 64 px by the recipe of its modality into
`experiments/built/augmentation/NAME`; one that is finished is left alone, one that was cut short
goes on.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from experiments.models import BUILT, DATA, ODIR, SQUEEZENET, merged
from robust.corruptions.registry import corruptions_of
from robust.training.recipe import Recipe, load_recipe
from robust.training.train import train_model

HOME = BUILT / "augmentation"
PIXELS = 64
SEEDS = (0, 1)
ARMS = ("plain", "first", "second")
"""Without corruptions, or with one half of the kinds."""

MODALITIES = {
    "chest X-ray": ("chest-xray", {"path": str(DATA / "chest_xray"), "limit": 1200}),
    "dermoscopy": ("dermoscopy", {"path": str(DATA / "dermoscopy"), "limit": 1200}),
    "fundus": ("fundus", {"path": str(DATA / "fundus"), "where": ODIR}),
}
"""The packaged recipe of each modality, and its data: of a split at most so many images."""
EPOCHS = {"chest X-ray": 6, "dermoscopy": 8, "fundus": 12}


def halves(modality: str) -> dict[str, tuple[str, ...]]:
    """The kinds that each arm learns from: every other one of each family."""
    kinds = sorted(corruptions_of(modality), key=lambda kind: kind.family)
    names = [kind.name for kind in kinds]
    return {"plain": (), "first": tuple(names[::2]), "second": tuple(names[1::2])}


def name_of(modality: str, arm: str, seed: int) -> str:
    return f"{modality.split()[0]}-{arm}-{seed}"


def recipe_of(modality: str, arm: str, seed: int) -> Recipe:
    packaged, data = MODALITIES[modality]
    told = load_recipe(packaged).model_dump(exclude_none=True)
    title = told.pop("title")
    tables = {
        "data": {**data, "size": PIXELS},
        "network": {**SQUEEZENET, "size": PIXELS},
        "training": {"epochs": EPOCHS[modality], "lr": 3e-4, "seed": seed},
    }
    if arm != "plain":
        kinds = halves(modality)[arm]
        tables["augmentation"] = {"augment": "modality", "corruption_kinds": kinds}
    return Recipe.model_validate({"title": title, **merged(told, tables)})


def folder_of(modality: str, arm: str, seed: int) -> Path:
    return HOME / name_of(modality, arm, seed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME")
    only = parser.parse_args().only
    for seed in SEEDS:
        for modality in MODALITIES:
            for arm in ARMS:
                name = name_of(modality, arm, seed)
                if only and name not in only:
                    continue
                began = time.process_time()
                done = train_model(
                    recipe_of(modality, arm, seed),
                    folder_of(modality, arm, seed),
                    device="cpu",
                    progress=False,
                )
                auc = done.metrics["test"].auc
                spent = time.process_time() - began
                print(f"{name}: AUC on test {auc.value if auc else '-'}, {spent:.0f} s", flush=True)


if __name__ == "__main__":
    main()
