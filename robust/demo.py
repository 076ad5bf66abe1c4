"""The demonstration: a small network, trained on synthetic images, and its audit plan."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import tomli_w
import torch
import torch.nn.functional as F
from torch import nn

from robust.cases import Cases, open_cases
from robust.cases.phantoms.draw import NOUNS
from robust.errors import InputError
from robust.files import (
    cannot,
    make_private_folder,
    path_exists,
    read_text,
    replacing,
    write_atomically,
)
from robust.plan.load import PLAN as PLAN_FILE
from robust.plan.paths import require_plan_folder
from robust.printable import one_line
from robust.progress import Progress

WEIGHTS = "model.safetensors"
PIXELS = 64
"""Side of the images."""
EPOCHS = 12
BATCH = 32

HEAD = (
    "# Made by `robust demo`. Repeat it with: {}\n# from the folder in which `robust demo` ran.\n"
)
AGAIN = "again"
"""Folder of the repeated run, beside the plan."""
PLAN: dict[str, Any] = {
    "audit": {"eps": ["0.5/255", "1/255", "2/255", "4/255", "8/255"]},
    "detection": {"adaptive": 30, "adaptive_steps": 20},
    "scenarios": {"universal": [1, 8], "patch": [0.05], "cases": 60},
    "certificates": [{"name": "CROWN", "cases": 20}],
    "corruptions": {"severities": [1, 3, 5], "cases": 60},
    "detectors": [{"name": name} for name in ("KernelDensity", "LID", "Mahalanobis", "MaxSoftmax")],
}
"""What the demonstration runs on its network and images."""
FEWEST_FOR_DETECTORS = 60
"""Images below which too few are left for detectors, proofs and corruptions: the plan then has
none."""


def plan_text(folder: Path, modality: str, count: int) -> str:
    """The plan of the demonstration in a folder, as TOML."""
    plan = {
        "title": f"Demonstration on {NOUNS[modality]}",
        "model": {
            "factory": "robust.demo:network",
            "weights": (folder / WEIGHTS).as_posix(),
            "channels": 3,
            "mean": 0.5,
            "std": 0.25,
        },
        "data": {"path": f"phantom:{modality}", "count": count, "pixels": PIXELS},
        **PLAN,
    }
    if count < FEWEST_FOR_DETECTORS:
        for name in ("detection", "detectors", "certificates", "corruptions"):
            del plan[name]
    return HEAD.format(repeat_command(folder)) + tomli_w.dumps(plan)


def repeat_command(folder: Path) -> str:
    """The command that repeats the demonstration in a folder; on one line, whatever its name."""
    words = ["robust", "audit", (folder / PLAN_FILE).as_posix()]
    return one_line(shlex.join([*words, "--out", (folder / AGAIN).as_posix()]))


def _silent(done: float, total: float, label: str) -> None:
    """No progress shown."""


def network() -> nn.Module:
    """A convolutional network of 24,000 parameters for two classes, with random weights."""

    def block(inside: int, outside: int) -> list[nn.Module]:
        convolution = nn.Conv2d(inside, outside, 3, stride=2, padding=1, bias=False)
        return [convolution, nn.BatchNorm2d(outside), nn.ReLU()]

    return nn.Sequential(
        *block(3, 16),
        *block(16, 32),
        *block(32, 64),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(64, 2),
    )


def train(modality: str, count: int = 600, progress: Progress = _silent) -> nn.Module:
    """Train the network on the train split of synthetic images; every call gives the same one."""
    cases = open_cases(f"phantom:{modality}", split="train", count=count, pixels=PIXELS)
    x, y = _tensors(cases, progress)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = network().train()
        optimiser = torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=1e-2)
        steps = EPOCHS * -(-len(x) // BATCH)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-2, total_steps=steps)
        for epoch in range(EPOCHS):
            progress(epoch, EPOCHS, "training the network")
            order = torch.randperm(len(x))
            for rows in torch.split(order, BATCH):
                images = x[rows]
                if torch.rand(()) < 0.5:
                    images = images.flip(3)
                loss = F.cross_entropy(net((images - 0.5) / 0.25), y[rows])
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                schedule.step()
    return net.eval()


def write_demo(folder: Path, modality: str, count: int, progress: Progress = _silent) -> Path:
    """Write weights and plan to `folder` unless they are there; returns the plan's path."""
    require_plan_folder(folder)
    try:
        make_private_folder(folder)
        return _write_files(folder, modality, count, progress)
    except OSError as error:
        raise InputError(cannot(folder, "be written", error)) from None


def _write_files(folder: Path, modality: str, count: int, progress: Progress) -> Path:
    from safetensors.torch import save_file

    plan, weights = folder / PLAN_FILE, folder / WEIGHTS
    text = plan_text(folder, modality, count)
    known = path_exists(weights) and path_exists(plan) and read_text(plan) == text
    if not known:
        trained = train(modality, progress=progress)
        with replacing(weights) as partial:
            save_file(trained.state_dict(), partial)
        write_atomically(plan, text)
    return plan


def _tensors(cases: Cases, progress: Progress) -> tuple[torch.Tensor, torch.Tensor]:
    images, labels = [], []
    for number, case in enumerate(cases.stream(range(len(cases)))):
        progress(number, len(cases), "drawing the training images")
        if isinstance(case, Exception):
            raise case
        images.append(case.image.expand(3, -1, -1))
        labels.append(case.label)
    return torch.stack(images), torch.tensor(labels)
