"""Every detector learns and scores on a GPU as on the CPU."""

from __future__ import annotations

import pytest
import torch

from detectors import DETECTORS
from tests.detectors.draws import draw, reference, sides, with_head
from tests.detectors.test_contract import CASES

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize(("name", "head"), CASES)
def test_the_same_scores_as_on_the_cpu(name: str, head: bool, gpu: torch.device) -> None:
    here = DETECTORS[name]().fit(reference())
    there = DETECTORS[name]().fit(reference().to(gpu))
    if head:
        here = with_head(here, *sides())
        there = with_head(there, *(side.to(gpu) for side in sides()))
    found = there.score(draw(40, 7).to(gpu))
    assert found.device.type == gpu.type
    assert torch.allclose(found.cpu(), here.score(draw(40, 7)), rtol=1e-6)
