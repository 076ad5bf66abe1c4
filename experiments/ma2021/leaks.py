"""Two leaks of the released detection protocol of Ma et al. 2021, on features without any signal.

Run: `python -m experiments.ma2021.leaks` (two CPU cores, under a minute). "Attacked" features are
fresh draws from the distribution of the clean ones, so that an honest AUC is 0.5. Expected: kernel
density about 1.0 as released against 0.5 here; random forest and quantised features about 0.87
against 0.5. What is called `as released` exists in this folder alone and is no verdict on anything.

1. The kernel density is fitted on the very clean images that it then scores.
2. Images of the minority class are copied until classes are balanced, and only then split 80/20:
   copies of a test image lie in the training part.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from detectors import (
    DeepFeatures,
    Detector,
    Features,
    FittedDetector,
    KernelDensity,
    QuantizedFeatures,
    Reference,
)
from robust.detection.cross_fitting import FeatureSet
from robust.detection.transfer_matrix import EvaluationData, evaluate_transfer
from robust.metrics.by_group import auc

D = 128
MAJORITY, MINORITY = 200, 40
LEARNED: tuple[type[Detector], ...] = (DeepFeatures, QuantizedFeatures)


def features(n: int, deviation: float, rng: np.random.Generator, wrong: bool = False) -> Features:
    """Deep features of a given deviation in every dimension; the logits say `i % 2`, or not so."""
    labels = torch.arange(n) % 2
    said = 1 - labels if wrong else labels
    deep = torch.from_numpy(rng.normal(0, deviation, (n, D)))
    return Features(3.0 * torch.eye(2, dtype=torch.float64)[said], {"deep": deep})


def released_density(clean: Features, attacked: Features, y: Tensor) -> float:
    """AUC of a density, bandwidth 1, that was fitted on the clean images it scores."""
    return area(KernelDensity(1.0).fit(Reference(clean, y)), clean, attacked)


def released_split(
    make: type[Detector], clean: Features, attacked: Features, y: Tensor, seed: int = 0
) -> float:
    """AUC of a learned detector whose images were copied before they were split 80/20.

    Rarer classes are copied, whole times and a part, until each has as many as the commonest.
    """
    rng, n = np.random.default_rng(seed), len(clean)
    classes = [np.flatnonzero(y.numpy() == label) for label in np.unique(y)]
    most = max(len(rows) for rows in classes)
    copies = np.concatenate([np.resize(rows, most) for rows in classes])
    order = rng.permutation(np.r_[copies, copies + n])
    cut = int(0.8 * len(order))
    both = Features.cat([clean, attacked])
    train, test = order[:cut], order[cut:]

    def side(rows: npt.NDArray[np.int64], wanted: bool) -> Features:
        return both.take(torch.from_numpy(rows[(rows >= n) == wanted]))

    fitted = make().fit(Reference(clean, y))
    taught = (fitted.statistics(side(train, wanted)) for wanted in (False, True))
    return area(fitted.with_head(*taught), side(test, False), side(test, True))


def as_released_density(deviation: float, seed: int = 0, n: int = 400) -> float:
    """`released_density` on features without signal."""
    rng = np.random.default_rng(seed)
    clean, attacked = features(n, deviation, rng), features(n, deviation, rng)
    return released_density(clean, attacked, torch.arange(n) % 2)


def as_released_split(make: type[Detector], seed: int = 0) -> float:
    """`released_split` on features without signal."""
    rng, n = np.random.default_rng(seed), MAJORITY + MINORITY
    clean, attacked = features(n, 1.0, rng), features(n, 1.0, rng)
    return released_split(make, clean, attacked, (torch.arange(n) >= MAJORITY).long(), seed)


def closed(make: type[Detector], deviation: float, seed: int = 0) -> tuple[float, float]:
    """AUC under our protocol on the same kind of features, and that of its null control."""
    rng = np.random.default_rng(seed)
    n = MAJORITY + MINORITY
    reference = Reference(features(n, deviation, rng), torch.arange(n) % 2)
    cases = np.arange(n)
    clean = FeatureSet(features(n, deviation, rng), cases)
    attacked = FeatureSet(features(n, deviation, rng, wrong=True), cases)
    detectors = {make.__name__: make().fit(reference)}
    data = EvaluationData(reference, clean, {"none": attacked}, {}, cases % 2, cases)
    matrix = evaluate_transfer(detectors, data, seed)
    cell = matrix.metrics[make.__name__, "none", "none"].auc.all_clean
    assert cell is not None
    return cell.value, matrix.null_controls[make.__name__, "none"].auc.value


def area(detector: FittedDetector, clean: Features, attacked: Features) -> float:
    scores = torch.cat([detector.score(clean), detector.score(attacked)]).numpy()
    return auc(scores, np.arange(len(scores)) >= len(clean))


class UnitDensity(KernelDensity):
    """With the bandwidth of the released code."""

    def __init__(self) -> None:
        super().__init__(1.0)


def main() -> None:
    seeds = range(10)
    print("| detector | deviation | as released | leak closed | null control |")
    print("|---|---|---|---|---|")
    for deviation in (0.1, 0.2, 0.3, 1.0):
        row(
            "KernelDensity",
            deviation,
            [as_released_density(deviation, seed) for seed in seeds],
            [closed(UnitDensity, deviation, seed) for seed in seeds],
        )
    for make in LEARNED:
        row(
            make.__name__,
            1.0,
            [as_released_split(make, seed) for seed in seeds],
            [closed(make, 1.0, seed) for seed in seeds],
        )


def row(
    name: str, deviation: float, released: list[float], ours: list[tuple[float, float]]
) -> None:
    columns = [released, [value for value, _ in ours], [null for _, null in ours]]
    shown = (f"{np.mean(c):.3f} ({min(c):.2f} to {max(c):.2f})" for c in columns)
    print(f"| {name} | {deviation:g} | {' | '.join(shown)} |")


if __name__ == "__main__":
    main()
