"""Clean AUC and robust accuracy of the networks, and paired differences with the first arm.

Run: `python -m experiments.domain.tables` after `experiments.domain.networks`; seeds of which an
arm is missing are left out. PGD with 20 steps at 1/255 in L-inf attacks a sample of the test
images, each network by its own gradients, through the segmenter of a mask channel. Writes
`results/networks.csv`, `results/differences.csv`, `results/tables.md` and
`results/differences.png`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from scipy import stats
from sklearn.metrics import roc_auc_score
from torch import Tensor

from attacks import PGD, Streams, ThreatModel
from experiments.domain.networks import ARMS, SEEDS, Arm, folder_of, recipe_of
from experiments.ma2021.common import Options, started, write_plot, write_table
from experiments.strength.summary import markdown
from robust.cases import Cases
from robust.cases.case import sample_rows
from robust.metrics.intervals import LEVEL, jackknife_variance
from robust.models import Adapter, prepare
from robust.models.trained import load_trained
from robust.report.figures.style import COLOURS, INK, Figure, ReportFigure, style_axes
from robust.training.splits import open_training_splits

RESULTS = Path(__file__).parent / "results"
EPS, STEPS, ATTACKED = 1 / 255, 20, 100
MEASURES = ("clean AUC", "clean accuracy", "accuracy under PGD")
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Read:
    """What the networks of one arm say of the test images of a modality."""

    probabilities: np.ndarray
    """`(seeds, cases, classes)`."""
    kept: np.ndarray
    """Right under attack, `(seeds, attacked)`."""


@dataclass(frozen=True)
class Estimated:
    """A value with its interval."""

    value: float
    low: float
    high: float

    def text(self) -> str:
        return f"{100 * self.value:.1f} [{100 * self.low:.1f}, {100 * self.high:.1f}]"


def seeds_of(modality: str) -> list[int]:
    """The seeds of which every arm is finished."""
    arms = ARMS[modality]
    return [s for s in SEEDS if all((folder_of(modality, a, s) / "card.md").exists() for a in arms)]


def test_cases(modality: str) -> Cases:
    test = open_training_splits(recipe_of(modality, ARMS[modality][0], 0)).test
    assert test is not None
    return test


def attacked(network: Adapter, x: Tensor, y: Tensor, ids: list[str]) -> np.ndarray:
    """Which images are right under attack, `(n,)`."""
    threat = ThreatModel("Linf", EPS)
    x_adv = PGD(steps=STEPS)(network, x, y, threat, Streams.of(0, ids, "PGD"))
    assert (x_adv - x).abs().max() <= EPS + 1e-6
    with torch.no_grad():
        both = (network(x).argmax(1) == y) & (network(x_adv).argmax(1) == y)
    kept: np.ndarray = both.double().numpy()
    return kept


def read_arm(modality: str, arm: Arm, x: Tensor, y: Tensor, rows: list[int]) -> Read:
    probabilities, kept = [], []
    for seed in seeds_of(modality):
        network = prepare(load_trained(folder_of(modality, arm, seed)), CPU)
        with torch.no_grad():
            probabilities.append(network(x).softmax(1).double().numpy())
        kept.append(attacked(network, x[rows], y[rows], [str(row) for row in rows]))
    return Read(np.stack(probabilities), np.stack(kept))


def auc(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Of two classes that of the second; of more the mean of each against the rest."""
    classes = range(1, 2) if probabilities.shape[1] == 2 else range(probabilities.shape[1])
    return float(np.mean([roc_auc_score(labels == k, probabilities[:, k]) for k in classes]))


def estimated(
    of: Callable[[np.ndarray], float], groups: np.ndarray, least: float, most: float
) -> Estimated:
    """`of` takes the rows that count, `(cases,)` bool; t interval by jackknife over groups."""
    every = np.unique(groups)
    value = of(np.ones(len(groups), bool))
    without = np.array([of(groups != one) for one in every])
    reach = float(stats.t.ppf((1 + LEVEL) / 2, len(every) - 1) * jackknife_variance(without) ** 0.5)
    return Estimated(value, max(value - reach, least), min(value + reach, most))


def by_seed(read: Read, labels: np.ndarray, measure: str, rows: np.ndarray) -> list[float]:
    """A measure of each seed's network over these rows, of the test or the attacked images."""
    if measure == "clean AUC":
        return [auc(one[rows], labels[rows]) for one in read.probabilities]
    if measure == "clean accuracy":
        return [float((one[rows].argmax(1) == labels[rows]).mean()) for one in read.probabilities]
    return [float(one[rows].mean()) for one in read.kept]


@dataclass(frozen=True)
class Judged:
    """One modality: every arm on the same images."""

    modality: str
    reads: dict[str, Read]
    labels: np.ndarray
    groups: np.ndarray
    rows: list[int]
    """The attacked ones."""

    def groups_of(self, measure: str) -> np.ndarray:
        return self.groups[self.rows] if measure == MEASURES[2] else self.groups

    def mean(self, arm: str, measure: str, rows: np.ndarray) -> float:
        return float(np.mean(by_seed(self.reads[arm], self.labels, measure, rows)))

    def value(self, arm: str, measure: str) -> Estimated:
        return estimated(partial(self.mean, arm, measure), self.groups_of(measure), 0.0, 1.0)

    def difference(self, arm: str, measure: str) -> Estimated:
        first = next(iter(self.reads))

        def of(rows: np.ndarray) -> float:
            return self.mean(arm, measure, rows) - self.mean(first, measure, rows)

        return estimated(of, self.groups_of(measure), -1.0, 1.0)

    def each(self, arm: str, measure: str) -> list[float]:
        """The values by seed."""
        every = np.ones(len(self.groups_of(measure)), bool)
        return by_seed(self.reads[arm], self.labels, measure, every)


def judged(modality: str) -> Judged:
    cases = test_cases(modality)
    x = torch.stack([case.image for case in cases])
    y = torch.tensor([entry.label for entry in cases.entries])
    rows = sorted(sample_rows(cases.entries, list(range(len(cases))), ATTACKED, 0))
    reads = {arm.name: read_arm(modality, arm, x, y, rows) for arm in ARMS[modality]}
    groups = np.unique([entry.group for entry in cases.entries], return_inverse=True)[1]
    return Judged(modality, reads, y.numpy(), groups, rows)


def networks(every: list[Judged]) -> Iterator[list[object]]:
    for one in every:
        for arm in one.reads:
            for measure in MEASURES:
                for seed, value in zip(seeds_of(one.modality), one.each(arm, measure), strict=True):
                    yield [one.modality, arm, seed, measure, value]


def differences(every: list[Judged]) -> Iterator[list[object]]:
    for one in every:
        for arm in one.reads:
            for measure in MEASURES:
                value, moved = one.value(arm, measure), one.difference(arm, measure)
                first = one.each(next(iter(one.reads)), measure)
                seeds = [a - b for a, b in zip(one.each(arm, measure), first, strict=True)]
                yield [
                    one.modality,
                    arm,
                    measure,
                    *(value.value, value.low, value.high),
                    *(moved.value, moved.low, moved.high),
                    " ".join(f"{v:+.4f}" for v in seeds),
                ]


def page(rows: list[list[object]]) -> str:
    lines = []
    for modality, arm, measure, *numbers, seeds in rows:
        value, moved = Estimated(*map(float, numbers[:3])), Estimated(*map(float, numbers[3:]))  # type: ignore[arg-type]
        plain = arm == "ImageNet"
        each = ", ".join(f"{100 * float(v):+.1f}" for v in str(seeds).split())
        shown = ["", ""] if plain else [moved.text(), each]
        lines.append([str(modality), str(arm), str(measure), value.text(), *shown])
    head = ("modality", "network", "", "%", "difference, points", "each seed, points")
    return markdown(head, lines)


def draw(rows: list[list[object]]) -> Figure:
    """Differences with the first arm: a panel for each measure."""
    drawn = Figure(figsize=(10.0, 3.2), layout="constrained")
    panels = drawn.subplots(1, len(MEASURES), sharey=True)
    for axes, measure in zip(panels, MEASURES, strict=True):
        own = [row for row in rows if row[2] == measure and row[1] != "ImageNet"]
        for up, row in enumerate(reversed(own)):
            value, low, high = (100 * float(str(number)) for number in row[6:9])
            colour = COLOURS[0 if row[0] == "dermoscopy" else 1]
            axes.errorbar(
                value, up, xerr=[[value - low], [high - value]], fmt="o", color=colour, capsize=2
            )
        axes.set_yticks(range(len(own)), [f"{row[0]}: {row[1]}" for row in reversed(own)])
        axes.axvline(0, color=INK, linewidth=0.6)
        axes.set_title(measure, color=INK, fontsize=9)
        style_axes(axes, "points against ImageNet")
    return drawn


def main(asked: Options) -> None:
    began = time.process_time()
    every = [judged(modality) for modality in ARMS if seeds_of(modality)]
    write_table(
        asked, "networks", ("modality", "network", "seed", "measure", "value"), networks(every)
    )
    rows = list(differences(every))
    columns = [f"{name}{end}" for name in ("value", "difference") for end in ("", "_low", "_high")]
    head = ("modality", "network", "measure", *columns, "difference_by_seed")
    write_table(asked, "differences", head, rows)
    write_plot(asked, ReportFigure("differences", "", "", partial(draw, rows)))
    text = page(rows)
    (asked.results() / "tables.md").write_text(f"{text}\n", encoding="utf-8")
    print(text)
    for one in every:
        print(f"{one.modality}: seeds {seeds_of(one.modality)}, {len(one.labels)} test images")
    print(f"{time.process_time() - began:.0f} s")


if __name__ == "__main__":
    started(main, __doc__, RESULTS)
