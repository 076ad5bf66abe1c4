"""A small network that is trained on as labels arrive, and what a criterion reads of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attacks import Streams, ThreatModel
from attacks.minimum_norm.fmn import FMN
from robust.metrics.arrays import Array, Places
from robust.ranking.contract import Criterion, Pool

RATE, BATCH = 2e-3, 32
WIDTH = 32
"""Of the features that distances are taken in."""
ATTACK, THREAT = FMN(steps=20, line_steps=6), ThreatModel("L2", float("inf"))


class Network(nn.Module):
    """Three strided convolutions, the mean over space, and a linear layer."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(channels, 8, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(8, 16, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, WIDTH, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
        )
        self.head = nn.Linear(4 * WIDTH, classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.features((x - 0.5) / 0.25))
        return logits


class Learner:
    """A network with its optimiser, which go on from where they stood when labels are added."""

    def __init__(self, x: Tensor, y: Tensor, classes: int, seed: int) -> None:
        self.x, self.y = x, y
        torch.manual_seed(seed)
        self.network = Network(x.shape[1], classes)
        self.optimiser = torch.optim.Adam(self.network.parameters(), RATE)
        self.rng = np.random.default_rng(seed)

    def train(self, new: Places, old: Places, share: float, epochs: int) -> None:
        """Epochs over the new images and, drawn anew in each, this share of the old ones."""
        for _ in range(epochs):
            kept = self.rng.choice(old, round(share * len(old)), replace=False)
            order = self.rng.permutation(np.concatenate([new, kept]))
            for start in range(0, len(order), BATCH):
                rows = torch.from_numpy(order[start : start + BATCH])
                self.optimiser.zero_grad()
                F.cross_entropy(self.network(self.x[rows]), self.y[rows]).backward()
                self.optimiser.step()

    @torch.no_grad()
    def accuracy(self, x: Tensor, y: Tensor) -> float:
        return float((self.network(x).argmax(1) == y).double().mean())

    def pool(self, rows: Places, labelled: Places, criterion: Criterion) -> Pool:
        """What the criterion needs of the images at `rows`, named by their place."""
        x = self.x[torch.from_numpy(rows)]
        ids = tuple(f"{row:06d}" for row in rows.tolist())
        with torch.no_grad():
            probabilities = self.network(x).double().softmax(1).numpy()
            features = self.network.features(x).double().numpy()
            known = self.network.features(self.x[torch.from_numpy(labelled)]).double().numpy()
        return Pool(
            ids,
            probabilities,
            features,
            known,
            self._distances(x, ids) if "distances" in criterion.needs else None,
        )

    def _distances(self, x: Tensor, ids: Sequence[str]) -> Array:
        with torch.no_grad():
            y = self.network(x).argmax(1)
        streams = Streams.of(0, list(ids), "labels")
        x_adv = ATTACK(self.network, x, y, THREAT, streams)
        with torch.no_grad():
            fell = self.network(x_adv).argmax(1) != y
        found = THREAT.distance(x_adv, x).double().numpy()
        return np.where(fell.numpy(), found, np.nan)
