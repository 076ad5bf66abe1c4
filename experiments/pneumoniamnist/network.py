"""The architecture of a PneumoniaMNIST classifier that a third party trained and published.

105,281 parameters, input 1 x 28 x 28 with mean = std = 0.5, one sigmoid logit. Its weights are not
part of this project; the plan beside this file names where they are expected.
"""

from __future__ import annotations

from torch import Tensor, nn


class PneumoniaCNN(nn.Module):
    """Two convolutions and two linear layers; the names are those of the published state dict."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.classifier = nn.Sequential(
            nn.Flatten(), nn.Linear(1568, 64), nn.ReLU(), nn.Dropout(0.3), nn.Linear(64, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        logit: Tensor = self.classifier(self.features(x))
        return logit
