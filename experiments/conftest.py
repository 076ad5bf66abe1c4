"""The experiments' tests stand beside them and share the fixtures of the others."""

from __future__ import annotations

from tests.conftest import data as data
