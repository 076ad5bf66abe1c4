"""Cases that do not fit what they are used with are refused, and the message says what and where."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from robust.cases import Cases, open_cases
from robust.cases.consistency import check_no_shared_groups, check_outputs
from robust.errors import InputError


def phantoms(split: str) -> Cases:
    return open_cases("phantom:chest_xray", split=split, count=8, pixels=28)


def test_a_group_on_both_sides_is_named() -> None:
    train, test = phantoms("train"), phantoms("test")
    check_no_shared_groups(train, test, ("train", "test"))
    entries = (dataclasses.replace(test.entries[0], group=train.entries[0].group),)
    mixed = dataclasses.replace(test, entries=entries + test.entries[1:])
    group = train.entries[0].group
    with pytest.raises(InputError, match=rf"1 group is in both train and test \({group} first\)"):
        check_no_shared_groups(train, mixed, ("train", "test"))
    with pytest.raises(InputError, match="4 groups are in both"):
        check_no_shared_groups(train, train, ("a", "b"))


def test_outputs_fit_the_classes_and_are_finite() -> None:
    check_outputs(torch.zeros(3, 2), ("normal", "opacity"))
    with pytest.raises(
        InputError, match=r"the model has 3 outputs, the data 2 classes \(normal, opacity\)"
    ):
        check_outputs(torch.zeros(3, 3), ("normal", "opacity"))
    with pytest.raises(
        InputError, match="the surrogate has 3 outputs, the data 2 classes; it must"
    ):
        check_outputs(torch.zeros(3, 3), 2, model="the surrogate", remedy="it must answer the same")
    ages = [str(age) for age in range(40)]
    with pytest.raises(InputError, match=r"the data 40 classes \(0, 1, .*, 11, \.\.\.\); "):
        check_outputs(torch.zeros(3, 3), ages)
    bad = torch.tensor([[0.0, 1.0], [torch.nan, 0.0], [0.0, torch.inf]])
    with pytest.raises(InputError, match="NaN or infinite logits on 2 of 3 images, b first"):
        check_outputs(bad, 2, ids=["a", "b", "c"])
