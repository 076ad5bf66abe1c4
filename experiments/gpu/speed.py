"""Attacks on one network beside the bare passes and other libraries, at equal gradient counts.

Run: `python -m experiments.gpu.speed NETWORK OUT.json [--rehearse]`. All take turns in one run. The
other libraries run twice: at full float32, which is what robust confirms every image at, and as
torch sets itself up, with TF32 in convolutions, which is what their users get.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from attacks import APGD, PGD, Attack, AutoAttack, CarliniWagnerL2, ThreatModel
from robust.benchmark.contest import FLOOR, OURS, PLAIN, contest, library_defaults, measure_strength
from robust.benchmark.workloads import Workload, from_architecture
from robust.cases.case import Case
from robust.engine.cells import Cell
from robust.engine.mixed_precision import MixedPrecisionAttacker
from robust.models import full_precision
from robust.tasks.classification import ANY_ERROR
from robust.tasks.contract import Batch

EPS = 1 / 255
LONG = 1e9
"""Passes of an audit that is long enough for the network to be compiled."""


def measure(
    network: str, device: str, images: int, size: int, steps: int
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The figures of one network, block by block, as plain values."""
    load = from_architecture(network, size, images, device)
    for name, defaults, rounds in (("default", True, 2), ("float32", False, 1)):
        everyone, attacker = contest(
            load, PGD(steps=steps), EPS, rounds=rounds, passes=LONG, defaults=defaults
        )
        yield f"PGD-{steps}, {name}", _rows(everyone, images * steps)
    yield "acceleration", attacker.models.acceleration.to_json()
    yield "twice", _twice(attacker, load, steps)
    few = Workload(load.classifier, load.x[: images // 8], load.y[: images // 8])
    carlini = CarliniWagnerL2(steps=max(steps, 2), binary_steps=5)
    everyone, _ = contest(few, carlini, EPS, rounds=1, defaults=True)
    gradients = len(few.x) * carlini.binary_steps * carlini.steps
    yield f"C&W-{carlini.binary_steps * carlini.steps}, default", _rows(everyone, gradients)
    yield "ensembles", _ensembles(network, device, images, size, steps)


def _rows(everyone: list[Any], gradients: int) -> dict[str, Any]:
    rows = {}
    for one in everyone:
        rows[one.name] = {
            "seconds": one.median_seconds,
            "gradients per second": gradients / one.median_seconds,
            "strength": one.strength,
            "peak MiB": one.memory,
            "failed": one.failed,
        }
    known = {name: row["seconds"] for name, row in rows.items() if not row["failed"]}
    own = {FLOOR, PLAIN} | {name for name in known if name.startswith("robust")}
    others = [seconds for name, seconds in known.items() if name not in own]
    return {
        "rows": rows,
        "fastest other / ours": min(others, default=math.nan) / known[OURS],
        "ours / floor": known[OURS] / known[FLOOR],
    }


def _batch(load: Workload) -> Batch:
    with torch.no_grad(), full_precision():
        logits = torch.cat([load.classifier(part) for part in load.x.split(64)])
    cases = tuple(Case(f"{i}", int(label), f"{i}", load.x[i]) for i, label in enumerate(load.y))
    return Batch(tuple(range(len(load.x))), cases, load.x, load.y, logits)


def _twice(attacker: MixedPrecisionAttacker, load: Workload, steps: int) -> dict[str, Any]:
    """Whether the same cell gives the same images again, and how many float32 confirmed."""
    batch = _batch(load)
    cell = Cell("PGD", PGD(steps=steps), ThreatModel("Linf", EPS), exact=True)
    with full_precision():
        (first, found), (second, _) = (attacker.run(cell, batch, ANY_ERROR, 7) for _ in range(2))
    return {
        "equal": bool(torch.equal(first, second)),
        "confirmed at float32": sum(o.success for o in found),
        "attacked again at float32": sum(o.passes > 2 * steps + 2 for o in found),
        "cases": len(found),
    }


def _ensembles(network: str, device: str, images: int, size: int, steps: int) -> dict[str, Any]:
    """APGD and the ensemble against those of torchattacks, on ten classes."""
    import torchattacks

    load = from_architecture(network, size, images, device, outputs=10)
    batch, model = _batch(load), load.classifier
    long, queries = 5 * steps, 250 * steps
    rivals: dict[str, tuple[Attack, Callable[[], Any]]] = {
        f"APGD-{long}": (
            APGD(long),
            lambda: torchattacks.APGD(model, eps=4 * EPS, steps=long, loss="ce"),
        ),
        "AutoAttack, standard": (
            AutoAttack(steps=long, queries=queries),
            lambda: torchattacks.AutoAttack(model, eps=4 * EPS, n_classes=10),
        ),
    }
    found = {}
    threat = ThreatModel("Linf", 4 * EPS)
    with full_precision():
        attacker = _attacker(load)
    for name, (attack, make) in rivals.items():
        cell = Cell(name, attack, threat, exact=True)

        def ours(cell: Cell = cell) -> Tensor:
            with full_precision():
                return attacker.run(cell, batch, ANY_ERROR, 0)[0]

        def theirs(make: Callable[[], Any] = make) -> Tensor:
            with library_defaults(), torch.random.fork_rng():
                torch.manual_seed(0)
                x_adv: Tensor = make()(load.x, load.y)
            return x_adv

        row: dict[str, Any] = {}
        for who, run in (("ours", ours), ("torchattacks", theirs)):
            try:
                if who == "ours":
                    run()  # records its passes; the others have run before
                seconds, x_adv = _timed(run, load.x)
                with full_precision():
                    strength = measure_strength(load, x_adv.detach(), threat)
                row[who] = {"seconds": seconds, "strength": strength}
            except Exception as error:  # noqa: BLE001  (another library may fail in any way)
                row[who] = {"failed": f"{type(error).__name__}: {error}"[:200]}
        found[name] = row
    return found


def _attacker(load: Workload) -> MixedPrecisionAttacker:
    from robust.engine.mixed_precision import BatchSizes
    from robust.models.acceleration.accelerate import make_fast_models

    models = make_fast_models(
        load.classifier, load.x[:16], passes=LONG if load.x.is_cuda else 0, rows=len(load.x)
    )
    sizes = BatchSizes(models.measured, len(load.x))
    return MixedPrecisionAttacker(load.classifier, models, sizes)


def _timed(run: Callable[[], Tensor], x: Tensor) -> tuple[float, Tensor]:
    began = time.perf_counter()
    x_adv = run()
    if x.is_cuda:
        torch.cuda.synchronize(x.device)
    return time.perf_counter() - began, x_adv


def main() -> None:
    """Measure one network and write its figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("network")
    parser.add_argument("out", type=Path)
    parser.add_argument("--rehearse", action="store_true", help="tiny sizes, on the CPU")
    given = parser.parse_args()
    sizes = ("cpu", 8, 224, 2) if given.rehearse else ("cuda", 256, 224, 20)
    found: dict[str, Any] = {"network": given.network, "images": sizes[1], "size": sizes[2]}
    if sizes[0] == "cuda":
        found["card"] = torch.cuda.get_device_name()
    found["torch"] = torch.__version__
    for name, block in measure(given.network, *sizes):
        found[name] = block
        given.out.write_text(json.dumps(found, indent=1))  # what is done is kept


if __name__ == "__main__":
    main()
