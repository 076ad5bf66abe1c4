"""Throughput of two workers against two bare loops side by side, each of one thread, in turn.

Run: `python -m experiments.speed.workers [IMAGES] [ROUNDS] [processes|ray]` (default 768 1
processes; two CPU cores, five minutes). ResNet-18 with random weights, phantoms at 112 px, PGD of
20 steps in full, float32, chunks of 64. Nine images of ten bear the label that the network gives,
as of a network that is right so often. A bare loop has its images in memory and runs the attack on
the accelerated network, nothing else: no reading, predicting, verifying, no check of storage. The
first and the last chunk of each worker are left out on both sides: starting up, and waiting for the
other.
"""

from __future__ import annotations

import multiprocessing
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import nn

from attacks import PGD, Streams, ThreatModel
from robust.auditing import audit_plan
from robust.auditing.attack_stage import computing
from robust.cases.phantoms.draw import phantom
from robust.engine.inputs import open_plan
from robust.models import prepare
from robust.models.acceleration.accelerate import make_fast_models
from robust.models.environment import processor_name
from robust.plan.load import make_plan
from robust.plan.machines import WorkerChoice
from robust.plan.spec import Plan

PIXELS, CHUNK, STEPS, EPS, KINDS = 112, 64, 20, 1 / 255, 32
WORKERS = 2


def network() -> nn.Module:
    import torchvision

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net: nn.Module = torchvision.models.resnet18(num_classes=2)
    return net.eval()


def write_images(path: Path, count: int) -> None:
    kinds = np.stack([phantom("chest_xray", i % 2 == 1, i, PIXELS) for i in range(KINDS)])
    noise = np.random.default_rng(0).normal(0, 6, (count, PIXELS, PIXELS))
    rows = np.arange(count) % KINDS
    images = np.clip(kinds[rows] + noise, 0, 255).astype(np.uint8)
    labels = _predicted(images)
    labels[::10] = 1 - labels[::10]
    np.savez(path, test_images=images, test_labels=labels[:, None].astype("u1"))


@torch.no_grad()
def _predicted(images: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    x = torch.from_numpy(images)[:, None].float() / 255
    net = network()
    found = [net(part.expand(-1, 3, -1, -1)).argmax(1) for part in x.split(64)]
    return torch.cat(found).numpy()


def plan_of(data: Path) -> Plan:
    return make_plan(
        {
            "title": "Throughput",
            "model": {
                "factory": "experiments.speed.workers:network",
                "channels": 3,
                "head": "softmax",
            },
            "data": {"path": str(data), "group": "none", "classes": ["normal", "finding"]},
            "audit": {"eps": [EPS], "chunk": CHUNK, "precision": "float32"},
            "attacks": [{"name": "PGD", "steps": STEPS}],
            "doubts": {"probe": False},
            "report": {"gallery": 0},
        }
    )


def bare(plan: Plan, rows: range, ready: Any, finished: Any) -> None:
    """One bare loop: the time at which each chunk is finished."""
    torch.set_num_threads(1)
    classifier, cases = open_plan(plan, "cpu")
    chunks = [rows[i : i + CHUNK] for i in range(0, len(rows), CHUNK)]
    x = {part: torch.stack([case.image for case in cases.stream(part)]) for part in chunks}
    attack, threat = PGD(STEPS), ThreatModel("Linf", EPS)
    with computing("cpu"):
        model = make_fast_models(prepare(classifier), x[chunks[0]], "float32").float32
        ready.wait()
        for part in chunks:
            y = torch.tensor([cases.entries[row].label for row in part])
            streams = Streams.of(0, [cases.entries[row].id for row in part], "PGD")
            attack(model, x[part], y, threat, streams)
            finished.put(time.monotonic())


def bare_rate(plan: Plan, count: int) -> float:
    """Chunks a second of two bare loops side by side."""
    context = multiprocessing.get_context("spawn")
    ready, finished = context.Barrier(WORKERS), context.Queue()
    loops = [
        context.Process(
            target=bare,
            args=(plan, range(count)[i * count // WORKERS :][: count // WORKERS], ready, finished),
        )
        for i in range(WORKERS)
    ]
    for loop in loops:
        loop.start()
    times = sorted(finished.get() for _ in range(count // CHUNK))
    for loop in loops:
        loop.join()
    return _rate(times)


def _rate(times: list[float]) -> float:
    """Chunks a second, from when each worker has finished its first until one has its last."""
    inner = times[WORKERS - 1 : -WORKERS]
    return (len(inner) - 1) / (inner[-1] - inner[0])


def worker_rate(plan: Plan, engine: str) -> float:
    """Chunks a second of two workers."""
    times: list[float] = []

    def show(done: float, total: float, label: str) -> None:
        if label.startswith("attacks on"):
            times.append(time.monotonic())

    with tempfile.TemporaryDirectory() as out:
        choice = WorkerChoice(WORKERS, engine)
        audit_plan(plan, out=out, device="cpu", progress=show, workers=choice)
    answers = times[1:]  # the first call is before any answer
    return _rate(answers)


def main(images: str = "768", rounds: str = "1", engine: str = "processes") -> None:
    torch.set_num_threads(WORKERS)
    print(f"{processor_name(torch.device('cpu'))}; {images} images, {engine}")
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "images.npz"
        write_images(data, int(images))
        plan = plan_of(data)
        ratios = []
        for _ in range(int(rounds)):
            loops, workers = bare_rate(plan, int(images)), worker_rate(plan, engine)
            ratios.append(workers / loops)
            print(
                f"bare loops {CHUNK * loops:.2f}, workers {CHUNK * workers:.2f} images a second: "
                f"{ratios[-1]:.3f}",
                flush=True,
            )
    print(f"median {median(ratios):.3f} (goal: at least .9)")


if __name__ == "__main__":
    main(*sys.argv[1:])
