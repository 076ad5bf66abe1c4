"""Plans and images for tests of the command line, and what a command leaves behind."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

TOY = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, outputs=2):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3)
        self.head = nn.Linear(2, outputs)

    def forward(self, x):
        return self.head(self.conv(x).mean((2, 3)))

def build(outputs=2):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Net(outputs)

def three():
    return build(3)

def one():
    return build(1)

def nan():
    net = build()
    net.head.weight.data.fill_(float("nan"))
    return net

def failing():
    raise RuntimeError("the checkpoint is gone\\nand this is a second line")

def number():
    return 3
"""
MODEL = {"factory": "toy_factory:build"}
DATA = {"path": "phantom:chest_xray", "count": 8, "pixels": 28}
RUN = ("audit", "plan.toml", "--out", "run")


class Answer(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str


Robust = Callable[..., Answer]


def write_plan(
    model: dict[str, Any] | None = None,
    data: dict[str, Any] | None = None,
    attacks: list[dict[str, Any]] | None = None,
    audit: dict[str, Any] | None = None,
    top: str = "",
    probe: bool = False,
) -> None:
    """plan.toml in the current folder: a small audit that works, but for what is told.

    `probe`: whether the model is probed, which takes longer than all else.
    """
    sections = {
        "[model]": MODEL if model is None else model,
        "[data]": DATA if data is None else data,
        "[audit]": {"eps": ["2/255"]} | (audit or {}),
        "[doubts]": {} if probe else {"probe": False},
    }
    lines = [top]
    for title, entries in sections.items():
        lines += [title, *(f"{key} = {json.dumps(value)}" for key, value in entries.items())]
    for attack in [{"name": "FGSM"}] if attacks is None else attacks:
        lines += ["[[attacks]]", *(f"{key} = {json.dumps(value)}" for key, value in attack.items())]
    Path("plan.toml").write_text("\n".join(lines), encoding="utf-8")


def write_cases(
    labels: list[object], columns: str = "file,label,group", shape: tuple[int, ...] = (28, 28)
) -> dict[str, Any]:
    """A folder `images` with cases.csv; its [data] table."""
    folder = Path("images")
    folder.mkdir()
    rng = np.random.default_rng(0)
    lines = [columns]
    for i, label in enumerate(labels):
        Image.fromarray(rng.integers(0, 256, shape).astype(np.uint8)).save(folder / f"{i}.png")
        lines.append(",".join([f"{i}.png", str(label), f"patient {i}"][: columns.count(",") + 1]))
    (folder / "cases.csv").write_text("\n".join(lines), encoding="utf-8")
    return {"path": "images"}


def refused(answer: Answer, *said: str) -> None:
    """One line, exit code 2, and not the beginning of a run."""
    assert answer.code == 2, answer.err
    assert answer.out == ""
    lines = answer.err.splitlines()
    assert len(lines) == 1, answer.err
    assert lines[0].startswith("robust: ") and "Traceback" not in lines[0]
    for part in said:
        assert part in lines[0]
    assert not Path("run").exists()


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
