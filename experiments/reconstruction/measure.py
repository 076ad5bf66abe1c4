"""Detectors of the data manifold beside others: PGD, attackers who know them, and foreign images.

Run: `python -m experiments.reconstruction.measure` (one core, a minute of processor time). On the
published PneumoniaMNIST network. Writes `results/attacks.csv` (paired AUC on PGD at each eps, on
noise of the same size, and the null control), `results/adaptive.csv` (the attack that does not know
the detector and those that do), `results/foreign.csv` (AUC of images that are no chest X-rays, or
badly acquired ones, against clean test images) and `results/foreign.png`. Detectors learn from the
train split. MedMNIST names no patients: each image is its own group, so intervals may be too
narrow.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from detectors import (
    Detector,
    Energy,
    Extractor,
    FeatureReader,
    KernelDensity,
    Mahalanobis,
    ManifoldDistance,
    MaxSoftmax,
    Reconstruction,
    Reference,
    find_layers,
)
from experiments.pneumoniamnist.network import PneumoniaCNN
from robust.auditing import audit_plan
from robust.metrics.by_group import ByGroup
from robust.models import Classifier
from robust.plan.load import make_plan
from robust.records import Detection, Estimate
from robust.report.figures.style import Figure, ReportFigure
from robust.units import eps_text

HERE = Path(__file__).parent
RESULTS = HERE / "results"
DATA = Path("../shared/data")
WEIGHTS = DATA / "models/pneumoniamnist_cnn.pth"
REFERENCE, TEST = 1000, 300
PLAN: dict[str, Any] = {
    "model": {
        "factory": "experiments.pneumoniamnist.network:PneumoniaCNN",
        "weights": str(WEIGHTS),
        "head": "sigmoid",
        "channels": 1,
        "mean": 0.5,
        "std": 0.5,
    },
    "data": {
        "path": str(DATA / "medmnist/pneumoniamnist.npz"),
        "split": "test",
        "classes": ["normal", "pneumonia"],
        "group": "none",
        "limit": TEST,
    },
    "audit": {"eps": ["2/255", "4/255", "8/255"]},
    "doubts": {"probe": False},
    "attacks": [{"name": "PGD", "steps": 20}],
    "detectors": [
        {"name": "Reconstruction", "label": "Reconstruction, PCA"},
        {"name": "Reconstruction", "label": "Reconstruction, autoencoder", "method": "autoencoder"},
        {"name": "ManifoldDistance"},
        {"name": "KernelDensity"},
        {"name": "Mahalanobis"},
        {"name": "DeepFeatures"},
    ],
    "detection": {"adaptive": 40, "adaptive_steps": 20, "reference_cases": REFERENCE},
    "report": {"gallery": 0},
}
ONE_CLASS: dict[str, Detector] = {
    "Reconstruction, PCA": Reconstruction(),
    "Reconstruction, autoencoder": Reconstruction(method="autoencoder"),
    "ManifoldDistance": ManifoldDistance(),
    "KernelDensity": KernelDensity(),
    "Mahalanobis": Mahalanobis(),
    "MaxSoftmax": MaxSoftmax(),
    "Energy": Energy(),
}
"""Those that need no attack to learn from."""
ENDS = ("", "_low", "_high")


def main() -> None:
    torch.set_num_threads(1)
    RESULTS.mkdir(exist_ok=True)
    rows = foreign()
    columns = ("images", "detector", *(f"auc{end}" for end in ENDS))
    write("foreign", columns, rows)
    (RESULTS / "foreign.png").write_bytes(
        ReportFigure("foreign", "", "", partial(draw, rows)).png(120)
    )
    report = audit_plan(make_plan(PLAN, "reconstruction"), device="cpu")
    assert report.detection is not None
    attacks(report.detection)
    adaptive(report.detection)


def attacks(found: Detection) -> None:
    """Each detector on the attack that its head was fitted on, or where it has none on each."""
    rows: list[list[object]] = []
    for one in found.detector_scores:
        shown = found.image_sets[one.image_set]
        fitted = None if one.fitted_on is None else found.image_sets[one.fitted_on]
        own = shown.kind == "attack" and fitted in (None, shown)
        beside = shown.kind == "noise" and (fitted is None or fitted.eps == shown.eps)
        if own or beside:
            name = f"{shown.name} {eps_text(shown.eps)}"
            rows.append(
                [one.detector, name, shown.cases, *numbers(one.paired_auc, one.auc), one.too_few]
            )
    for null in found.null_controls:
        fitted = None if null.fitted_on is None else found.image_sets[null.fitted_on]
        name = "null control" if fitted is None else f"null control, {eps_text(fitted.eps)}"
        rows.append([null.detector, name, null.auc.cases, *numbers(None, null.auc), null.alarm])
    areas = [f"{area}{end}" for area in ("paired_auc", "auc") for end in ENDS]
    write("attacks", ("detector", "shown", "images", *areas, "too_few_or_alarm"), rows)


def adaptive(found: Detection) -> None:
    names = ("static_paired_auc", "paired_auc", "static_passes", "passes")
    rows = []
    for one in found.adaptive:
        rates = one.static_evasion_rates["0.05"], one.evasion_rates["0.05"]
        figures = numbers(one.static_paired_auc, one.paired_auc, *rates)
        rows.append([one.detector, one.fooled.cases, *figures])
    write(
        "adaptive", ("detector", "cases", *(f"{name}{end}" for name in names for end in ENDS)), rows
    )


def foreign() -> list[list[object]]:
    """AUC of each detector on each set of foreign images against clean test images."""
    with np.load(DATA / "medmnist/pneumoniamnist.npz") as file:
        draw_some = np.random.default_rng(0)
        chosen = draw_some.permutation(len(file["train_images"]))[:REFERENCE]
        known, labels = unit(file["train_images"][chosen]), file["train_labels"][chosen, 0]
        test = unit(file["test_images"][draw_some.permutation(624)[:TEST]])
    with np.load(DATA / "medmnist/retinamnist.npz") as file:
        eyes = unit(file["test_images"][:TEST].mean(3))
    network = PneumoniaCNN()
    network.load_state_dict(torch.load(WEIGHTS, weights_only=True))
    model = Classifier(network, channels=1, mean=(0.5,), std=(0.5,), head="sigmoid").eval()
    extract = Extractor(model, find_layers(model, known[:2]))
    with torch.no_grad():
        reference = Reference(
            extract(known), torch.from_numpy(labels.astype(np.int64)), images=lambda: [known]
        )
        fitted = {name: one.fit(reference) for name, one in ONE_CLASS.items()}
        reader = FeatureReader(extract, fitted.values())
        clean = reader(test)
        rows: list[list[object]] = []
        for title, images in {name: change(test) for name, change in CHANGES.items()}.items():
            rows += compared(title, fitted, clean, reader(images))
        rows += compared("fundus photographs, grey", fitted, clean, reader(eyes))
    return rows


def compared(title: str, fitted: Any, clean: Any, other: Any) -> list[list[object]]:
    n, m = len(clean), len(other)
    # A changed image and its original are one group.
    groups = [*range(n), *(range(m) if "fundus" not in title else range(n, n + m))]
    by_group = ByGroup(groups)
    found = []
    for name, detector in fitted.items():
        scores = torch.cat([detector.score(clean), detector.score(other)]).double().numpy()
        area = by_group.auc(scores, np.arange(n + m) >= n, np.ones(n + m, bool))
        found.append([title, name, *numbers(area)])
    return found


def noisy(x: Tensor) -> Tensor:
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    return (x + 0.1 * noise).clamp(0, 1)


def covered(x: Tensor) -> Tensor:
    """A white square over a ninth of the image."""
    x = x.clone()
    x[..., : x.shape[2] // 3, : x.shape[3] // 3] = 1
    return x


CHANGES: dict[str, Callable[[Tensor], Tensor]] = {
    "inverted": lambda x: 1 - x,
    "upside down": lambda x: x.flip(2),
    "turned by 90 degrees": lambda x: x.rot90(1, (2, 3)),
    "mirrored": lambda x: x.flip(3),
    "Gaussian noise, 0.1": noisy,
    "every other column black": lambda x: x * (torch.arange(x.shape[3]) % 2),
    "a corner covered": covered,
}


def unit(images: np.ndarray) -> Tensor:  # type: ignore[type-arg]
    return torch.from_numpy(images / 255).float()[:, None]


def draw(rows: Sequence[Sequence[Any]]) -> Figure:
    """AUC of each detector on each set, with intervals."""
    titles, names = (list(dict.fromkeys(row[place] for row in rows)) for place in (0, 1))
    figure = Figure(figsize=(9, 6), layout="constrained")
    axes = figure.subplots()
    for place, name in enumerate(names):
        own = [row for row in rows if row[1] == name]
        y = np.array([titles.index(row[0]) for row in own]) + 0.1 * (place - len(names) / 2)
        value, low, high = (np.array([float(row[i]) for row in own]) for i in (2, 3, 4))
        axes.errorbar(value, y, xerr=[value - low, high - value], fmt="o", ms=4, label=name)
    axes.set_yticks(range(len(titles)), titles)
    axes.axvline(0.5, color="grey", lw=0.8)
    axes.set_xlabel("AUC against clean test images")
    figure.legend(fontsize=8, loc="outside lower center", ncols=4)
    return figure


def numbers(*estimates: Estimate | None) -> list[str]:
    """Value, low and high of each; nothing for what there is not."""
    return [
        "" if v is None else f"{v:.4f}"
        for e in estimates
        for v in ((None, None, None) if e is None else (e.value, e.low, e.high))
    ]


def write(name: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with (RESULTS / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(columns)
        table.writerows(rows)


if __name__ == "__main__":
    main()
