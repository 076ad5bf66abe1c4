"""What all tests share: one thread for torch, and the real data where they are."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)

DATA = Path(__file__).parent.parent.parent / "shared" / "data"


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real data beside the repository; a test that needs it is skipped without."""
    if not DATA.is_dir():
        pytest.skip("needs the real images, which are not part of the repository")
    return DATA
