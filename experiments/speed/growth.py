"""How time and memory of an audit with detectors grow with the number of cases.

Run: `python -m experiments.speed.growth [COUNT ...]` (default 1000 10000 100000; one CPU core, half
an hour). Phantoms at 28 px (400 of them, each with fresh noise of 6 grey levels: drawing 100,000
takes longer than attacking them), a CNN of 24,000 parameters, FGSM and PGD at 2/255, four detectors
with their controls. Each count in a process of its own.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

import robust
from robust.cases.phantoms.draw import phantom
from robust.demo import network, train
from robust.report import write_report

PIXELS, KINDS = 28, 400


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


def measure(count: int, folder: Path) -> None:
    torch.set_num_threads(1)
    data = folder / "images.npz"
    options = {"group": "none", "classes": ("normal", "finding"), "findings": ("finding",)}
    cases = robust.open_cases(data, split="test", **options)
    reference = robust.open_cases(data, split="train", **options)
    net = network()
    net.load_state_dict(torch.load(folder / "net.pth", weights_only=True))
    classifier = robust.Classifier(net, mean=0.5, std=0.25, channels=3, head="softmax")
    before = _peak()
    began = time.perf_counter()
    report = robust.audit(
        classifier,
        cases,
        attacks=["FGSM", "PGD"],
        eps=["2/255"],
        detectors=["KernelDensity", "LID", "Mahalanobis", "MaxSoftmax"],
        reference=reference,
        out=folder / f"run-{count}",
        chunk=256,
        device="cpu",
    )
    write_report(report, folder / f"run-{count}")
    seconds = time.perf_counter() - began
    steps = {name: f"{s:.1f}" for name, s in report.timings.by_cell.items()}
    accuracy = report.worst_cases[0].scores.accuracy
    print(
        f"| {count:,} | {1e3 * seconds / count:.2f} | {before:.0f} | {_peak():.0f} | "
        f"{accuracy and accuracy.value:.3f} | {steps} |",
        flush=True,
    )


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(counts: list[int]) -> None:
    print("| cases | ms a case | MiB before | peak MiB | accuracy under attack | seconds by step |")
    print("|---|---|---|---|---|---|", flush=True)
    for count in counts:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_images(folder / "images.npz", {"train": 2000, "test": count})
            torch.save(train("chest_xray").state_dict(), folder / "net.pth")
            command = [sys.executable, "-m", __spec__.name, "--in", name, str(count)]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    if "--in" in sys.argv:
        measure(int(sys.argv[3]), Path(sys.argv[2]))
    else:
        main([int(n) for n in sys.argv[1:]] or [1_000, 10_000, 100_000])
