"""Several sets of weights in one file: chosen as the trainer would, said, or asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from robust.errors import InputError
from robust.models import load_classifier
from robust.models.checkpoints.settings import settings_note
from tests.models.nets import small, wrapped

State = dict[str, Tensor]


def states(*shifts: float) -> list[State]:
    plain = small().state_dict()
    return [{k: v + s if v.is_floating_point() else v for k, v in plain.items()} for s in shifts]


def load(path: Path, content: Any, key: str | None = None) -> tuple[State, str]:
    torch.save(content, path / "c.pth")
    found = load_classifier(
        factory="tests.models.nets:small", weights=path / "c.pth", weights_key=key
    )
    return found.network.state_dict(), "; ".join(found.origin.notes)


def same(one: State, other: State) -> bool:
    return all(torch.equal(one[name], value) for name, value in other.items())


@pytest.mark.parametrize(
    "key", ["weights", "params", "best_model", "model_weights", "generator", "a.b.c"]
)
def test_any_key_may_hold_the_weights(tmp_path: Path, key: str) -> None:
    content: Any = states(1)[0]
    for part in reversed(key.split(".")):
        content = {part: content, "epoch": 3, "loss": torch.tensor(0.5)}
    found, said = load(tmp_path, content)
    assert same(found, states(1)[0]) and said == ""


@pytest.mark.parametrize(
    ("plain", "averaged"),
    [
        ("state_dict", "state_dict_ema"),
        ("model", "model_ema"),
        ("model", "ema"),
        ("model_state_dict", "ema_state_dict"),
        ("net", "ema.shadow"),
    ],
)
def test_the_average_is_taken_as_by_timm_and_said(
    tmp_path: Path, plain: str, averaged: str
) -> None:
    last, mean = states(1, 2)
    content: Any = mean
    for part in reversed(averaged.split(".")):
        content = {part: content}
    content = {"epoch": 3, plain: last, **content}
    found, said = load(tmp_path, content)
    assert same(found, mean) and averaged in said and plain in said and "average" in said
    found, said = load(tmp_path, content, plain)
    assert same(found, last) and "average" not in said
    assert same(load(tmp_path, content, averaged)[0], mean)


def test_an_average_without_buffers_takes_those_of_the_network(tmp_path: Path) -> None:
    last, mean = states(1, 2)
    shadow = {name: mean[name] for name, _ in small().named_parameters()}
    found, said = load(tmp_path, {"model": last, "ema": {"shadow": shadow, "decay": 0.99}})
    assert same(found, {**last, **shadow}) and "lack buffers" in said


def test_averages_without_names_are_said(tmp_path: Path) -> None:
    last = states(1)[0]
    ema = {"shadow_params": list(last.values()), "decay": 0.9}
    found, said = load(tmp_path, {"model": last, "ema": ema})
    assert same(found, last) and "ema.shadow_params" in said and "not used" in said


def test_of_lightning_the_average_of_its_callback(tmp_path: Path) -> None:
    last, mean = states(1, 2)
    found, said = load(tmp_path, {"state_dict": mean, "current_model_state": last})
    assert same(found, mean) and "current_model_state" in said


@pytest.mark.parametrize("keys", [("student", "teacher"), ("last", "best"), ("model_a", "b", "c")])
def test_nothing_is_taken_where_nothing_decides(tmp_path: Path, keys: tuple[str, ...]) -> None:
    content = dict(zip(keys, states(*range(1, len(keys) + 1)), strict=True))
    listed = ", ".join(keys)
    with pytest.raises(InputError, match=f"several sets of weights that fit: {listed}; choose one"):
        load(tmp_path, content)
    for key in keys:
        assert same(load(tmp_path, content, key)[0], content[key])
    with pytest.raises(InputError, match=r"no tensors under weights_key = 'nothing'; .*there are"):
        load(tmp_path, content, "nothing")


def test_only_one_set_fits(tmp_path: Path) -> None:
    good = states(1)[0]
    other = {f"d{i}.weight": torch.zeros(3, 3) for i in range(len(good))}
    found, said = load(tmp_path, {"generator": good, "discriminator": other})
    assert same(found, good) and "discriminator" in said


def test_what_an_optimizer_keeps_is_no_set_of_weights(tmp_path: Path) -> None:
    net = small()
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.rand(2, 3, 32, 32)).sum().backward()
    optimizer.step()
    content = {"net": net.state_dict(), "optimizer": optimizer.state_dict(), "scaler": {"a": 1}}
    found, said = load(tmp_path, content)
    assert same(found, net.state_dict()) and said == ""


@pytest.mark.parametrize(("one", "other"), [("student.", "teacher."), ("nets.0.", "nets.1.")])
def test_two_networks_in_one_state_dict(tmp_path: Path, one: str, other: str) -> None:
    first, second = states(1, 2)
    content = {"state_dict": {**wrapped(first, one), **wrapped(second, other)}}
    with pytest.raises(InputError, match=r"2 networks whose names begin with .*weights_key"):
        load(tmp_path, content)
    assert same(load(tmp_path, content, one)[0], first)
    assert same(load(tmp_path, content, other.rstrip("."))[0], second)


def test_the_average_within_a_state_dict(tmp_path: Path) -> None:
    first, second = states(1, 2)
    content = {**wrapped(first, "online_model."), **wrapped(second, "ema_model."), "step": 1}
    found, said = load(tmp_path, content)
    assert same(found, second) and "ema_model." in said and "online_model." in said


def test_settings_are_a_hint_without_paths_and_sentences() -> None:
    said = settings_note(
        {
            "arch": "resnet18",
            "hyper_parameters": {
                "num_classes": 3,
                "mean": [0.5, 0.5, 0.5],
                "model": "/home/doe/net",
                "backbone": "patient Doe",
                "lr": 0.1,
            },
        }
    )
    assert "arch resnet18" in said and "num_classes 3" in said and "mean (0.5, 0.5, 0.5)" in said
    assert "doe" not in said.lower() and "lr" not in said
    assert settings_note({"hyper_parameters": {"lr": 1}}) == settings_note([1]) == ""
