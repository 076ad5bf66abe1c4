"""When a search may end: one that would get there never does, one that stands still far away does."""

from __future__ import annotations

import math

import pytest
import torch

from attacks._prospects import FIRST, SHARE, Prospects

BUDGET = 100


def ended(values: torch.Tensor, share: float = SHARE) -> list[int | None]:
    """After how many steps each of the searches `(steps, n)` is given up."""
    prospects, found = Prospects(BUDGET, share=share), [None] * values.shape[1]
    for step, value in enumerate(values, 1):
        for i in prospects.offer(step, value).nonzero().flatten().tolist():
            found[i] = found[i] or step
    return found


def test_a_search_that_gets_there_is_let() -> None:
    """Those that slow down: as the logarithm of steps, as a root of them, or exponentially."""
    steps = torch.arange(1, BUDGET + 1, dtype=torch.float64)
    shapes = [steps.log(), steps**0.3, steps**0.5, 1 - torch.exp(-steps / 20)]
    searches = torch.stack([shape - shape[-1] + 1e-9 for shape in shapes], 1)
    assert ended(searches) == [None] * len(shapes)


def test_a_search_that_stands_far_away_ends_at_the_first_look() -> None:
    steps = torch.arange(1, BUDGET + 1, dtype=torch.float64)
    still = -1 - torch.exp(-steps)
    assert ended(torch.stack([still, still - 5], 1)) == [FIRST, FIRST]


def test_near_the_goal_a_search_may_stand_still() -> None:
    """Until its steps become shorter."""
    still = torch.full((BUDGET, 2), -0.2)
    still[0] = torch.tensor([-1.1, -0.24])  # 0.9 and 0.04 of progress, 0.2 to go
    assert ended(still) == [None, FIRST]
    assert ended(still, share=0.0) == [FIRST, FIRST]


@pytest.mark.parametrize("nothing", [-math.inf, math.nan])
def test_what_has_no_value_yet_goes_on(nothing: float) -> None:
    values = torch.full((BUDGET, 1), nothing)
    assert ended(values) == [None]
    values[70:] = -0.1  # found late: nothing is known of its progress before
    assert ended(values) == [None]


def test_the_rest_goes_on_as_it_was() -> None:
    steps = torch.arange(1, BUDGET + 1, dtype=torch.float64)[:, None]
    values = (
        torch.tensor([-1, -1, -1, -1, -1, -0.1])
        - torch.tensor([9, 4, 0.1, 3, 0.2, 9]) / steps.sqrt()
    )
    alone = ended(values[:, 1:])
    prospects, kept = Prospects(BUDGET), torch.arange(6) > 0
    found: list[int | None] = [None] * 5
    for step, value in enumerate(values, 1):
        hopeless = prospects.offer(step, value if step <= 10 else value[kept])
        if step == 10:
            prospects.take(kept)
        if step > 10:
            for i in hopeless.nonzero().flatten().tolist():
                found[i] = found[i] or step
    assert found == alone
    assert any(found) and not all(found)
