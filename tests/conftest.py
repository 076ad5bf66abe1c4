"""What all tests share: one thread for torch, phantoms drawn once, and the real data if any."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import random
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from robust.cases.duplicates import search
from robust.cases.phantoms import cases as phantom_cases
from tests.warm import Warm, warm

torch.set_num_threads(1)

# The same few hundred phantoms are read by audit after audit; to draw one takes longer than to
# attack it. tests/cases/phantoms/test_cases.py draws its own.
phantom_cases.phantom = lru_cache(maxsize=8192)(phantom_cases.phantom)

# So are they compared with each other; tests/cases/duplicates compares pictures of its own.
_same_picture, _compared = search._same_picture, dict[bytes, Any]()


def _same_picture_once(first: Any, second: Any) -> Any:
    pairs = hashlib.sha256()
    for part in (first.places, first.thumbnails, second.places, second.thumbnails):
        pairs.update(part.tobytes())
    key = pairs.digest()
    if key not in _compared:
        _compared[key] = _same_picture(first, second)
    return _compared[key]


search._same_picture = _same_picture_once

# absl, which Keras and TensorBoard import, holds the stderr under which it was imported, and closes
# it as soon as a library sets up logging while stderr is another. Here that would be the file into
# which pytest captures, and every later test would fail. The stderr of the process it leaves open.
if importlib.util.find_spec("absl") is not None:
    handler = importlib.import_module("absl.logging").get_absl_handler().python_handler
    handler.stream = sys.__stderr__


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """What a test draws without a generator of its own depends on no test before it."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


DATA = Path(__file__).parent.parent.parent / "shared" / "data"


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real data beside the repository; a test that needs it is skipped without."""
    if not DATA.is_dir():
        pytest.skip("needs the real images, which are not part of the repository")
    return DATA


@pytest.fixture(scope="session")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warm]:
    """The command line in processes of their own, which start at once."""
    with warm(tmp_path_factory.mktemp("commands")) as process:
        yield process
