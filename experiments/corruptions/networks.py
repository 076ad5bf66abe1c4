"""The networks of the experiment: a small AlexNet for 28 x 28 pixels, and how all are trained.

Run: `python -m experiments.corruptions.networks`; about three minutes on one core. The AlexNet is
the reference of BE and rBE. It has the layers of Krizhevsky, Sutskever and Hinton 2012 (five
convolutions with three pools, two hidden linear layers with dropout), with kernels, strides and
widths for small images: it is not the network of MedMNIST-C, which is torchvision's at 224 pixels.
"""

from __future__ import annotations

import copy
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from experiments.models import BUILT, DATA, random
from robust.cases import Cases, open_cases
from robust.training.recipe import Recipe, load_recipe
from robust.training.train import train_model

MEDMNIST = DATA / "medmnist" / "pneumoniamnist.npz"
ALEXNET = BUILT / "pneumoniamnist-alexnet.pth"
RESNET = BUILT / "pneumoniamnist-resnet10t"
EPOCHS, BATCH = 10, 32


class SmallAlexNet(nn.Module):
    """Two logits of a grey image of 28 x 28 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *(nn.Conv2d(1, 24, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
            *(nn.Conv2d(24, 64, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
            *(nn.Conv2d(64, 96, 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(96, 64, 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2)),
        )
        self.classifier = nn.Sequential(
            *(nn.Flatten(), nn.Dropout(), nn.Linear(64 * 4, 256), nn.ReLU()),
            *(nn.Dropout(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 2)),
        )

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.features(x))
        return logits


def resnet_recipe() -> Recipe:
    """A packaged recipe, at the size of the images: there are no weights to start from."""
    told = load_recipe("chest-xray").model_dump(exclude_none=True)
    tables = random("timm:resnet10t", 5, 28)
    data = {"path": str(MEDMNIST), "group": "none", "classes": ["normal", "pneumonia"]}
    return Recipe.model_validate(
        {
            **told,
            "title": "PneumoniaMNIST",
            "data": data,
            "network": {**told["network"], **tables["network"]},
            "training": {**told["training"], **tables["training"]},
        }
    )


def train_alexnet() -> float:
    """Train on the train split, keep the epoch of the lowest balanced error on val: that error."""
    torch.manual_seed(0)
    (x, y), (held, truth) = (_tensors(_split(name)) for name in ("train", "val"))
    model, best, kept = SmallAlexNet(), 1.0, {}
    weight = len(y) / (2 * torch.bincount(y).float())
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, EPOCHS)
    for _ in range(EPOCHS):
        model.train()
        for rows in torch.randperm(len(y)).split(BATCH):
            loss = F.cross_entropy(model(_moved(x[rows])), y[rows], weight)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        schedule.step()
        model.eval()
        with torch.no_grad():
            wrong = model(held).argmax(1) != truth
        error = float(torch.stack([wrong[truth == k].float().mean() for k in (0, 1)]).mean())
        if error < best:
            best, kept = error, copy.deepcopy(model.state_dict())
    ALEXNET.parent.mkdir(parents=True, exist_ok=True)
    torch.save(kept, ALEXNET)
    return best


def _moved(x: Tensor) -> Tensor:
    """Mirrored by chance and shifted by up to two pixels, alike for the batch."""
    down, right = torch.randint(-2, 3, (2,)).tolist()
    padded = F.pad(x, (2, 2, 2, 2), mode="replicate")
    x = padded[..., 2 + down : 30 + down, 2 + right : 30 + right]
    return x.flip(-1) if torch.rand(()) < 0.5 else x


def _split(name: str) -> Cases:
    return open_cases(MEDMNIST, split=name, group="none", classes=("normal", "pneumonia"))


def _tensors(cases: Cases) -> tuple[Tensor, Tensor]:
    """Normalised with mean and std 0.5, as the network takes them."""
    every = [cases[i] for i in range(len(cases))]
    return torch.stack([c.image for c in every]) * 2 - 1, torch.tensor([c.label for c in every])


def main() -> None:
    torch.set_num_threads(1)
    if not ALEXNET.exists():
        print(f"AlexNet: balanced error on val {train_alexnet():.3f}", flush=True)
    done = train_model(resnet_recipe(), Path(RESNET), device="cpu", progress=False)
    print({name: scores.accuracy for name, scores in done.metrics.items()})


if __name__ == "__main__":
    main()
