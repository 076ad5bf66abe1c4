"""What the check of what survives saving takes of an audit's attack stage, beside a free network.

Run: `python -m experiments.speed.saving [IMAGES]` (one thread, some minutes). Phantoms of 224 px in
colour, the attacks of a plan that names none, through a linear network that follows a checkerboard
of pixels: a pass costs next to nothing, and every image falls at a quarter of a grey level, which
no file of 8 bits can hold. That is the dearest case: of each image a rounding is looked for.

Prints by eps the processor time of the attack stage and of the check in it, and the check's passes
forward and backward, each for one image under one attack.
"""

from __future__ import annotations

import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import robust
from robust.auditing.attack_stage import AttackStage
from robust.storage.survival import StorageCheck

SIZE = 224
EPS = ("0.25/255", "0.5/255", "1/255", "4/255")
PLAIN: dict[str, Any] = {"device": "cpu", "gallery": 0, "doubts": {"probe": False}}


PASSES: Counter[str] = Counter()
"""Images that went through the network either way; an audit works on a copy of the network."""


class Checkerboard(nn.Module):
    """Two classes, by the mean of red above a limit and by a checkerboard."""

    def __init__(self, limit: float) -> None:
        super().__init__()
        rows = torch.arange(SIZE)
        board = ((rows[:, None] + rows) % 2 * 2 - 1).float().expand(3, SIZE, SIZE).flatten()
        self.board = nn.Parameter(board.clone(), requires_grad=False)
        self.limit = limit

    def forward(self, x: Tensor) -> Tensor:
        """Logits `(n, 2)`; both ways are counted."""
        PASSES["forward"] += len(x)
        value = 100 * (x[:, 0].mean((1, 2)) - self.limit) + 0.1 * (x.flatten(1) @ self.board)
        logits = torch.stack([-value, value], 1)
        if logits.requires_grad:
            count = len(x)
            logits.register_hook(lambda _: PASSES.update(backward=count))  # type: ignore[no-untyped-call]
        return logits


class Meter:
    """Processor seconds of the attack stage and of the check in it, and the check's passes."""

    def __init__(self) -> None:
        self.spent: defaultdict[str, float] = defaultdict(float)
        self.images = 0

    def around(self, call: Callable[..., Any], name: str) -> Callable[..., Any]:
        """The same call, measured."""

        def run(*given: Any, **named: Any) -> Any:
            began, before = time.process_time(), Counter(PASSES)
            found = call(*given, **named)
            self.spent[name] += time.process_time() - began
            if name == "check":
                for way, total in (PASSES - before).items():
                    self.spent[way] += total
                self.images += len(found)
            return found

        return run


def measure(count: int) -> None:
    """One audit for each eps."""
    cases = robust.open_cases("phantom:fundus", split="test", count=count, pixels=SIZE)
    x = torch.stack([cases[i].image for i in range(count)])
    network = Checkerboard(float(x[:, 0].mean((1, 2)).median()))
    y = network(x).argmax(1)
    classifier = robust.Classifier(network, channels=3)
    for eps in EPS:
        meter = Meter()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(AttackStage, "run", meter.around(AttackStage.run, "stage"))
            patch.setattr(StorageCheck, "observe", meter.around(StorageCheck.observe, "check"))
            (saved,) = robust.audit(classifier, (x, y), eps=[eps], **PLAIN).survival
        per = {name: value / meter.images for name, value in meter.spent.items()}
        print(
            f"{eps}: fooled {saved.computed.value:.2f}, saved {saved.quantised.value:.2f}; "
            f"ms of the stage {1000 * per['stage']:.1f}, of the check {1000 * per['check']:.1f}; "
            f"passes forward {per.get('forward', 0):.2f}, backward {per.get('backward', 0):.2f}",
            flush=True,
        )


if __name__ == "__main__":
    torch.set_num_threads(1)
    measure(int(sys.argv[1]) if len(sys.argv) > 1 else 32)
