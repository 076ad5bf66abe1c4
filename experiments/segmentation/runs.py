"""The finished audits of this folder's plans, in `runs/segmentation`, by the plan's name."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from experiments.ma2021.common import Options
from robust.records import AttackResult, Report

RUNS = Path("runs/segmentation")
RESULTS = Path(__file__).parent / "results"
PLANS = ("lungs", "hippocampus", "m2unet", "lwnet")
SHOWN = {
    "lungs": "lungs",
    "hippocampus": "hippocampus",
    "m2unet": "vessels, M2U-Net",
    "lwnet": "vessels, LWNet",
}
"""What tables and figures call them."""


def finished(asked: Options) -> Iterator[tuple[str, Path, Report]]:
    """Name, folder and report of each audit that was asked for and is there."""
    for name in asked.of(PLANS):
        folder = RUNS / name
        if (folder / "report.json").exists():
            yield name, folder, Report.load(folder / "report.json")
        else:
            print(f"no {folder}; see the first line of {name}.toml", file=sys.stderr)


def eps_255(row: AttackResult) -> float:
    """Attack size in grey levels of 255; 0 without attack."""
    return 0.0 if row.eps is None else round(row.eps * 255, 6)
