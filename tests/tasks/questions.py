"""Tasks for tests: classification with so many classes."""

from __future__ import annotations

from robust.tasks.classification import Classification


def classification(classes: int) -> Classification:
    """Any error, among classes without names of their own."""
    return Classification("error", (), None, tuple(f"class {k}" for k in range(classes)))
