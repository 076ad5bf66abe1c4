"""What dropout uncertainty costs beside a pass through the whole network for each draw.

Run: `python -m experiments.speed.dropout` (one CPU core, a minute). Networks of torchvision with
random weights, four images of 128 px, 50 draws, processor time in turn, three rounds. Expected: 25
where the layers before the first dropout are nearly all of the work.
"""

from __future__ import annotations

import statistics
import time

import torch
import torchvision
from torch import Tensor, nn

from detectors.bayesian_uncertainty import uncertainty
from detectors.features import dropout_layers

NETWORKS = ("mobilenet_v2", "efficientnet_b0", "vgg11")
DRAWS, ROUNDS = 50, 3


@torch.no_grad()
def main() -> None:
    x = torch.rand(4, 3, 128, 128)
    for name in NETWORKS:
        model = getattr(torchvision.models, name)(num_classes=2).eval()
        ratios = []
        for _ in range(ROUNDS):
            began = time.process_time()
            uncertainty(model, x, passes=DRAWS)
            between = time.process_time()
            every_pass(model, x)
            ratios.append((time.process_time() - between) / (between - began))
        print(f"{name}: a pass for each draw / ours {statistics.median(ratios):.1f}")


def every_pass(model: nn.Module, x: Tensor) -> Tensor:
    """The same by as many passes through the whole network, in training mode at the dropout."""
    for layer in dropout_layers(model):
        layer.train()
    drawn = torch.stack([model(x).softmax(1) for _ in range(DRAWS)])
    model.eval()
    return drawn.var(0).sum(1)


if __name__ == "__main__":
    main()
