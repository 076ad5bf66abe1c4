"""Transfer of attacks between the chest networks of the sweep, after Bortsova et al. 2021.

Run, after `robust sweep experiments/ma2021/sweeps/chest.toml --out runs/sweeps/chest`:
`python -m experiments.ma2021.transfer [--quick]` (about five minutes on one CPU core).
Networks of one architecture (EfficientNet-Lite0, 128 px), from ImageNet and from a random start,
with two and with three classes, each from several seeds. PGD (20 steps) on each, judged on each:
the share of images turned, of those that both networks read right, with 95 % intervals by patient;
noise of the same size beside it. Writes `results/transfer.csv` and `results/transfer.png`, and
prints, for each kind of pair, the mean over pairs of networks of different seeds.

Bortsova et al. (arXiv 2006.06356) find that ImageNet pre-training raises transfer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

import robust
from attacks import PGD, Streams, ThreatModel
from experiments.ma2021.common import (
    Options,
    interval,
    numbers,
    percent,
    span,
    started,
    write_plot,
    write_table,
)
from experiments.ma2021.detection_tables import markdown
from robust.cases.case import Case
from robust.engine.inputs import open_data
from robust.metrics.by_group import ByGroup
from robust.models import full_precision, prepare, settle_head
from robust.records import Estimate
from robust.records.estimate import interval_text
from robust.report.figures.style import Figure, ReportFigure
from robust.sweeps.grid import Member, members_of
from robust.sweeps.spec import load_sweep

SWEEP = Path(__file__).parent / "sweeps" / "chest.toml"
OUT = Path("runs/sweeps/chest")
EPS = (4,)
"""In 255ths."""
SHOWN = 4
LIMIT = 100
BATCH = 32
NOISE = "noise"
COLUMNS = ("made_on", "judged_on", "eps_255", "images", *interval("turned"))


@dataclass(frozen=True)
class Trained:
    """A network of the sweep, with the label that each image has for it."""

    name: str
    kind: str
    """Its levels but the seed."""
    seed: str
    model: robust.Classifier
    y: Tensor
    right: npt.NDArray[np.bool_]
    """Read correctly without an attack."""


def predictions(model: robust.Classifier, x: Tensor) -> npt.NDArray[np.int64]:
    with torch.no_grad(), full_precision():
        found = torch.cat([model(part).argmax(1) for part in torch.split(x, BATCH)])
    return found.numpy()


def made_on(one: Trained | None, x: Tensor, ids: Sequence[str], eps: int) -> Tensor:
    """Attacked images in float32; without a network, noise of that size."""
    threat, found = ThreatModel("Linf", eps / 255), []
    for rows in torch.split(torch.arange(len(x)), BATCH):
        streams = Streams.of(0, [ids[int(i)] for i in rows], "PGD", eps)
        if one is None:
            found.append(threat.random(x[rows], streams))
            continue
        with full_precision():
            found.append(PGD(steps=20)(one.model, x[rows], one.y[rows], threat, streams))
    return torch.cat(found)


def opened(member: Member, chosen: Sequence[Case], x: Tensor) -> Trained:
    """A member's network, and what it says of the chosen images."""
    assert member.plan.data is not None
    entries = open_data(member.plan.data.model_copy(update={"limit": None})).entries
    labels = {entry.id: entry.label for entry in entries}
    y = torch.tensor([labels[case.id] for case in chosen])
    model = prepare(robust.load_classifier(folder=OUT / "models" / member.training))
    settle_head(model, x[:2])
    kind = ", ".join(level for axis, level in member.levels.items() if axis != "seed")
    right = predictions(model, x) == y.numpy()
    return Trained(member.name, kind, member.levels["seed"], model, y, right)


def main(asked: Options) -> None:
    every = members_of(load_sweep(SWEEP))
    members = [m for m in every if (OUT / "models" / m.training / "model.json").is_file()]
    if asked.quick:
        members = members[:2]
    assert members and members[0].plan.data is not None, "run the sweep of chest X-rays first"
    limit = 24 if asked.quick else LIMIT
    data = members[0].plan.data.model_copy(update={"limit": None})
    chosen = list(open_data(data).sample(limit))
    x = torch.stack([case.image for case in chosen])
    ids = [case.id for case in chosen]
    drawn = ByGroup([case.group for case in chosen])
    networks = {one.name: opened(one, chosen, x) for one in members}

    rows: list[list[object]] = []
    found: dict[tuple[str, str, int], Estimate] = {}
    for source in (*networks, NOISE):
        own = networks.get(source)
        for eps in EPS:
            moved = made_on(own, x, ids, eps)
            for target, one in networks.items():
                both = one.right if own is None else one.right & own.right
                turned = drawn.rate(predictions(one.model, moved) != one.y.numpy(), both)
                assert turned is not None
                rows.append([source, target, eps, turned.cases, *numbers(turned)])
                found[source, target, eps] = turned
                print(f"{source} -> {target}, {eps}/255: {percent(turned)}", flush=True)
        write_table(asked, "transfer", COLUMNS, rows)
    shown = {(s, t): one for (s, t, eps), one in found.items() if eps == SHOWN}
    write_plot(asked, ReportFigure("transfer", "", "", partial(draw, shown, list(networks))))
    print(by_kind(networks, found))


def by_kind(networks: Mapping[str, Trained], found: Mapping[tuple[str, str, int], Estimate]) -> str:
    """Of pairs of different networks, by kind: mean, least and most, what the intervals span."""
    kinds = list(dict.fromkeys(one.kind for one in networks.values()))
    rows = []
    for eps in EPS:
        for source in (*kinds, NOISE):
            row = [f"{eps}/255, {source}"]
            for target in kinds:
                turned_by = [
                    turned
                    for (s, t, size), turned in found.items()
                    if size == eps
                    and s != t
                    and (NOISE if s == NOISE else networks[s].kind) == source
                    and networks[t].kind == target
                ]
                row.append(_spanned(turned_by))
            rows.append(row)
    return markdown(("made on", *kinds), rows)


def _spanned(found: Sequence[Estimate]) -> str:
    if not found:
        return "–"  # noqa: RUF001  (an en dash on purpose)
    values = [100 * one.value for one in found]
    return f"{np.mean(values):.0f} ({min(values):.0f} to {max(values):.0f}){span(found)}"


def draw(shown: Mapping[tuple[str, str], Estimate], names: Sequence[str]) -> Figure:
    """Networks that attacks were made on down, those that they were judged on across."""
    sources = (*names, NOISE)
    values = np.array([[100 * shown[s, t].value for t in names] for s in sources])
    size = 1.6 + 1.15 * len(names)
    figure = Figure(figsize=(size, 0.8 * size), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(values, cmap="cividis", vmin=0, vmax=100)
    for i, source in enumerate(sources):
        for j, target in enumerate(names):
            one = shown[source, target]
            colour = "black" if one.value > 0.6 else "white"
            text = f"{100 * one.value:.0f}\n{interval_text(one, 100, 0)}"
            axes.text(j, i, text, ha="center", va="center", color=colour, fontsize=7)
    lines = [name.replace(", ", "\n") for name in names]
    axes.set_xticks(range(len(names)), lines, fontsize=7)
    axes.set_yticks(range(len(sources)), [*lines, NOISE], fontsize=7)
    axes.set_xlabel("judged on")
    axes.set_ylabel("made on")
    axes.set_title(f"images turned at {SHOWN}/255, % of those that both read right", fontsize=9)
    return figure


if __name__ == "__main__":
    started(main, __doc__)
