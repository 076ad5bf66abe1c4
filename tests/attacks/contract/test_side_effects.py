"""An attack leaves model, arguments and global state as they were."""

from __future__ import annotations

import math
import random
import sys
from types import FrameType
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from attacks import ThreatModel, make_attack
from tests.attacks.cases import EVERY, QUICK, streams
from tests.toys import patterns


@pytest.mark.parametrize("name", dict(EVERY))
def test_no_side_effects(name: str) -> None:
    model, x, y = patterns(3)
    network = nn.Sequential(model, nn.BatchNorm1d(3), nn.Dropout(0.5), nn.Identity())
    network.eval()
    network[3].train()  # a mixed mode is the user's affair: it may not be tidied up
    network[0][0].weight.requires_grad_(False)
    network[0][0].bias.grad = torch.ones_like(network[0][0].bias)
    torch.manual_seed(1), np.random.seed(1), random.seed(1)

    def trace(frame: FrameType, event: str, argument: Any) -> None:
        return None

    attack = make_attack(name, **QUICK.get(name, {}))

    def look() -> dict[str, Any]:
        return {
            "modes": [module.training for module in network.modules()],
            "needs": [p.requires_grad for p in network.parameters()],
            "grads": [None if p.grad is None else p.grad.tolist() for p in network.parameters()],
            "state": [value.tolist() for value in network.state_dict().values()],
            "hooks": [len(m._forward_hooks) + len(m._backward_hooks) for m in network.modules()],
            "torch": torch.get_rng_state().tolist(),
            "numpy": np.random.get_state()[1].tolist(),
            "random": random.getstate(),
            "dtype": torch.get_default_dtype(),
            "grad mode": torch.is_grad_enabled(),
            "cudnn": (torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic),
            "threads": torch.get_num_threads(),
        }

    before = look()
    old = sys.gettrace()
    try:
        sys.settrace(trace)
        for norm in {*attack.norms} & {"Linf", "L2"}:
            eps = math.inf if attack.minimum_norm else 0.05
            attack(network, x[:4], y[:4], ThreatModel(norm, eps), streams(x[:4]))
        after_trace = sys.gettrace()
    finally:
        sys.settrace(old)
    assert after_trace is trace
    assert look() == before
