"""Detection of FGSM, BIM, PGD and CW on PneumoniaMNIST, with every control.

Run: `python -m experiments.ma2021.detection_pneumoniamnist` (two CPU cores, about ten minutes).
Writes `detection_pneumoniamnist.csv`: for every detector, fitted on every attack, the AUC on all
attacks, on noise of the same norm and on changes of daily life, and its null control. Reference:
the train split; evaluated: the test images that are right when clean. MedMNIST names no patients,
so each image is its own group, copies of an image excepted, and intervals may be too narrow.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from attacks import Streams, ThreatModel, make_attack
from detectors import DETECTORS, Detector, Extractor, Features, Reference, find_layers
from detectors.bayesian_uncertainty import with_uncertainty
from detectors.kernel_density import choose_bandwidth
from robust.cases import Cases, open_cases
from robust.engine.auditing import open_plan
from robust.engine.detection import Matrix, judge
from robust.engine.plan import load_plan
from robust.engine.protocol import FALSE_ALARMS, Side, successes
from robust.models import prepare
from robust.records import Estimate

HERE = Path(__file__).parent
PLAN = HERE.parent / "pneumoniamnist" / "plan.toml"
LEVELS = (4, 8, 16)
ATTACKS = ("FGSM", "BIM", "PGD", "CW")
SEED = 0
COLUMNS = (
    *("detector", "fitted", "scored", "positives", "auc", "auc_low", "auc_high"),
    *(f"seen_at_{share:g}{end}" for share in FALSE_ALARMS for end in ("", "_low", "_high")),
)


def jpeg(x: Tensor) -> Tensor:
    levels = (x * 255).round().to(torch.uint8)
    return torch.stack([F.jpeg(image, 75) for image in levels]).float() / 255


BENIGN: dict[str, Callable[[Tensor], Tensor]] = {
    "JPEG at quality 75": jpeg,
    "brightness + 5 %": lambda x: (x * 1.05).clamp(0, 1),
    "rotation by 3 degrees": lambda x: F.rotate(x, 3, F.InterpolationMode.BILINEAR),
    "blur, sigma 0.5": lambda x: F.gaussian_blur(x, [3, 3], [0.5, 0.5]),
}


def main() -> None:
    torch.set_num_threads(1)
    plan = load_plan(PLAN)
    assert plan.data is not None
    classifier, test = open_plan(plan, "cpu")
    model = prepare(classifier)
    options = plan.data.model_copy(update={"split": "train"}).options()
    train = open_cases(plan.data.path, **options)
    x_train, y_train = tensors(train)
    layers = find_layers(model, x_train[:2])
    extract = Extractor(model, layers)

    def look(x: Tensor) -> Features:
        with torch.no_grad():
            parts = [
                with_uncertainty(extract(block), model, block, seed=SEED) for block in x.split(256)
            ]
            return Features.cat(parts)

    reference = Reference(look(x_train), y_train)
    x, y = tensors(test)
    with torch.no_grad():
        right = model(x).argmax(1) == y
    x, y = x[right], y[right]
    ids = [entry.id for entry, kept in zip(test.entries, right.tolist(), strict=True) if kept]
    cases, labels = np.arange(len(y)), y.numpy()
    groups = copies_together(x)
    clean = Side(look(x), cases)
    attacks: dict[str, Side] = {}
    controls = {name: Side(look(change(x)), cases) for name, change in BENIGN.items()}
    for level in LEVELS:
        threat = ThreatModel("Linf", level / 255)
        for name in ("Noise", *ATTACKS):
            attack = make_attack(name)
            streams = Streams.of(SEED, ids, repr(attack), threat)
            seen = look(attack(model, x, y, threat, streams))
            if name == "Noise":
                controls[f"Noise {level}/255"] = Side(seen, cases)
            else:
                attacks[f"{name} {level}/255"] = successes(seen, labels, cases)
    bandwidth = choose_bandwidth(reference)
    made = {name: detector(name, bandwidth) for name in DETECTORS}
    matrix = judge(made, reference, clean, attacks, controls, labels, groups, SEED)
    write(matrix, HERE / "detection_pneumoniamnist.csv")
    print("layers", *layers, "| bandwidth", f"{bandwidth:.4f}", "| right when clean", len(cases))
    print("positives", {name: len(side.cases) for name, side in attacks.items()})
    print("alarms of null controls:", list(matrix.alarms), "| empty:", dict(matrix.empty))


def write(matrix: Matrix, path: Path) -> None:
    """A line for each detector, attack fitted on and attack scored, or the null control."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        for (name, fitted, scored), cell in matrix.cells.items():
            rates = [cell.seen[share] for share in FALSE_ALARMS]
            table.writerow([name, fitted, scored, cell.positives, *numbers(cell.auc, *rates)])
        for (name, fitted), null in matrix.nulls.items():
            table.writerow([name, fitted, "null control", null.auc.cases, *numbers(null.auc)])


def numbers(*estimates: Estimate | None) -> list[str]:
    """Value, low and high of each."""
    return [f"{v:.4f}" for e in estimates if e is not None for v in (e.value, e.low, e.high)]


def detector(name: str, bandwidth: float) -> Callable[[], Detector]:
    """A factory; the bandwidth is chosen once, on the train split."""
    if name in ("KernelDensity", "BayesianUncertainty"):
        return lambda: DETECTORS[name](bandwidth=bandwidth)  # type: ignore[call-arg]
    return DETECTORS[name]


def copies_together(x: Tensor) -> np.ndarray[Any, np.dtype[np.int64]]:
    """One group for all copies of an image: the official test split holds a few."""
    return np.unique(x.flatten(1).numpy(), axis=0, return_inverse=True)[1].reshape(-1)


def tensors(cases: Cases) -> tuple[Tensor, Tensor]:
    found = [cases[i] for i in range(len(cases))]
    return torch.stack([c.image for c in found]), torch.tensor([c.label for c in found])


if __name__ == "__main__":
    main()
