"""`robust.audit` on what people hold in Python, and what it says where they hold something else."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import robust
from robust.errors import InputError
from robust.models.class_order import matched
from tests.toys import linear

X = torch.rand(12, 1, 8, 8, generator=torch.Generator().manual_seed(0))
MODEL = linear()[0].float()
Y = MODEL(X).argmax(1)
OPTIONS: dict[str, Any] = {
    "attacks": ["FGSM"],
    "eps": ["1/255"],
    "doubts": {"probe": False},
    "device": "cpu",
}


def test_tensors_loaders_and_lists_are_audited_alike() -> None:
    made = robust.Classifier(MODEL, channels=1, head="softmax")
    reports = [
        robust.audit(made, given, **OPTIONS)
        for given in (
            (X, Y),
            DataLoader(TensorDataset(X, Y), batch_size=5),
            list(zip(X, Y, strict=True)),
            robust.cases_from(X, Y),
        )
    ]
    assert {report.data.cases for report in reports} == {12}
    assert all(report.clean.scores.accuracy.value == 1 for report in reports)
    assert len({report.data.index_sha256 for report in reports}) == 1
    assert [flag.name for flag in reports[0].flags].count("no groups") == 1
    grouped = robust.audit(made, (X, Y, [i // 2 for i in range(12)]), **OPTIONS)
    assert (grouped.data.groups, grouped.data.grouped) == (6, True)


def test_outputs_are_matched_by_name_as_a_plan_does() -> None:
    cases = robust.cases_from(X, 1 - Y, classes=("a", "b"))
    made = robust.Classifier(MODEL, channels=1, head="softmax", output_names=("b", "a"))
    report = robust.audit(made, cases, **OPTIONS)
    assert report.clean.scores.accuracy.value == 1
    assert report.model.class_order == (1, 0)
    assert made.class_order is None and not made.origin.notes
    found = made
    for _ in range(2):  # what was matched before stays so, and is said once
        found = matched(found, cases.classes)
    assert found.class_order == (1, 0) and len(found.origin.notes) == 1


def test_a_finding_is_no_class_of_its_own() -> None:
    made = robust.Classifier(MODEL, channels=1, finding=0, output_names=("b", "a"))
    assert matched(made, ("a", "b")).class_order is None


@pytest.mark.parametrize(
    ("classifier", "cases", "said"),
    [
        (True, "folder", r"folder is a path, .*robust\.open_cases\('folder'"),
        (True, X, "labels are missing"),
        (True, None, "NoneType holds no cases"),
        (False, (X, Y), r"a Linear is no classifier: .*robust\.Classifier\(network"),
        (None, (X, Y), r"a NoneType is no classifier: robust\.load_classifier"),
    ],
)
def test_what_cannot_be_audited_is_said_in_one_line(
    classifier: bool | None, cases: Any, said: str
) -> None:
    made = {True: robust.Classifier(MODEL, channels=1), False: MODEL, None: None}[classifier]
    with pytest.raises(InputError, match=said):
        robust.audit(made, cases, **OPTIONS)  # type: ignore[arg-type]
