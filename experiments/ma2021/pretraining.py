"""Pre-trained against random start: transfer of attacks between networks, after Bortsova et al.

Run: `python -m experiments.ma2021.pretraining [--quick]` (about ten minutes on one CPU core). Four
networks, MobileNetV2 and SqueezeNet, each from ImageNet weights and from a random start, trained on
the same chest X-rays at 112 px with the same budget. PGD (20 steps) on each, judged on each: the
share of images turned, of those that both networks read right, with 95 % intervals by patient;
noise of the same size beside it. Writes `results/transfer.csv` and `results/transfer.png`.

Bortsova et al. 2021 (arXiv 2006.06356) find that ImageNet pre-training raises transfer.
"""

from __future__ import annotations

from functools import partial

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
    started,
    write_plot,
    write_table,
)
from experiments.models import data_of
from robust.metrics.by_group import ByGroup
from robust.models import full_precision, prepare, settle_head
from robust.records import Estimate
from robust.records.estimate import interval_text
from robust.report.figures.style import Figure, ReportFigure

MODELS = ("mobilenet-pretrained", "mobilenet-random", "squeezenet-pretrained", "squeezenet-random")
EPS = (2, 4)
"""In 255ths."""
SHOWN = 4
LIMIT = 160
COLUMNS = ("surrogate", "target", "eps_255", "images", *interval("turned"))


def predictions(model: robust.Classifier, x: Tensor) -> npt.NDArray[np.int64]:
    with torch.no_grad(), full_precision():
        found = torch.cat([model(part).argmax(1) for part in torch.split(x, 32)])
    return found.numpy()


def made_on(
    model: robust.Classifier | None, x: Tensor, y: Tensor, ids: list[str], eps: int
) -> Tensor:
    """Attacked images in float32; without a model, noise of that size."""
    threat, found = ThreatModel("Linf", eps / 255), []
    for rows in torch.split(torch.arange(len(x)), 32):
        streams = Streams.of(0, [ids[int(i)] for i in rows], "PGD", eps)
        if model is None:
            found.append(threat.random(x[rows], streams))
            continue
        with full_precision():
            found.append(PGD(steps=20)(model, x[rows], y[rows], threat, streams))
    return torch.cat(found)


def main(asked: Options) -> None:
    data = data_of(MODELS[0], asked.folder(MODELS[0]))
    limit = 24 if asked.quick else LIMIT
    cases = robust.open_cases(data.path, **{**data.options(), "limit": None})
    chosen = list(cases.sample(limit))
    x = torch.stack([case.image for case in chosen])
    y = torch.tensor([case.label for case in chosen])
    ids = [case.id for case in chosen]
    drawn = ByGroup([case.group for case in chosen])
    models = {name: prepare(robust.load_classifier(folder=asked.folder(name))) for name in MODELS}
    for model in models.values():
        settle_head(model, x[:2])
    right = {name: predictions(model, x) == y.numpy() for name, model in models.items()}

    rows: list[list[object]] = []
    shown: dict[tuple[str, str], Estimate] = {}
    for surrogate in (*MODELS, "noise"):
        for eps in EPS:
            moved = made_on(models.get(surrogate), x, y, ids, eps)
            for target, model in models.items():
                both = right[target] & right.get(surrogate, right[target])
                turned = drawn.rate(predictions(model, moved) != y.numpy(), both)
                assert turned is not None
                rows.append([surrogate, target, eps, turned.cases, *numbers(turned)])
                if eps == SHOWN:
                    shown[surrogate, target] = turned
                    print(f"{surrogate} -> {target}, {eps}/255: {percent(turned)}", flush=True)
    write_table(asked, "transfer", COLUMNS, rows)
    write_plot(asked, ReportFigure("transfer", "", "", partial(draw, shown)))


def draw(shown: dict[tuple[str, str], Estimate]) -> Figure:
    """Surrogates down, targets across."""
    sources = (*MODELS, "noise")
    values = np.array([[100 * shown[s, t].value for t in MODELS] for s in sources])
    figure = Figure(figsize=(6.4, 4.6), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(values, cmap="cividis", vmin=0, vmax=100)
    for i, source in enumerate(sources):
        for j, target in enumerate(MODELS):
            one = shown[source, target]
            colour = "black" if one.value > 0.6 else "white"
            text = f"{100 * one.value:.0f}\n{interval_text(one, 100, 0)}"
            axes.text(j, i, text, ha="center", va="center", color=colour, fontsize=8)
    two_lines = [name.replace("-", "\n") for name in MODELS]
    axes.set_xticks(range(len(MODELS)), two_lines, fontsize=8)
    axes.set_yticks(range(len(sources)), [*two_lines, "noise"], fontsize=8)
    axes.set_xlabel("judged on")
    axes.set_ylabel("made on")
    axes.set_title(f"images turned at {SHOWN}/255, % of those that both read right", fontsize=9)
    return figure


if __name__ == "__main__":
    started(main, __doc__)
