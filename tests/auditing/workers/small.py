"""The small audit as workers attack it: its plans, and what must be the same as in a single run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from robust.plan.load import load_plan
from robust.plan.spec import Plan
from tests.faults.small_audit import write_inputs


def write_plans(folder: Path) -> Path:
    """The small audit's inputs; `short.toml` has neither detectors nor later stages."""
    write_inputs(folder)
    text = (folder / "plan.toml").read_text("utf-8")
    long = text.replace("[detection]", "[doubts]\nprobe = false\n[detection]")
    (folder / "long.toml").write_text(long.replace("[[attacks]]", CURVES, 1), "utf-8")
    short = text.split("[[detectors]]")[0] + "\n[doubts]\nprobe = false\n[report]\ngallery = 0\n"
    (folder / "short.toml").write_text(short, "utf-8")
    return folder


CURVES = """[[attacks]]
name = "MarginPGD"
steps = 10
[[attacks]]"""
"""An attack whose cells are curves, which need what fell at a smaller eps."""


def plan(folder: Path, name: str) -> Plan:
    return load_plan(folder / f"{name}.toml", allow_code=True)


def outcome(run: Path) -> tuple[dict[str, Any], bytes]:
    """report.json without `timings`, and outcomes.csv."""
    report = json.loads((run / "report.json").read_text("utf-8"))
    del report["timings"]
    return report, (run / "outcomes.csv").read_bytes()
