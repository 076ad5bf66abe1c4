"""The published PneumoniaMNIST network, and one of the same shape hardened with PGD-AT here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from attacks import Streams
from experiments.models import BUILT, DATA
from experiments.pneumoniamnist.network import PneumoniaCNN
from robust.models.classifier import Classifier
from robust.training.adversarial import pgd_at
from robust.training.recipe import AdversarialSpec

HARDENED = BUILT / "certificates" / "hardened.pth"
EPOCHS, BATCH, EPS = 12, 128, 4 / 255


def images(split: str) -> tuple[Tensor, Tensor]:
    """The official images of a split, and their labels."""
    with np.load(DATA / "medmnist" / "pneumoniamnist.npz") as file:
        x = torch.from_numpy(file[f"{split}_images"]).float()[:, None] / 255
        return x, torch.from_numpy(file[f"{split}_labels"]).flatten().long()


def published() -> Classifier:
    return _classifier(DATA / "models" / "pneumoniamnist_cnn.pth")


def hardened() -> Classifier:
    if not HARDENED.exists():
        HARDENED.parent.mkdir(parents=True, exist_ok=True)
        torch.save(_train().network.state_dict(), HARDENED)
    return _classifier(HARDENED)


NETWORKS = {"published": published, "hardened": hardened}


def _classifier(weights: Path | None = None) -> Classifier:
    network = PneumoniaCNN()
    if weights is not None:
        network.load_state_dict(torch.load(weights, weights_only=True))
    return Classifier(network, mean=0.5, std=0.5, channels=1, head="sigmoid").eval()


def _train() -> Classifier:
    """PGD adversarial training on the train split: eps 4/255, five steps, grown over 3 epochs."""
    torch.manual_seed(0)
    model = _classifier()
    x, y = images("train")
    weight = len(y) / (2 * torch.bincount(y).float())
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, 2e-3, total_steps=EPOCHS * (len(x) // BATCH)
    )

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(logits, labels, weight)

    for epoch in range(EPOCHS):
        order = torch.randperm(len(x))
        eps = EPS * min(1.0, (epoch + 1) / 3)
        spec = AdversarialSpec(method="pgd-at", eps=eps, steps=5, step_size=0.4)
        total = 0.0
        for rows in order.split(BATCH)[: len(x) // BATCH]:
            model.train()
            streams = Streams.of(0, rows.tolist(), epoch)
            value, _ = pgd_at(model, x[rows], y[rows], spec, streams, loss)
            optimiser.zero_grad()
            value.backward()
            optimiser.step()
            schedule.step()
            total += float(value.detach())
        print(f"epoch {epoch}: loss {total / (len(x) // BATCH):.3f}", flush=True)
    return model.eval()
