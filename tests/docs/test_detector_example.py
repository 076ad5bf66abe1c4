"""The detector that the site shows detects, in the whole demonstration.

The other examples run in a small one, for as long as their module runs.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from robust.demo import write_demo
from tests.docs.conftest import call
from tests.docs.pages import blocks


@pytest.mark.slow
def test_the_detector_of_the_site_detects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The line that the page on detectors in use prints is the one that comes out."""
    monkeypatch.chdir(tmp_path)
    write_demo(Path("demo-report"), "chest_xray", 200)
    printed = re.compile(r"^(\d+) of (\d+) images flagged; ", re.MULTILINE)
    for block in blocks("console", "slow"):
        if not (shown := printed.search(block.text)):
            continue
        capfd.readouterr()
        for command in block.commands():
            call(command)
        found = printed.search(capfd.readouterr().err)
        assert found is not None
        flagged, images = (abs(int(a) - int(b)) for a, b in zip(shown.groups(), found.groups()))
        assert flagged <= 2 and images <= 1, found.group()
        assert int(found[1]) > int(found[2]) / 2
        break
    else:
        raise AssertionError("no page shows a detector that detects")
