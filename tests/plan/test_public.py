"""A plan that is handed on: no path, no filter, and a clear line where it is run with its gaps."""

import pytest

from robust.errors import InputError
from robust.plan.load import make_plan
from robust.plan.public import public_plan

PLAN = {
    "model": {"folder": "/secret/model"},
    "data": {"path": "/secret/in", "where": 'name != "secret"', "group_pattern": "secret(.)"},
    "scenarios": {"surrogate": {"weights": "/secret/w.pth", "architecture": "resnet18"}},
}


def test_no_path_and_no_filter_is_left():
    text = public_plan(make_plan(PLAN)).model_dump_json()
    assert "secret" not in text and "resnet18" in text


@pytest.mark.parametrize(
    ("name", "option"),
    [("path", "--data"), ("where", "--where"), ("group_pattern", "--group-pattern")],
)
def test_a_gap_is_named_with_its_remedy(name: str, option: str):
    data = public_plan(make_plan(PLAN)).data
    assert data is not None
    filled = {"path": "in", "where": "a == 1", "group_pattern": "p(.)"}
    del filled[name]
    with pytest.raises(InputError, match=rf"does not say its \[data\] {name}.*{option}"):
        data.model_copy(update=filled).options()


def test_synthetic_images_have_no_gap():
    plan = make_plan({"data": {"path": "phantom:fundus", "count": 4}})
    data = public_plan(plan).data
    assert data is not None and data == plan.data and data.options()["count"] == 4
