"""Everything that needs a GPU, in one command of at most eight minutes.

Run: `make gpu`, or `python -m experiments.gpu.run --data DATA --out OUT`; with `--rehearse` tiny
sizes on the CPU. Each part is a process of its own with a limit of its own, writes its own JSON and
may fail alone. What is not timed (tests, fine-tuning, audits, compiling ahead) runs side by side;
what is timed runs alone afterwards. `experiments.gpu.tables` makes the page of it.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

MODALITIES = ("chest_xray", "fundus", "dermoscopy")
NETWORKS = ("torchvision:resnet50", "timm:vit_small_patch16_224")
SIDE_BY_SIDE, PASSES, ALONE = 185, 30, 130
"""Seconds that the parts side by side may take, and each of those that run alone: 475 in all."""
REHEARSAL = 1200
"""Seconds of each part in a rehearsal."""


@dataclass
class Part:
    """One process: its name, what it runs, and how it ended."""

    name: str
    command: list[str]
    limit: float
    code: int | None = None
    seconds: float = 0.0


def main() -> None:
    """Run all parts; exit with 1 if one of them failed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rehearse", action="store_true", help="tiny sizes, on the CPU")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    tiny = ["--rehearse"] if given.rehearse else []
    side_by_side, alone_for = (REHEARSAL,) * 2 if given.rehearse else (SIDE_BY_SIDE, ALONE)
    module = [sys.executable, "-m"]
    tests = [*module, "pytest", "-v", "-p", "no:cacheprovider", "-W", "ignore", "-m", "gpu"]
    tests += ["tests/gpu", *([] if given.rehearse else ["-n", "8"]), "--durations=5"]
    beside = [Part("tests", tests, side_by_side)]
    for name in MODALITIES:
        command = [*module, "experiments.gpu.modality", name, str(given.data)]
        out = str(given.out / f"{name}.json")
        beside.append(Part(name, [*command, out, *tiny], side_by_side))
    if not given.rehearse:
        # What the compiler makes is kept on disk, and found again by what is timed.
        for name in NETWORKS:
            command = [*module, "experiments.gpu.compile_ahead", name]
            beside.append(Part(f"compiling {name}", command, side_by_side))
    alone = []
    command = [*module, "experiments.gpu.passes", "torchvision:mobilenet_v2"]
    out = str(given.out / "passes_mobilenet_v2.json")
    alone.append(Part("passes", [*command, out, *tiny], REHEARSAL if given.rehearse else PASSES))
    for name in NETWORKS:
        out = str(given.out / f"{name.partition(':')[2]}.json")
        alone.append(Part(name, [*module, "experiments.gpu.speed", name, out, *tiny], alone_for))
    environment = {**os.environ, "OMP_NUM_THREADS": "2", "PYTHONUNBUFFERED": "1"}
    if given.rehearse:
        environment["ROBUST_REHEARSE"] = "cpu"
    with (given.out / "log.txt").open("w") as log:
        _run(beside, log, environment, together=True)
        _run(alone, log, environment, together=False)
    summary = {part.name: {"exit code": part.code, "seconds": part.seconds} for part in beside}
    summary |= {part.name: {"exit code": part.code, "seconds": part.seconds} for part in alone}
    (given.out / "summary.json").write_text(json.dumps(summary, indent=1))
    for name, found in summary.items():
        print(f"{name}: {'done' if not found['exit code'] else found}, {found['seconds']:.0f} s")
    sys.exit(any(part.code for part in (*beside, *alone)))


def _run(parts: list[Part], log: TextIO, environment: dict[str, str], *, together: bool) -> None:
    running: list[tuple[Part, subprocess.Popen[bytes], float]] = []
    for part in parts:
        began = time.monotonic()
        # A group of its own, so that what a part has started ends with it.
        process = subprocess.Popen(
            part.command, stdout=log, stderr=log, env=environment, start_new_session=True
        )
        running.append((part, process, began))
        if not together:
            _wait(running)
    _wait(running)


def _wait(running: list[tuple[Part, subprocess.Popen[bytes], float]]) -> None:
    while running:
        for one in list(running):
            part, process, began = one
            part.seconds = time.monotonic() - began
            part.code = process.poll()
            if part.code is None and part.seconds > part.limit:
                os.killpg(process.pid, signal.SIGKILL)
                part.code = 124
            if part.code is not None:
                process.wait()
                running.remove(one)
        time.sleep(0.05)


if __name__ == "__main__":
    main()
