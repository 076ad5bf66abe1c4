"""A curve cell of a segmenter ends at the first success and finds what the whole attack finds."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from robust.auditing import audit
from robust.cases import open_cases
from robust.models import Segmenter
from robust.records import Report


def by_brightness() -> Segmenter:
    """Dark is lesion."""

    class Network(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.cat([x - 0.55, 0.55 - x], 1)

    return Segmenter(Network(), channels=1, head="softmax")


def run(cells: str) -> Report:
    cases = open_cases("phantom:lesion", count=8, pixels=32)
    return audit(
        by_brightness(),
        cases,
        attacks=["PGD"],
        eps=["16/255", "80/255"],
        chunk=2,
        cells=cells,
        doubts={"probe": False},
        segmentation={"dice": 0.4},
    )


def test_the_same_cases_fall_with_fewer_passes() -> None:
    exact, curve = run("exact"), run("curve")
    found = [[one.scores.robust_accuracy for one in r.worst_cases] for r in (exact, curve)]
    assert found[0] == found[1]
    assert curve.worst_cases[-1].attacked > 0 and curve.worst.success.value > 0
    assert curve.timings.passes is not None and exact.timings.passes is not None
    assert curve.timings.passes.made < 0.6 * exact.timings.passes.made
