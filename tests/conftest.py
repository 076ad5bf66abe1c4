"""What all tests share: one thread for torch, phantoms drawn once, and the real data if any."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import pytest
import torch

from robust.cases.phantoms import cases as phantom_cases

torch.set_num_threads(1)

# The same few hundred phantoms are read by audit after audit; to draw one takes longer than to
# attack it. tests/cases/phantoms/test_cases.py draws its own.
phantom_cases.phantom = lru_cache(maxsize=8192)(phantom_cases.phantom)

DATA = Path(__file__).parent.parent.parent / "shared" / "data"


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real data beside the repository; a test that needs it is skipped without."""
    if not DATA.is_dir():
        pytest.skip("needs the real images, which are not part of the repository")
    return DATA
