"""How time and memory of an audit with detectors grow with the number of cases.

Run: `python -m experiments.speed.growth [--workers N] [COUNT ...]` (default 1000 10000 100000; one
CPU core, half an hour). Phantoms at 28 px (400 of them, each with fresh noise of 6 grey levels:
drawing 100,000 takes longer than attacking them), a CNN of 24,000 parameters, FGSM and PGD at
2/255, four detectors with their controls, or two with workers. Each count in a process of its own.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from robust.auditing import audit_plan
from robust.cases.phantoms.draw import phantom
from robust.demo import train
from robust.plan.load import make_plan
from robust.plan.machines import WorkerChoice
from robust.plan.spec import Plan
from robust.report import write_report

PIXELS, KINDS = 28, 400
DETECTORS = ("KernelDensity", "LID", "Mahalanobis", "MaxSoftmax")
FEWER = ("Mahalanobis", "MaxSoftmax")


def write_images(path: Path, counts: dict[str, int]) -> None:
    base = np.stack([phantom("chest_xray", i % 2 == 1, i, PIXELS) for i in range(KINDS)])
    rng = np.random.default_rng(0)
    arrays = {}
    for split, count in counts.items():
        rows = rng.integers(0, KINDS, count)
        images = np.empty((count, PIXELS, PIXELS), np.uint8)
        for start in range(0, count, 1000):
            part = base[rows[start : start + 1000]]
            noisy = part + rng.normal(0, 6, part.shape)
            images[start : start + 1000] = np.clip(noisy, 0, 255)
        arrays |= {f"{split}_images": images, f"{split}_labels": (rows % 2)[:, None].astype("u1")}
    np.savez(path, **arrays)


def plan_of(folder: Path, detectors: Sequence[str]) -> Plan:
    return make_plan(
        {
            "title": "Growth",
            "model": {
                "factory": "robust.demo:network",
                "weights": str(folder / "net.pth"),
                "channels": 3,
                "mean": 0.5,
                "std": 0.25,
                "head": "softmax",
            },
            "data": {
                "path": str(folder / "images.npz"),
                "group": "none",
                "classes": ["normal", "finding"],
                "findings": ["finding"],
            },
            "audit": {"eps": ["2/255"], "chunk": 256},
            "attacks": [{"name": "FGSM"}, {"name": "PGD"}],
            "detectors": [{"name": name} for name in detectors],
        }
    )


def measure(count: int, folder: Path, workers: int) -> None:
    torch.set_num_threads(1)
    before, began, out = _peak(), time.perf_counter(), folder / f"run-{count}"
    worker = WorkerPeak()
    choice = WorkerChoice(workers) if workers else None
    plan = plan_of(folder, FEWER if workers else DETECTORS)
    report = audit_plan(plan, out=out, device="cpu", workers=choice)
    write_report(report, out)
    seconds = time.perf_counter() - began
    steps = {name: f"{s:.1f}" for name, s in report.timings.by_cell.items()}
    accuracy = report.worst_cases[0].scores.accuracy
    spent = [_spent(of) for of in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    print(
        f"| {count:,} | {1e3 * seconds / count:.2f} | {1e3 * sum(spent) / count:.2f} | "
        f"{1e3 * spent[1] / count:.2f} | {before:.0f} | {_peak():.0f} | "
        f"{worker.mib:.0f} | {accuracy and accuracy.value:.3f} | {steps} |",
        flush=True,
    )


def _spent(of: int) -> float:
    """Processor seconds so far."""
    used = resource.getrusage(of)
    return used.ru_utime + used.ru_stime


class WorkerPeak(threading.Thread):
    """Largest memory of any worker so far; for `getrusage` a child begins with its parent's."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.mib = 0.0
        self.start()

    def run(self) -> None:
        while True:
            for process in multiprocessing.active_children():
                self.mib = max(self.mib, _peak(process.pid or 0))
            time.sleep(0.5)


def _peak(process: int | str = "self") -> float:
    """Largest memory of a process in MiB; 0 where it has ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def main(counts: list[int], workers: int) -> None:
    print(
        "| cases | ms a case | processor ms a case | of these in workers | MiB before | peak MiB | "
        "peak MiB of a worker | accuracy under attack | seconds by step |"
    )
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    for count in counts:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_images(folder / "images.npz", {"train": 2000, "test": count})
            torch.save(train("chest_xray").state_dict(), folder / "net.pth")
            command = [sys.executable, "-m", __spec__.name, "--workers", str(workers)]
            subprocess.run([*command, "--in", name, str(count)], check=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("counts", nargs="*", type=int)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--in", dest="folder", type=Path)
    given = parser.parse_args()
    if given.folder:
        measure(given.counts[0], given.folder, given.workers)
    else:
        main(given.counts or [1_000, 10_000, 100_000], given.workers)
