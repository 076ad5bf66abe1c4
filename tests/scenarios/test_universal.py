"""Universal perturbations: nothing is claimed from too few images."""

from __future__ import annotations

from robust.scenarios.universal import universal
from tests.scenarios.play import holdout


def test_where_a_half_has_fewer_images_than_asked_for_nothing_is_claimed() -> None:
    split = holdout()
    assert universal(split, 39) is None
