"""Names that are read from sources are those that the libraries register."""

from __future__ import annotations

import pytest

from robust.models import list_models
from robust.plan.architecture_names import architecture_names


@pytest.mark.parametrize("pattern", ["*", "resnet*", "nothing*"])
def test_the_names_are_those_of_the_libraries(pattern: str) -> None:
    found, known = architecture_names(pattern), list_models(pattern)
    assert {k: set(v) for k, v in found.items()} == {k: set(v) for k, v in known.items()}
    if pattern == "resnet*":
        names = found["torchvision"]
        assert names.index("resnet50") < names.index("resnet101")
