"""Saliency, Grad-CAM, activations, loss surface and t-SNE on three modalities, with a number each.

Run: `python -m experiments.ma2021.pictures [--quick]` (about five minutes on one core). Pictures of
patients go to the ignored folder `experiments/built/pictures`; what is committed shows none:
`results/pictures.csv`, `results/surface.png` (the loss, a mean over images) and `results/tsne.png`
(the 128 deep features, clean and under each attack at 1/255).

Saliency is |sum over channels of dL/dx|; Grad-CAM (Selvaraju et al. 2017) is of the predicted class
on the last convolution, clean and under PGD at 1/255; the surface is the mean cross-entropy on
x + a sign(grad of the model) + b sign(grad of an independently trained one), a and b up to 8/255.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.manifold import TSNE
from torch import Tensor

import robust
from attacks import Attack, Streams, ThreatModel, make_attack
from detectors import Extractor, find_layers
from experiments.ma2021.common import (
    FOUR,
    PAPER,
    THREE,
    Options,
    started,
    write_plot,
    write_table,
)
from experiments.models import data_of
from robust.models import prepare, settle_head
from robust.report.figures.style import COLOURS, Figure, ReportFigure

PICTURES = Path("experiments/built/pictures")
OTHER = {"chest-224": "squeezenet-pretrained", "fundus-224": "fundus-3"}
"""Trained independently on the same data; there is none for dermoscopy."""
COUNT, SHOWN, SIDE = 24, 4, 9
"""Images measured, images drawn, points along a side of the loss surface (0 to 8/255)."""
COLUMNS = (
    *("model", "images", "cam_correlation_clean_attacked", "cam_correlation_clean_other_image"),
    *("saliency_in_central_quarter", "gradient_l1_clean", "gradient_l1_attacked"),
    *("loss_clean", "loss_own_direction_1", "loss_other_direction_1", "loss_other_direction_8"),
)


@dataclass(frozen=True)
class Looked:
    """What was computed of one model."""

    model: str
    x: Tensor
    adversarial: Tensor
    saliency: Tensor
    cams: tuple[Tensor, Tensor]
    activations: tuple[Tensor, Tensor]
    surface: Tensor | None
    deep: dict[str, Tensor]
    row: list[object]


def look(asked: Options, model: str) -> Looked:
    folder = asked.folder(model)
    data = data_of(model, folder)
    classifier = prepare(robust.load_classifier(folder=folder))
    cases = robust.open_cases(data.path, **{**data.options(), "limit": None})
    drawn = list(cases.sample(8 if asked.quick else 2 * COUNT))
    x = torch.stack([case.image for case in drawn])
    y = torch.tensor([case.label for case in drawn])
    settle_head(classifier, x[:2])
    with torch.no_grad():
        right = classifier(x).argmax(1) == y
    x, y = x[right][:COUNT], y[right][:COUNT]
    ids = [case.id for case, ok in zip(drawn, right.tolist(), strict=True) if ok][:COUNT]

    def attacked(name: str) -> Tensor:
        fields = {key: value for key, value in PAPER[name].items() if key not in ("name", "label")}
        attack: Attack = make_attack(PAPER[name]["name"], **fields)
        return attack(classifier, x, y, ThreatModel("Linf", 1 / 255), Streams.of(0, ids, name))

    moved = {name: attacked(name) for name in FOUR}
    pgd = moved["PGD"]
    (gradient, loss), (gradient_pgd, _) = slope(classifier, x, y), slope(classifier, pgd, y)
    saliency = gradient.sum(1).abs()
    clean, after = grad_cam(classifier, x), grad_cam(classifier, pgd)
    extract = Extractor(classifier, find_layers(classifier, x[:1])[-1:])
    with torch.no_grad():
        deep = {"clean": extract(x).deep, **{n: extract(m).deep for n, m in moved.items()}}
    surface = None
    if model in OTHER:
        other = prepare(robust.load_classifier(folder=asked.folder(OTHER[model])))
        settle_head(other, x[:2])
        surface = losses(classifier, x, y, gradient.sign(), slope(other, x, y)[0].sign())
    ends: list[object] = ["", "", ""]
    if surface is not None:
        ends = [float(v) for v in (surface[1, 0], surface[0, 1], surface[0, -1])]
    row: list[object] = [
        *(model, len(x), alike(clean[0], after[0]), alike(clean[0], clean[0].roll(1, 0))),
        *(central(saliency), l1(gradient), l1(gradient_pgd), loss, *ends),
    ]
    activations = clean[1], after[1]
    cams = clean[0], after[0]
    return Looked(model, x, pgd, saliency, cams, activations, surface, deep, row)


def slope(classifier: robust.Classifier, x: Tensor, y: Tensor) -> tuple[Tensor, float]:
    """Gradient of each image's cross-entropy, and its mean."""
    x = x.clone().requires_grad_()
    loss = F.cross_entropy(classifier(x), y, reduction="sum")
    (gradient,) = torch.autograd.grad(loss, x)
    return gradient, loss.item() / len(x)


def grad_cam(classifier: robust.Classifier, x: Tensor) -> tuple[Tensor, Tensor]:
    """Maps `(n, h, w)` of the predicted class in [0, 1], and the mean over all channels."""
    kept: list[Tensor] = []
    features: Any = classifier.network.features
    handle = features.register_forward_hook(lambda _m, _a, out: kept.append(out))
    try:
        with torch.enable_grad():
            logits = classifier(x.clone().requires_grad_())
    finally:
        handle.remove()
    (maps,) = kept
    (gradient,) = torch.autograd.grad(logits.max(1).values.sum(), maps)
    cam = (gradient.mean((2, 3), keepdim=True) * maps).sum(1).relu()
    highest = cam.flatten(1).max(1).values.clamp_min(1e-12)
    return (cam / highest.view(-1, 1, 1)).detach(), maps.mean(1).detach()


def losses(
    classifier: robust.Classifier, x: Tensor, y: Tensor, own: Tensor, other: Tensor
) -> Tensor:
    """Mean loss `(SIDE, SIDE)`: down along the own direction, across along the other's."""
    steps = torch.arange(SIDE) / 255
    with torch.no_grad():
        return torch.stack(
            [
                torch.stack(
                    [
                        F.cross_entropy(classifier((x + a * own + b * other).clamp(0, 1)), y)
                        for b in steps
                    ]
                )
                for a in steps
            ]
        )


def alike(one: Tensor, other: Tensor) -> float:
    """Mean correlation of two maps of each image."""
    pairs = zip(one.flatten(1), other.flatten(1), strict=True)
    found = [float(torch.corrcoef(torch.stack(pair))[0, 1]) for pair in pairs]
    return float(np.nanmean(found))


def central(saliency: Tensor) -> float:
    """Share of the saliency within the middle quarter of the area; 0.25 where it is spread."""
    h, w = saliency.shape[1:]
    middle = saliency[:, h // 4 : h - h // 4, w // 4 : w - w // 4]
    return float((middle.sum((1, 2)) / saliency.sum((1, 2)).clamp_min(1e-30)).mean())


def l1(gradient: Tensor) -> float:
    return float(gradient.flatten(1).abs().sum(1).mean())


def gallery(seen: Looked) -> Figure:
    """A row an image: clean, saliency, Grad-CAM and activations before and after."""
    titles = ("image", "saliency", "Grad-CAM", "Grad-CAM, PGD", "activation", "activation, PGD")
    count = min(SHOWN, len(seen.x))
    figure = Figure(figsize=(2 * len(titles), 2.1 * count), layout="constrained")
    top = float(seen.saliency[:count].quantile(0.995))
    for i in range(count):
        image = seen.x[i].expand(3, -1, -1).permute(1, 2, 0).numpy()
        size = image.shape[:2]
        maps: list[Tensor | None] = [None, seen.saliency[i]]
        maps += [seen.cams[0][i], seen.cams[1][i], seen.activations[0][i], seen.activations[1][i]]
        for j, (title, values) in enumerate(zip(titles, maps, strict=True)):
            axes = figure.add_subplot(count, len(titles), i * len(titles) + j + 1)
            axes.set_axis_off()
            if i == 0:
                axes.set_title(title, fontsize=9)
            if values is None or j in (2, 3):
                axes.imshow(image)
            if values is None:
                continue
            shown = F.interpolate(values[None, None], size, mode="bilinear")[0, 0].numpy()
            if j == 1:
                axes.imshow(values.numpy(), cmap="inferno", vmin=0, vmax=top)
            elif j in (2, 3):
                axes.imshow(shown, cmap="inferno", vmin=0, vmax=1, alpha=0.5)
            else:
                axes.imshow(shown, cmap="viridis")
    return figure


def surfaces(looked: list[Looked]) -> Figure:
    """Both loss surfaces, one colour scale each."""
    drawn = [one for one in looked if one.surface is not None]
    figure = Figure(figsize=(4.4 * len(drawn), 3.7), layout="constrained")
    for place, one in enumerate(drawn):
        assert one.surface is not None
        axes = figure.add_subplot(1, len(drawn), place + 1)
        end = SIDE - 0.5
        shown = axes.imshow(
            one.surface.numpy(), origin="lower", extent=(-0.5, end, -0.5, end), cmap="cividis"
        )
        axes.set_xlabel(f"along sign of {OTHER[one.model]}'s gradient, 1/255", fontsize=8)
        axes.set_ylabel("along sign of its own gradient, 1/255", fontsize=8)
        axes.set_title(one.model, fontsize=10)
        figure.colorbar(shown, ax=axes, label="mean cross-entropy")
    return figure


def scatter(looked: list[Looked]) -> Figure:
    """t-SNE of the deep features, clean against each attack."""
    figure = Figure(figsize=(4 * len(looked), 3.8), layout="constrained")
    for place, one in enumerate(looked):
        axes = figure.add_subplot(1, len(looked), place + 1)
        stacked = torch.cat(list(one.deep.values())).numpy()
        near = TSNE(random_state=0, perplexity=min(20, len(stacked) // 4), init="pca")
        points = near.fit_transform(stacked).reshape(len(one.deep), -1, 2)
        for number, (name, own) in enumerate(zip(one.deep, points, strict=True)):
            axes.scatter(*own.T, s=14, color=COLOURS[number], label=name, marker="ox+sd"[number])
        axes.set_title(one.model, fontsize=10)
        axes.set_xticks([])
        axes.set_yticks([])
    axes.legend(fontsize=8)
    return figure


def main(asked: Options) -> None:
    looked = []
    PICTURES.mkdir(parents=True, exist_ok=True)
    for model in asked.of(THREE.values()):
        seen = look(asked, model)
        looked.append(seen)
        picture = ReportFigure(model, "", "", partial(gallery, seen))
        (PICTURES / f"{model}.png").write_bytes(picture.png(110))
        print(*(f"{v:.3g}" if isinstance(v, float) else v for v in seen.row), flush=True)
    write_table(asked, "pictures", COLUMNS, [seen.row for seen in looked])
    write_plot(asked, ReportFigure("surface", "", "", partial(surfaces, looked)))
    write_plot(asked, ReportFigure("tsne", "", "", partial(scatter, looked)))


if __name__ == "__main__":
    started(main, __doc__)
