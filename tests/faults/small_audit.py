"""A small audit that goes through every phase, and what must be the same after any fault."""

from __future__ import annotations

import json
import re
import sqlite3
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from robust.cases.phantoms.draw import phantom
from tests.warm import Done, Warm

NET = """
from torch import nn

def net():
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, stride=2, padding=1), nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(256, 2))
"""

PLAN = """
title = "A small audit"
[model]
factory = "toynet:net"
weights = "net.safetensors"
channels = 1
head = "softmax"
[data]
path = "images"
[audit]
eps = ["2/255", "8/255"]
chunk = 8
[[attacks]]
name = "FGSM"
[[attacks]]
name = "PGD"
steps = 4
[[detectors]]
name = "KernelDensity"
[[detectors]]
name = "MaxSoftmax"
[detection]
fit_eps = ["8/255"]
adaptive = 8
adaptive_steps = 6
[scenarios]
universal = [2]
cases = 16
[scenarios.surrogate]
factory = "toynet:net"
weights = "other.safetensors"
channels = 1
head = "softmax"
[report]
gallery = 2
"""
AUDIT = ("audit", "plan.toml", "--out", "run")
CHUNKS = "SELECT * FROM chunks"
MEMOS = "SELECT key, value FROM meta"

PHASES = {
    "clean predictions": "clean",
    "clean images": "clean",
    "features of clean images": "features",
    "reference images": "features",
    "clean images for detectors": "features",
    "attacks finished": "attacks",
    "features of control images": "detectors",
    "controls for detectors": "detectors",
    "scenarios": "scenarios",
    "universal": "scenarios",
    "adversarial patch": "scenarios",
    "transfer attack": "scenarios",
    "probe finished": "report",
    "probe of the model": "probe",
    "probing": "probe",
    "adaptive attack": "adaptive",
    "evaluating": "detectors",
    "t-SNE": "detectors",
    "results by case": "report",
    "example images": "report",
    "writing the report": "writing",
}
"""The phase of a stage by how its label begins; attacks are called by their own names."""


def phase_of(label: str) -> str:
    """The phase that a progress label belongs to."""
    fitting = [begin for begin in PHASES if label.startswith(begin)]
    return PHASES[max(fitting, key=len)] if fitting else "attacks"


def write_inputs(folder: Path, tests: int = 48, train: int = 48) -> Path:
    """The network, the plan and PNG images with groups and splits."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "toynet.py").write_text(NET, encoding="utf-8")
    (folder / "plan.toml").write_text(PLAN, encoding="utf-8")
    images = folder / "images"
    images.mkdir()
    rows = ["file,label,group,split"]
    for split, count in (("test", tests), ("train", train)):
        for number in range(count):
            name = f"{split}{number}.png"
            Image.fromarray(_drawn(split, number)).save(images / name)
            rows.append(f"{name},{number % 2},{split}-{number // 2},{split}")
    (images / "cases.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    for name, weights in zip(("net", "other"), _weights(tests, train), strict=True):
        save_file(weights, folder / f"{name}.safetensors")
    return folder


@cache
def _drawn(split: str, number: int) -> npt.NDArray[np.uint8]:
    first = {"test": 0, "train": 1000}[split]
    return phantom("chest_xray", bool(number % 2), first + number, 28)


@cache
def _weights(tests: int, train: int) -> tuple[dict[str, torch.Tensor], ...]:
    """Of both networks, fitted once a process to all of the images."""
    learned = [("test", number) for number in range(tests)]
    learned += [("train", number) for number in range(train)]
    pixels = np.stack([_drawn(*one) for one in learned])
    labels = [number % 2 for _, number in learned]
    return tuple(fit(pixels, labels, seed).state_dict() for seed in range(2))


def fit(pixels: npt.NDArray[np.uint8], labels: list[int], seed: int) -> nn.Module:
    """The network of NET, fitted for a second to grey images `(n, h, w)`."""
    x, y = torch.from_numpy(pixels)[:, None] / 255, torch.tensor(labels)
    names: dict[str, Any] = {}
    exec(NET, names)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net: nn.Module = names["net"]()
        optimiser = torch.optim.Adam(net.parameters(), 5e-3)
        for _ in range(120):
            optimiser.zero_grad()
            F.cross_entropy(net(x), y).backward()
            optimiser.step()
    return net.eval()


@dataclass(frozen=True)
class Outcome:
    """What must be the same however often a run was disturbed."""

    report: dict[str, Any]
    """report.json without `timings`."""
    table: bytes
    """outcomes.csv."""
    gallery: dict[str, bytes]


def outcome(run: Path) -> Outcome:
    """The outcome of a finished run."""
    report = json.loads((run / "report.json").read_text(encoding="utf-8"))
    del report["timings"]
    pictures = {path.name: path.read_bytes() for path in (run / "gallery").iterdir()}
    return Outcome(report, (run / "outcomes.csv").read_bytes(), pictures)


def finished(run: Path) -> tuple[set[Any], dict[str, str]]:
    """Every finished chunk, with the seconds that it took, and every memo of a run's database."""
    if not (run / "outcomes.sqlite").exists():
        return set(), {}
    database = sqlite3.connect(run / "outcomes.sqlite")
    try:
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
        if "chunks" not in tables:
            return set(), {}
        return set(database.execute(CHUNKS)), dict(database.execute(MEMOS))
    finally:
        database.close()


@dataclass(frozen=True)
class Calm:
    """An audit that nobody disturbed."""

    folder: Path
    """Of the inputs and of `run`."""
    outcome: Outcome
    seconds: dict[str, float]
    """How long each phase took."""
    done: Done


def resumed(commands: Warm, folder: Path, calm: Calm, **options: Any) -> None:
    """The same command, to its end, leaves the outcome of the undisturbed audit.

    What was finished before is still the same row of the database, so it did not run again.
    """
    chunks, memos = finished(folder / "run")
    done = commands.run(folder, *AUDIT, **options)
    assert done.code == 0, done
    assert undated(done.out) == undated(calm.done.out)
    same_outcome(folder / "run", calm)
    kept, remembered = finished(folder / "run")
    assert chunks <= kept
    assert memos.items() <= remembered.items()


def undated(text: str) -> str:
    """What was printed, but for the date of the audit."""
    return re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", "DATE", text)


def same_outcome(run: Path, calm: Calm) -> None:
    """The outcome of a run is that of the undisturbed audit."""
    found = outcome(run)
    assert found.table == calm.outcome.table
    assert found.report == calm.outcome.report
    assert found.gallery == calm.outcome.gallery


ANNOUNCED = ("Run folder: ", "Cost: ", "Time: ", "Stage ", "Writing the report")
"""How the lines begin that an audit prints before it ends."""


def messages(done: Done) -> list[str]:
    """The lines on standard error, progress aside."""
    told = (line for line in done.err.splitlines() if not line.startswith(ANNOUNCED))
    return [line for line in told if " elapsed" not in line]


def one_line(done: Done, code: int, *said: str) -> None:
    """A command that ended with this exit code and one line on standard error, progress aside."""
    assert done.code == code, done
    lines = messages(done)
    assert len(lines) == 1 and lines[0].startswith("robust: "), done.err
    assert "Traceback" not in done.out
    for part in said:
        assert part.lower() in lines[0].lower(), lines[0]
