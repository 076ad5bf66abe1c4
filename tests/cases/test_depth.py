"""`depth`: values of 12 bits in files of 16 are shown as a viewer that knows it shows them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from robust.cases import open_cases
from robust.cases.stored_pixels import Stored
from robust.errors import InputError
from tests.cases.tables import write_images

LEVELS = np.arange(64, dtype=np.uint16).reshape(8, 8) * 65


def write_deep(root: Path) -> Path:
    for name in ("ill/1.png", "well/2.tif"):
        (root / name).parent.mkdir(exist_ok=True)
        Image.fromarray(LEVELS).save(root / name)
    return root


def test_values_are_shown_over_their_own_range(tmp_path: Path) -> None:
    write_deep(tmp_path)
    plain = open_cases(tmp_path, group="none")
    deep = open_cases(tmp_path, group="none", depth=12)
    for case in deep:
        assert torch.equal(case.image[0], torch.from_numpy(LEVELS.astype(np.float32)) / 4095)
        assert (case.stored, case.stored.levels) == (Stored(12), 4095)
        np.testing.assert_array_equal(case.stored.pixels(case.image), LEVELS)
    assert float(plain[0].image.max()) < 0.07
    assert plain.fingerprint() != deep.fingerprint(), "another reading is another run"


def test_a_depth_that_does_not_fit_the_files_is_refused(tmp_path: Path) -> None:
    write_deep(tmp_path)
    with pytest.raises(InputError, match=r"1\.png holds the value 4095, more than depth = 10"):
        open_cases(tmp_path, group="none", depth=10)[0]
    write_images(tmp_path, "ill/0.png")
    with pytest.raises(InputError, match=r"0\.png has 8 bits a value, \[data\] depth = 12"):
        open_cases(tmp_path, group="none", depth=12)[0]
    for odd in (0, 17, -3):
        with pytest.raises(InputError, match="depth must be 1 to 16 bits"):
            open_cases(tmp_path, group="none", depth=odd)
