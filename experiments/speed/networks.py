"""Small networks of ten classes, fragile, half-robust and hardened, trained from local data.

Digits: the images of scikit-learn at 28 px. Medical: ten findings of three modalities (chest
X-rays, dermoscopy, fundus photographs) at 32 px, from a folder like `../shared/data`. Hardened ones
are trained on PGD images (Madry et al. 2018), half-robust ones on fewer steps at half of the eps.
Trained networks are kept in `experiments/built/ensembles`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor, nn

import robust
from attacks import PGD, Streams, ThreatModel
from experiments.models import BUILT

KINDS = ("fragile", "half-robust", "hardened", "masked")
"""Masked: the fragile one behind a coarse rounding of pixels, which has no gradient."""
MEDICAL = {
    "chest_xray": ("subtype", ("normal", "bacteria", "virus")),
    "dermoscopy": ("dx", ("nv", "mel", "bkl")),
    "fundus": ("label_name", ("normal", "cataract", "glaucoma", "diabetic_retinopathy")),
}
"""Column and classes of each folder."""
CASES_A_CLASS = {"train": 250, "test": 25}

Images = tuple[Tensor, Tensor]
"""Images `(n, c, h, w)` and labels `(n,)`."""


@dataclass(frozen=True)
class Task:
    """Data of ten classes, and how the three networks for it are trained."""

    load: Callable[[Path], tuple[Images, Images]]
    """Train and test images from the folder of data."""
    width: int
    """Channels of the first layer."""
    epochs: int
    eps: float
    """In L-inf, at which the hardened network is trained and all are attacked."""
    eps_l2: float


def digits(folder: Path) -> tuple[Images, Images]:
    """Those of scikit-learn, 8 px enlarged to 28; `folder` is not needed."""
    data = load_digits()
    x = torch.from_numpy(data.images / 16).float()[:, None]
    x = F.interpolate(x, (28, 28), mode="bilinear").clamp(0, 1)
    y = torch.from_numpy(data.target).long()
    return (x[:1400], y[:1400]), (x[1400:], y[1400:])


def medical(folder: Path) -> tuple[Images, Images]:
    """At most so many of each class, of three modalities."""
    return _medical(folder, "train"), _medical(folder, "test")


def _medical(folder: Path, split: str) -> Images:
    images, labels, first = [], [], 0
    for name, (column, classes) in MEDICAL.items():
        ours = " or ".join(f'{column} == "{one}"' for one in classes)
        options = {"group": "group", "label": column, "classes": classes, "where": ours}
        cases = robust.open_cases(folder / name, split=split, **options)
        own = np.array([entry.label for entry in cases.entries])
        rows = np.concatenate(
            [np.flatnonzero(own == k)[: CASES_A_CLASS[split]] for k in range(len(classes))]
        )
        for row in rows:
            image = cases[int(row)].image
            image = image.expand(3, -1, -1) if len(image) == 1 else image
            images.append(F.interpolate(image[None], (32, 32), mode="area")[0])
            labels.append(first + int(own[row]))
        first += len(classes)
    return torch.stack(images), torch.tensor(labels)


TASKS = {
    "digits": Task(digits, 16, 40, 0.15, 1.2),
    "medical": Task(medical, 24, 15, 4 / 255, 0.5),
}


@dataclass(frozen=True)
class Trained:
    """A frozen network and test images that it reads right."""

    model: nn.Module
    x: Tensor
    y: Tensor
    clean: float
    """Accuracy on all test images."""


class Rounded(nn.Module):
    """Pixels rounded to as many levels."""

    def __init__(self, levels: float) -> None:
        super().__init__()
        self.levels = levels

    def forward(self, x: Tensor) -> Tensor:
        return (x * self.levels).round() / self.levels


def trained(task: str, kind: str, data: Path, count: int) -> Trained:
    """The network of that task and kind, trained if it was not yet; `count` images, mixed."""
    how = TASKS[task]
    train, (x, y) = how.load(data)
    path = BUILT / "ensembles" / f"{task}-{kind.replace('masked', 'fragile')}.pth"
    model = _network(train[0].shape[1], how.width)
    model(train[0][:1])
    if path.exists():
        model.load_state_dict(torch.load(path, weights_only=True))
    else:
        _fit(model, *train, how, kind)
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(model.state_dict(), path)
    if kind == "masked":
        model = nn.Sequential(Rounded(1 / how.eps), model)
    model.eval().requires_grad_(False)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    x, y = x[order], y[order]
    with torch.no_grad():
        right = torch.cat([model(part) for part in x.split(100)]).argmax(1) == y
    return Trained(model, x[right][:count], y[right][:count], float(right.double().mean()))


def _network(channels: int, width: int) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(width, 2 * width, 3, stride=2, padding=1), nn.ReLU()),
        *(nn.Conv2d(2 * width, 2 * width, 3, stride=2, padding=1), nn.ReLU()),
        *(nn.Conv2d(2 * width, 4 * width, 3, stride=2, padding=1), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(64 * width, 10)),
    )


def _fit(model: nn.Module, x: Tensor, y: Tensor, task: Task, kind: str) -> None:
    eps = {"fragile": 0.0, "half-robust": task.eps / 2, "hardened": task.eps}[kind]
    attack = PGD(steps=2, step_size=0.8) if kind == "half-robust" else PGD(steps=3, step_size=0.6)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    steps = task.epochs * (len(x) // 100 + 1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps)
    generator = torch.Generator().manual_seed(0)
    done = 0
    for epoch in range(task.epochs):
        # Smaller attacks first: from the start at full eps some networks learn nothing.
        threat = ThreatModel("Linf", eps * min(1, (epoch + 1) / (task.epochs / 3)))
        for rows in torch.randperm(len(x), generator=generator).split(100):
            seen, labels = x[rows], y[rows]
            if eps:
                model.requires_grad_(False)
                streams = Streams.of(done, rows.tolist())
                seen = attack(model, seen, labels, threat, streams)
                model.requires_grad_(True)
            optimiser.zero_grad()
            torch.autograd.backward(F.cross_entropy(model(seen), labels))
            optimiser.step()
            schedule.step()
            done += 1
