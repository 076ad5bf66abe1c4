"""What the probe sees of random outputs does not depend on what two passes happen to draw."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from robust.diagnostics.probe import _agreement
from robust.tasks.contract import Batch
from tests.diagnostics.sound import network


class Seldom(nn.Module):
    """Sees the image mirrored in some passes: `turn` says in which, over and over."""

    def __init__(self, turn: tuple[bool, ...]) -> None:
        super().__init__()
        self.network, self.turn, self.passes = network("plain, two classes"), turn, 0

    def forward(self, x: Tensor) -> Tensor:
        self.passes += 1
        out: Tensor = self.network(x.flip(3) if self.turn[self.passes % len(self.turn)] else x)
        return out


class Mixing(nn.Module):
    """Takes the mean of the batch off every image."""

    def __init__(self) -> None:
        super().__init__()
        self.network = network("plain, two classes")

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.network(x - x.mean(0))
        return out


def batch() -> Batch:
    x = torch.rand(8, 3, 28, 28, generator=torch.Generator().manual_seed(0))
    return Batch(tuple(range(8)), (), x, torch.zeros(8, dtype=torch.long), torch.zeros(8, 2))


def test_passes_that_agree_by_chance_hide_no_random_outputs() -> None:
    first, second, third = True, False, False
    for turn in [(first, second, third), (third, first, second), (second, third, first)]:
        repeat, neighbours = _agreement(Seldom(turn), batch())
        assert repeat > 0.01 and neighbours <= 2 * repeat


def test_a_batch_whose_images_mix_is_seen_in_its_halves() -> None:
    repeat, neighbours = _agreement(Mixing(), batch())
    assert repeat == 0 and neighbours > 0.01
