"""What augmentation with a modality's corruptions is worth: paired differences, seen and unseen.

Run: `python -m experiments.augmentation.tables` after `experiments.augmentation.measure`. Writes
`results/errors.csv` (each network in each look), `results/differences.csv` (augmented minus plain,
with intervals by patient or lesion, and each seed), `results/kinds.csv`, `results/tables.md` and
`results/kinds.png`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from scipy import stats

from experiments.augmentation.measure import SEVERITIES, Measured, path_of
from experiments.augmentation.networks import MODALITIES, halves
from experiments.ma2021.common import Options, started, write_plot, write_table
from experiments.strength.summary import markdown
from robust.corruptions.registry import corruptions_of
from robust.metrics.intervals import LEVEL, jackknife_variance
from robust.report.figures.style import COLOURS, INK, MARKERS, Figure, ReportFigure, style_axes

RESULTS = Path(__file__).parent / "results"
AUGMENTED = ("first", "second")
OTHER = {"first": "second", "second": "first"}
QUESTIONS = ("clean", "corrupted", "seen kinds", "unseen kinds", "APGD 1/255")
LOOKS = {"clean": [("none", 0)], "APGD 1/255": [("APGD", 0)]}


@dataclass(frozen=True)
class Balanced:
    """A balanced error, or a difference of two, by patient or lesion."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, values: np.ndarray, found: Measured) -> Balanced:
        """Mean over classes of the mean of `values (cases,)`; t interval by jackknife over groups.

        NaN marks cases that were not looked at.
        """
        seen = np.isfinite(values)
        codes = np.unique(np.array(found.groups)[seen], return_inverse=True)[1]
        labels, kept = found.labels[seen], values[seen]
        classes = np.unique(labels)
        shape = (codes.max() + 1, len(classes))
        sums, sizes = np.zeros(shape), np.zeros(shape)
        place = np.searchsorted(classes, labels)
        np.add.at(sums, (codes, place), kept)
        np.add.at(sizes, (codes, place), 1.0)
        without = ((sums.sum(0) - sums) / (sizes.sum(0) - sizes)).mean(1)
        value = float((sums.sum(0) / sizes.sum(0)).mean())
        reach = float(
            stats.t.ppf((1 + LEVEL) / 2, shape[0] - 1) * jackknife_variance(without) ** 0.5
        )
        least = 0.0 if kept.min() >= 0 else -1.0
        return cls(value, max(value - reach, least), min(value + reach, 1.0))

    def text(self) -> str:
        return f"{100 * self.value:.1f} [{100 * self.low:.1f}, {100 * self.high:.1f}]"


def kinds_of(modality: str, arm: str) -> tuple[str, ...]:
    """The kinds that an arm has learned from."""
    return halves(modality)[arm]


def mean_error(found: Measured, arm: str, seed: int, kinds: Sequence[str]) -> np.ndarray:
    """Errors `(cases,)`: the mean over kinds and severities."""
    looks = [found.of(arm, seed, kind, severity) for kind in kinds for severity in SEVERITIES]
    mean: np.ndarray = np.mean(looks, axis=0)
    return mean


def pair(modality: str, found: Measured, question: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Errors `(cases,)` of plain and augmented networks of a seed, over the same looks.

    Each kind is seen by one augmented network and unseen by the other: both questions are about
    all kinds.
    """
    if question in LOOKS:
        ((kind, severity),) = LOOKS[question]
        plain = found.of("plain", seed, kind, severity)
        return plain, np.mean([found.of(a, seed, kind, severity) for a in AUGMENTED], axis=0)
    both = {arm: kinds_of(modality, arm) for arm in AUGMENTED}
    plain = mean_error(found, "plain", seed, [*both["first"], *both["second"]])
    count = sum(map(len, both.values()))

    def by(learner: dict[str, str]) -> np.ndarray:
        """The mean over all kinds, each read by the network that `learner` names for its half."""
        parts = [
            mean_error(found, learner[half], seed, kinds) * (len(kinds) / count)
            for half, kinds in both.items()
        ]
        total: np.ndarray = np.sum(parts, axis=0)
        return total

    seen, unseen = by({arm: arm for arm in AUGMENTED}), by(OTHER)
    return plain, {"seen kinds": seen, "unseen kinds": unseen}.get(question, (seen + unseen) / 2)


def seeds_of(found: Measured) -> list[int]:
    return sorted({seed for _, seed in found.networks})


def over_seeds(
    modality: str, found: Measured, question: str
) -> tuple[Balanced, Balanced, Balanced]:
    """Plain, augmented and their difference, each case's error the mean over seeds."""
    sides = [pair(modality, found, question, seed) for seed in seeds_of(found)]
    plain, augmented = (np.mean([side[i] for side in sides], axis=0) for i in (0, 1))
    values = (plain, augmented, augmented - plain)
    one, two, three = (Balanced.of(value, found) for value in values)
    return one, two, three


def by_seed(modality: str, found: Measured, question: str) -> list[float]:
    """The difference of each seed."""
    sides = [pair(modality, found, question, seed) for seed in seeds_of(found)]
    return [Balanced.of(augmented - plain, found).value for plain, augmented in sides]


def differences(every: dict[str, Measured]) -> Iterator[list[object]]:
    for modality, found in every.items():
        for question in QUESTIONS:
            three = over_seeds(modality, found, question)
            numbers = [n for one in three for n in (one.value, one.low, one.high)]
            seeds = " ".join(f"{value:+.4f}" for value in by_seed(modality, found, question))
            yield [modality, question, len(found.labels), len(set(found.groups)), *numbers, seeds]


def errors(every: dict[str, Measured]) -> Iterator[list[object]]:
    for modality, found in every.items():
        for arm, seed in found.networks:
            for kind, severity in found.looks:
                one = Balanced.of(found.of(arm, seed, kind, severity), found)
                yield [modality, arm, seed, kind, severity, one.value]


def kinds(every: dict[str, Measured]) -> Iterator[list[object]]:
    """Each kind over severities and seeds: plain, the network that saw it, the one that did not."""
    for modality, found in every.items():
        for kind in corruptions_of(modality):
            half = next(arm for arm in AUGMENTED if kind.name in kinds_of(modality, arm))
            row = [
                np.mean([mean_error(found, arm, seed, [kind.name]) for seed in seeds_of(found)], 0)
                for arm in ("plain", half, OTHER[half])
            ]
            values = [Balanced.of(one, found).value for one in row]
            unseen = Balanced.of(row[2] - row[0], found)
            seen = Balanced.of(row[1] - row[0], found)
            ends = [seen.value, seen.low, seen.high, unseen.value, unseen.low, unseen.high]
            yield [modality, kind.name, kind.family, half, *values, *ends]


def draw(rows: list[list[object]]) -> Figure:
    """Balanced error by kind: a panel for each modality."""
    names = list(dict.fromkeys(str(row[0]) for row in rows))
    drawn = Figure(figsize=(4.2 * len(names), 5.2), layout="constrained")
    panels = drawn.subplots(1, len(names), squeeze=False)[0]
    for axes, modality in zip(panels, names, strict=True):
        own = sorted((r for r in rows if r[0] == modality), key=lambda r: float(str(r[4])))
        up = np.arange(len(own))
        for place, label in enumerate(("plain", "learned from the kind", "not from it")):
            at = [float(str(row[4 + place])) for row in own]
            look = {"color": COLOURS[place], "label": label, "linestyle": ""}
            axes.plot(at, up, marker=MARKERS[place], **look)
        axes.set_yticks(up, [str(row[1]) for row in own], fontsize=7)
        axes.set_title(modality, color=INK)
        style_axes(axes, "balanced error")
    panels[0].legend(frameon=False, fontsize=7, loc="lower right")
    return drawn


def page(every: dict[str, Measured]) -> str:
    columns = (
        "modality",
        "",
        "plain, %",
        "augmented, %",
        "difference, points",
        "each seed, points",
    )
    lines = []
    for modality, found in every.items():
        for question in QUESTIONS:
            texts = [one.text() for one in over_seeds(modality, found, question)]
            seeds = ", ".join(f"{100 * v:+.1f}" for v in by_seed(modality, found, question))
            lines.append([modality, question, *texts, seeds])
    return markdown(columns, lines)


def main(asked: Options) -> None:
    every = {name: path for name in MODALITIES if (path := path_of(name)).exists()}
    found = {name: Measured.load(path) for name, path in every.items()}
    columns = [f"{name}{end}" for name in ("plain", "augmented", "difference") for end in ENDS]
    head = ("modality", "question", "cases", "groups", *columns, "difference_by_seed")
    write_table(asked, "differences", head, differences(found))
    write_table(
        asked, "errors", ("modality", "arm", "seed", "kind", "severity", "error"), errors(found)
    )
    rows = list(kinds(found))
    columns = [
        f"{name}{end}" for name in ("seen_minus_plain", "unseen_minus_plain") for end in ENDS
    ]
    head = ("modality", "kind", "family", "half", "plain", "seen", "unseen", *columns)
    write_table(asked, "kinds", head, rows)
    write_plot(asked, ReportFigure("kinds", "", "", partial(draw, rows)))
    text = page(found)
    (asked.results() / "tables.md").write_text(f"{text}\n", encoding="utf-8")
    print(text)


ENDS = ("", "_low", "_high")


if __name__ == "__main__":
    started(main, __doc__, RESULTS)
