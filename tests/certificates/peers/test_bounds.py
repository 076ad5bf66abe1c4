"""CROWN is that of bound-propagation on dense ReLU networks, to 1e-5 (`make peers`)."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robust.certificates.bounds.back_substitution import Rows, carry_back
from robust.certificates.bounds.network_reading import read_cases
from robust.certificates.linear_relaxation import linear_boxes
from robust.models.classifier import Classifier
from tests.certificates.networks import box_of


def theirs(network: nn.Sequential, x: Tensor, eps: float) -> Any:
    library = pytest.importorskip("bound_propagation", reason="needs make peers")
    model = library.BoundModelFactory(adaptive_relu=True).build(network[1:])
    flat = x.flatten(1)
    region = library.HyperRectangle((flat - eps).clamp(0, 1), (flat + eps).clamp(0, 1))
    return model, region


@pytest.mark.parametrize("widths", [(20, 2), (16, 12, 3), (12, 10, 8, 4)])
@pytest.mark.parametrize("eps", [0.01, 0.05, 0.2])
def test_linear_and_interval_bounds_of_a_dense_network(widths: tuple[int, ...], eps: float) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(len(widths))
        layers: list[nn.Module] = [nn.Flatten()]
        for inputs, outputs in zip((16, *widths), widths, strict=False):
            layers += [nn.Linear(inputs, outputs), nn.ReLU()]
        network = nn.Sequential(*layers[:-1]).double()
        x = torch.rand(6, 1, 4, 4, dtype=torch.float64)
    model, region = theirs(network, x, eps)
    with torch.no_grad():
        linear, interval = model.crown(region).concretize(), model.ibp(region)
        graph = read_cases(Classifier(network, head="softmax").eval(), x).graph
        image = box_of(x, eps)
        for boxes, expected, relax in (
            (linear_boxes(graph, image), linear, True),
            (linear_boxes(graph, image, tighten=False), interval, False),
        ):
            classes = graph.classes
            case = torch.arange(len(x)).repeat_interleave(classes)
            ends = []
            for sign in (1.0, -1.0):
                eye = sign * torch.eye(classes, dtype=torch.float64).repeat(len(x), 1)
                below = carry_back(graph, boxes, len(boxes) - 1, Rows(eye, case), relax=relax)
                ends.append(sign * below.least(image.low[case], image.high[case]))
            assert torch.allclose(ends[0].view(-1, classes), expected.lower, rtol=0, atol=1e-5)
            assert torch.allclose(ends[1].view(-1, classes), expected.upper, rtol=0, atol=1e-5)
