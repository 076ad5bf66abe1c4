"""Every detector works on the device of its features, and scores there what it scores on the CPU."""

from __future__ import annotations

import pytest
import torch

from detectors import DETECTORS
from tests.another_device import DEVICE, another_device
from tests.detectors.draws import draw, reference, sides, with_head
from tests.detectors.test_contract import CASES


@pytest.mark.parametrize("learned_there", [False, True])
@pytest.mark.parametrize(("name", "head"), CASES)
def test_the_same_scores_as_on_the_cpu(name: str, head: bool, learned_there: bool) -> None:
    """A detector that has learned here and is moved, and one that learns there."""
    known = reference()
    here = DETECTORS[name]().fit(known)
    if head:
        here = with_head(here, *sides())
    expected = here.score(draw(40, 7))
    with another_device():
        if learned_there:
            there = DETECTORS[name]().fit(known.to(DEVICE))
            if head:
                there = with_head(there, *(side.to(DEVICE) for side in sides()))
        else:
            there = here.to(DEVICE)
        found = there.score(draw(40, 7).to(DEVICE))
        assert found.device == DEVICE
        assert torch.allclose(found.cpu(), expected, rtol=1e-9)
