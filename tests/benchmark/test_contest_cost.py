"""What a comparison will take: passes counted, one of them timed, memory measured."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor, nn

from attacks import PGD, CarliniWagnerL2
from robust.benchmark import contest_cost as module
from robust.benchmark.contest import contest
from robust.benchmark.contest_cost import ContestCost, expect_cost
from robust.benchmark.workloads import Workload
from robust.models import Classifier, prepare


def workload(count: int) -> Workload:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 2))
    classifier = prepare(Classifier(net, head="softmax"))
    x = torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return Workload(classifier, x, classifier(x).argmax(1))


@pytest.mark.parametrize("attack", [PGD(steps=4), CarliniWagnerL2(steps=3, binary_steps=5)])
def test_it_counts_the_passes_of_the_comparison(
    attack: PGD | CarliniWagnerL2, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows with a gradient, at the network itself: at most those of the estimate, at least half."""
    load, rounds, rows = workload(5), 2, 0
    monkeypatch.setattr("robust.benchmark.contest.TIMING_IMAGES", 1)

    def count(m: nn.Module, args: tuple[Tensor], out: Tensor) -> None:
        nonlocal rows
        rows += len(out) if out.requires_grad else 0

    found = expect_cost(load, attack, rounds)
    load.classifier.register_forward_hook(count)
    contest(load, attack, 1 / 255, rounds=rounds)
    told = found.seconds / found.pass_seconds
    assert told / 2 < rows <= told * 1.05


def test_memory_grows_with_the_images() -> None:
    few, many = (expect_cost(workload(n), PGD(steps=2), 1) for n in (2, 20))
    assert few.memory > 0
    assert many.memory == 10 * few.memory


def test_its_words() -> None:
    told = ContestCost(0.21, 750.0, 3 * module.GIB, 8 * module.GIB)
    assert told.text == (
        "This will take about 12:30 at most (one image forward and backward: 0.21 s) and 3.0 GiB "
        "of memory."
    )
    short = dataclasses.replace(told, free=module.GIB // 2)
    assert short.text.splitlines()[1] == "Only 512 MiB are free: take fewer images with --limit."
