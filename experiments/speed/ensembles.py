"""AutoAttack here and elsewhere to the same verdict: passes through the network and time.

Run: `python -m experiments.speed.ensembles ../shared/data [TASK ...] [--images N] [--norm N ...]
[--table]` with the peers beside (`make peers`, then `.venv-peers/bin/python`): ours, ours in full,
the original and torchattacks', in turn on the same images at one seed, on each network of
`networks`. Appends to `results/ensembles.csv`, a row each as it is found; `--table` prints the
table of RESULTS.md from it. Time is that of the processor, on one thread: it counts no waiting.
"""

from __future__ import annotations

import argparse
import csv
import io
import platform
import time
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path

import torch
from torch import Tensor, nn

from attacks import AutoAttack, Streams, ThreatModel
from experiments.speed.networks import KINDS, TASKS, Trained, trained
from experiments.strength.peers import Peer, ensembles
from robust.benchmark.peers import seeded

RESULTS = Path(__file__).parent / "results" / "ensembles.csv"
COLUMNS = (
    *("task", "kind", "norm", "eps", "images", "who", "breaks", "lost", "won"),
    *("forward", "backward", "passes", "seconds", "failed", "processor"),
)
OURS = "robust"


class Counted(nn.Module):
    """A model, and the rows that went through it either way."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.rows, self.gradients = model, 0, 0

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.model(x)
        self.rows += (count := len(x))
        if logits.requires_grad:
            logits.register_hook(lambda _: self._count(count))  # type: ignore[no-untyped-call]
        return logits

    def _count(self, rows: int) -> None:
        self.gradients += rows


def ours(attack: AutoAttack) -> Peer:
    def run(model: nn.Module, x: Tensor, y: Tensor, norm: str, eps: float) -> Tensor:
        return attack(model, x, y, ThreatModel(norm, eps), Streams.of(0, range(len(x))))

    return run


def everyone() -> dict[str, Peer]:
    return {OURS: ours(AutoAttack()), "robust, full": ours(AutoAttack(full=True)), **ensembles()}


def measure(network: Trained, norm: str, eps: float) -> Iterator[tuple[str, Tensor, list[object]]]:
    """Who, the cases with another label within the limits, and the numbers of its row."""
    x, y = network.x, network.y
    for who, run in everyone().items():
        model, x_adv, failed = Counted(network.model).eval(), x.clone(), ""
        began = time.process_time()
        with seeded(0), redirect_stdout(io.StringIO()):
            try:
                x_adv = run(model, x.clone(), y.clone(), norm, eps).detach()
            except Exception as error:  # noqa: BLE001 -- what a peer raises is part of the table
                failed = f"{type(error).__name__}: {error}".split("\n")[0][:80]
        seconds = time.process_time() - began
        with torch.no_grad():
            wrong = network.model(x_adv).argmax(1) != y
        inside = ((x_adv >= 0) & (x_adv <= 1)).flatten(1).all(1)
        near = ThreatModel(norm, eps).distance(x_adv, x) <= eps + 2e-6
        forward, backward = model.rows / len(x), model.gradients / len(x)
        numbers = [round(forward), round(backward), round(forward + backward), f"{seconds:.1f}"]
        yield who, wrong & inside & near, [*numbers, failed]


def processor() -> str:
    """Its name and whether it has units for AVX-512 and bfloat16."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    name = next(line.split(": ")[1] for line in lines if line.startswith("model name"))
    flags = next(line for line in lines if line.startswith("flags")).split()
    units = [flag for flag in ("avx512f", "avx512_bf16", "amx_bf16") if flag in flags]
    return f"{name} ({', '.join(units)})"


def table() -> str:
    """The ratios of passes and time, to those of ours."""
    with RESULTS.open(newline="") as file:
        rows = list(csv.DictReader(file))
    lines = []
    for key in dict.fromkeys((row["task"], row["kind"], row["norm"], row["eps"]) for row in rows):
        own = {r["who"]: r for r in rows if (r["task"], r["kind"], r["norm"], r["eps"]) == key}
        mine = own[OURS]
        cells = [*key[:3], f"{float(key[3]):.4f}", mine["images"], mine["breaks"], mine["passes"]]
        for who in list(own)[1:]:
            row = own[who]
            passes = float(row["passes"]) / float(mine["passes"])
            seconds = float(row["seconds"]) / float(mine["seconds"])
            lost = f"; -{row['lost']} +{row['won']}" if row["lost"] != row["won"] else ""
            cells.append(row["failed"] or f"{passes:.2f}, {seconds:.2f}{lost}")
        lines.append(f"| {' | '.join(cells)} |")
    head = ["network", "kind", "norm", "eps", "images", "ours breaks", "our passes a case"]
    head += ["ours in full", "AutoAttack", "torchattacks"]
    return "\n".join([f"| {' | '.join(head)} |", "|---" * len(head) + "|", *lines])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("tasks", nargs="*", default=list(TASKS))
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--norm", nargs="*", default=["Linf", "L2"])
    parser.add_argument("--table", action="store_true")
    told = parser.parse_args()
    if told.table:
        print(table())
        return
    torch.set_num_threads(1)
    RESULTS.parent.mkdir(exist_ok=True)
    fresh = not RESULTS.exists()
    with RESULTS.open("a", newline="") as file:
        writer = csv.writer(file)
        if fresh:
            writer.writerow(COLUMNS)
        for norm in told.norm:
            for task in told.tasks:
                for kind in KINDS:
                    network = trained(task, kind, told.data, told.images)
                    eps = TASKS[task].eps if norm == "Linf" else TASKS[task].eps_l2
                    mine = torch.empty(0)
                    for who, broken, numbers in measure(network, norm, eps):
                        mine = broken if who == OURS else mine
                        lost, won = int((mine & ~broken).sum()), int((broken & ~mine).sum())
                        row = [task, kind, norm, eps, len(broken), who, int(broken.sum())]
                        writer.writerow([*row, lost, won, *numbers, processor()])
                        file.flush()
                        print(*row, lost, won, *numbers, flush=True)


if __name__ == "__main__":
    main()
