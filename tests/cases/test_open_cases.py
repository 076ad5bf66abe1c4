"""`open_cases`: which reader a path gets, and options that every reader takes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from robust.cases import open_cases
from robust.errors import InputError
from tests.cases.tables import labels, write_images, write_table


def test_a_limit_spreads_evenly(tmp_path: Path) -> None:
    rows = "".join(f"{i}.png,{i // 10},{i},test\n" for i in range(30))
    write_table(tmp_path, "file,label,group,split\n" + rows)
    cases = open_cases(tmp_path, limit=6)
    assert Counter(labels(cases)) == {0: 2, 1: 2, 2: 2}
    assert len(open_cases(tmp_path, limit=500)) == 30
    assert len({case.id for case in open_cases(tmp_path, limit=29)}) == 29
    with pytest.raises(InputError, match="limit 0 selects no case"):
        open_cases(tmp_path, limit=0)


def test_what_is_nowhere_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "absent", "~nobody-of-this-name/images"):
        with pytest.raises(InputError, match="no such folder or file"):
            open_cases(path)
    write_images(tmp_path, "a.png")
    with pytest.raises(InputError, match="neither a folder of images, a table nor a MedMNIST"):
        open_cases(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"count = 8 does not apply"):
        open_cases(tmp_path, count=8, group="none")
