"""What several certificates read of one network is read once, as in an audit."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from robust.certificates.bounds.network_reading import reading_once


@pytest.fixture(scope="module")
def read_once() -> Iterator[None]:
    """For a file whose tests change none of their networks."""
    with reading_once():
        yield
