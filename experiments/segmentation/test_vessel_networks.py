"""Both published vessel networks load strictly and give their documented Dice."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from robust import Segmenter, load_segmenter

HERE = "experiments.segmentation.vessel_networks"


def load(data: Path, name: str, weights: str, threshold: float) -> Segmenter:
    """As the plan's `[model]` would: padded with zeros to 512 x 512."""
    folder = data / "models_more" / "segmentation"
    if not folder.is_dir():
        pytest.skip("needs the published vessel networks, which are not part of the repository")
    return load_segmenter(
        factory=f"{HERE}:{name}",
        weights=folder / weights,
        multiple_of=512,
        head="sigmoid",
        threshold=threshold,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "weights", "parameters", "threshold", "all_rows", "test_rows"),
    [
        ("lwnet", "lwnet_wnet_drive.pth", 68_482, 0.42, 0.728, 0.733),
        ("m2unet", "m2unet_drive.pth", 549_748, 0.5215, 0.739, 0.743),
    ],
)
def test_the_dice_is_the_documented_one(
    data: Path,
    name: str,
    weights: str,
    parameters: int,
    threshold: float,
    all_rows: float,
    test_rows: float,
) -> None:
    segmenter = load(data, name, weights, threshold)
    assert sum(p.numel() for p in segmenter.parameters()) == parameters
    folder = data / "segmentation" / "vessels"
    rows = list(csv.DictReader((folder / "cases.csv").read_text().splitlines()))
    dice = np.array([_dice(segmenter, folder / r["file"], folder / r["mask"]) for r in rows])
    tested = np.array([row["split"] == "test" for row in rows])
    assert dice.mean() == pytest.approx(all_rows, abs=0.005)
    assert dice[tested].mean() == pytest.approx(test_rows, abs=0.005)


@torch.no_grad()
def _dice(segmenter: Segmenter, image: Path, mask: Path) -> float:
    with Image.open(image) as opened:
        pixels = np.asarray(opened.convert("RGB"))
    with Image.open(mask) as opened:
        true = np.asarray(opened) > 0
    x = torch.tensor(pixels).permute(2, 0, 1)[None].float() / 255
    predicted = segmenter(x).argmax(1)[0].numpy() == 1
    return float(2 * (predicted & true).sum() / (predicted.sum() + true.sum()))


@pytest.mark.slow
def test_both_take_an_image_of_their_smallest_size(data: Path) -> None:
    for name, weights in (("lwnet", "lwnet_wnet_drive.pth"), ("m2unet", "m2unet_drive.pth")):
        segmenter = load(data, name, weights, 0.5)
        segmenter.multiple_of = 16
        assert segmenter(torch.rand(1, 3, 20, 33)).shape == (1, 2, 20, 33)
