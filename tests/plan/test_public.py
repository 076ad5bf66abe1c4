"""A plan that is handed on: no path, no filter, and a clear line where it is run with its gaps."""

import pytest

from robust.errors import InputError
from robust.plan.load import make_plan
from robust.plan.public import public_plan

PLAN = {
    "model": {"folder": "/secret/model"},
    "data": {
        "path": "/secret/in",
        "table": "secret.csv",
        "join": ["/secret/more.csv"],
        "file": "secret/{id}.png",
        "mask": ["secret/{id}_1.png", "secret/{id}_2.png"],
        "target_mask": "secret/{id}_3.png",
        "splits": {"test": "/secret/list.txt"},
        "where": 'name != "secret"',
        "group_pattern": "secret(.)",
    },
    "scenarios": {"surrogate": {"weights": "/secret/w.pth", "architecture": "resnet18"}},
}


def test_no_path_and_no_filter_is_left():
    text = public_plan(make_plan(PLAN)).model_dump_json()
    assert "secret" not in text and "resnet18" in text


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("path", "--data"),
        ("table", "--table"),
        ("join", "--join"),
        ("file", "--file-column"),
        ("mask", "--mask"),
        ("target_mask", "--target-mask"),
        ("splits", "--splits"),
        ("where", "--where"),
        ("group_pattern", "--group-pattern"),
    ],
)
def test_a_gap_is_named_with_its_remedy(name: str, option: str):
    data = public_plan(make_plan(PLAN)).data
    assert data is not None
    filled = {
        "path": "in",
        "table": ("a.csv",),
        "join": ("b.csv",),
        "file": "{id}.png",
        "mask": ("{id}_1.png", "{id}_2.png"),
        "target_mask": "{id}_3.png",
        "splits": {"test": "list.txt"},
        "where": "a == 1",
        "group_pattern": "p(.)",
    }
    del filled[name]
    with pytest.raises(InputError, match=rf"does not say its \[data\] {name}.*{option}"):
        data.model_copy(update=filled).options()


def test_synthetic_images_have_no_gap():
    plan = make_plan({"data": {"path": "phantom:fundus", "count": 4}})
    data = public_plan(plan).data
    assert data is not None and data == plan.data and data.options()["count"] == 4


def test_columns_and_shares_stay_and_change_what_is_run():
    data = {"path": "in", "file": "Image Index", "splits": {"train": 0.5, "test": 0.5}}
    kept = public_plan(make_plan({"data": data})).data
    assert kept is not None and kept.file == "Image Index" and kept.splits == data["splits"]


def test_a_tilde_is_the_home_folder_in_every_path(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", "/home/me")
    model = {"weights": "~/w.pth", "file": "~/m.pt", "folder": "~/trained"}
    data = {"path": "~/in", "table": ["~/a.csv", "b.csv"], "join": "~/c.csv"}
    plan = make_plan({"model": model, "data": data, "scenarios": {"surrogate": model}})
    assert plan.model is not None and plan.data is not None and plan.scenarios.surrogate is not None
    for spec in (plan.model, plan.scenarios.surrogate):
        found = [spec.weights, spec.file, spec.folder]
        assert found == ["/home/me/w.pth", "/home/me/m.pt", "/home/me/trained"]
    assert plan.data.path == "/home/me/in" and plan.data.join == ("/home/me/c.csv",)
    assert plan.data.table == ("/home/me/a.csv", "b.csv")
