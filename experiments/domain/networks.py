"""The networks of this experiment: what a mask channel, a loss on attention and a start are worth.

Run: `python -m experiments.domain.networks [--seeds N ...]` (RESULTS.md has the time).
SqueezeNet 1.1 at 64 px, fine-tuned into `experiments/built/domain/NAME`; one that is finished is
left alone. First a small segmenter of skin lesions learns from the train split of the outlined
dermoscopy images, less those that are also among those to classify. Its masks of these, drawn
once, are those that the loss on attention is told of; they lie in `experiments/built`, which is
never committed. The segmenter itself is the mask channel.
"""

from __future__ import annotations

import argparse
import csv
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image

from experiments.models import BUILT, DATA, ODIR, SQUEEZENET, Tables, merged
from robust.cases import open_cases
from robust.models import prepare
from robust.models.segmentation.trained import load_trained_segmenter
from robust.training.recipe import Recipe, load_recipe
from robust.training.train import train_model

HOME = BUILT / "domain"
PIXELS = 64
SEEDS = (0, 1, 2)
EPOCHS = 5
CASES = 500
"""Of the train split, at most."""
LESION, CHEST = HOME / "lesion", HOME / "chest"
SKIN = HOME / "skin"
"""The dermoscopy images at the networks' size, with the segmenter's masks beside them."""
ATTENTION = 1.0


@dataclass(frozen=True)
class Arm:
    """One way to train."""

    name: str
    tables: Tables


IMAGENET = Arm("ImageNet", {"network": SQUEEZENET})
NORMALISED = {k: v for k, v in SQUEEZENET.items() if k != "weights"}
RANDOM = Arm("random start", {"network": {**NORMALISED, "pretrained": False}})
VIA_CHEST = Arm("ImageNet, then chest", {"network": {**NORMALISED, "start_from": str(CHEST)}})
CHANNEL = Arm("mask channel", {"network": {**SQUEEZENET, "mask_channel": str(LESION)}})
LOOKING = Arm(
    "loss on attention",
    {"network": SQUEEZENET, "training": {"attention_weight": ATTENTION}},
)
ARMS: dict[str, tuple[Arm, ...]] = {
    "dermoscopy": (IMAGENET, CHANNEL, LOOKING, VIA_CHEST, RANDOM),
    "fundus": (IMAGENET, VIA_CHEST, RANDOM),
}
"""By modality; the first is what the others are compared with."""
IMAGES = {
    "dermoscopy": {"path": str(SKIN), "region": "lesion"},
    "fundus": {"path": str(DATA / "fundus"), "where": ODIR},
}


def folder_of(modality: str, arm: Arm, seed: int) -> Path:
    return HOME / "-".join([modality, *arm.name.replace(",", "").split(), str(seed)])


def recipe_of(modality: str, arm: Arm, seed: int) -> Recipe:
    return _recipe(modality, IMAGES[modality], arm, seed)


def _recipe(packaged: str, data: dict[str, str], arm: Arm, seed: int) -> Recipe:
    told = load_recipe(packaged).model_dump(exclude_none=True)
    title = told.pop("title")
    tables: Tables = {
        "data": {**data, "size": PIXELS, "limit": CASES},
        "network": {"size": PIXELS},
        "training": {"epochs": EPOCHS, "lr": 3e-4, "seed": seed},
    }
    return Recipe.model_validate({"title": title, **merged(told, tables, arm.tables)})


def train_lesion() -> None:
    """The segmenter, without the two images that are also among those to classify."""
    told = load_recipe("lesion").model_dump(exclude_none=True)
    title = told.pop("title")
    tables: Tables = {
        "data": {
            "path": str(DATA / "segmentation" / "skin"),
            "where": "in_dermoscopy == 0",
            "classes": ("background", "lesion"),
        },
        "network": {"size": PIXELS},
        "training": {"epochs": 40},
    }
    recipe = Recipe.model_validate({"title": title, **merged(told, tables)})
    done = train_model(recipe, LESION, device="cpu", progress=False)
    print(f"segmenter: Dice on test {done.metrics['test'].dice}", flush=True)


@torch.no_grad()
def draw_masks() -> None:
    """Write the dermoscopy images at 64 px and the masks that the segmenter draws on them."""
    table = SKIN / "cases.csv"
    if table.exists():
        return
    SKIN.mkdir(parents=True, exist_ok=True)
    segmenter = prepare(load_trained_segmenter(LESION), torch.device("cpu"))
    rows = []
    for split in ("train", "val", "test"):
        cases = open_cases(str(DATA / "dermoscopy"), split=split, size=(PIXELS, PIXELS))
        for number, case in enumerate(cases):
            name = f"{split}-{number}"
            mask = segmenter(case.image[None])[0].argmax(0).to(torch.uint8)
            levels = (case.image * 255).round().to(torch.uint8).permute(1, 2, 0)
            Image.fromarray(levels.numpy()).save(SKIN / f"{name}.png")
            Image.fromarray(mask.numpy()).save(SKIN / f"{name}-lesion.png")
            label = cases.classes[case.label]
            rows.append([f"{name}.png", f"{name}-lesion.png", label, case.group, split])
    with table.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["file", "lesion", "label", "group", "split"], *rows])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", nargs="*", type=int, default=list(SEEDS))
    seeds = parser.parse_args().seeds
    train_lesion()
    draw_masks()
    chest = _recipe("chest-xray", {"path": str(DATA / "chest_xray")}, IMAGENET, 0)
    train_model(chest, CHEST, device="cpu", progress=False)
    for seed in seeds:
        for modality, arms in ARMS.items():
            for arm in arms:
                began = time.process_time()
                done = train_model(
                    recipe_of(modality, arm, seed),
                    folder_of(modality, arm, seed),
                    device="cpu",
                    progress=False,
                )
                auc = done.metrics["test"].auc
                spent = time.process_time() - began
                said = f"AUC on test {auc.value:.3f}" if auc else "no AUC"
                print(f"{modality}, {arm.name}, {seed}: {said}, {spent:.0f} s", flush=True)


if __name__ == "__main__":
    main()
