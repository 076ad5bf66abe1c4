"""Shared outputs of clean images: kept across a kill, and never believed where they are damaged."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
import torch

from robust.engine.database.clean_outputs import NAME, CleanOutputs


def never() -> torch.Tensor:
    raise AssertionError("these images are known")


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_outputs_are_computed_once(tmp_path: Path, kind: torch.dtype) -> None:
    outputs = torch.randn(3, 5, dtype=kind, generator=torch.Generator().manual_seed(0))
    first = CleanOutputs(tmp_path, "one network")
    assert torch.equal(first.get(["a", "b", "c"], lambda: outputs), outputs)
    assert first.computed == 3
    again = CleanOutputs(tmp_path, "one network")
    assert torch.equal(again.get(["c", "a"], never), outputs[[2, 0]])
    assert again.get(["c", "a"], never).dtype is kind


def test_another_network_has_its_own(tmp_path: Path) -> None:
    one = torch.ones(1, 2)
    CleanOutputs(tmp_path, "one network").get(["a"], lambda: one)
    other = CleanOutputs(tmp_path, "another network")
    assert torch.equal(other.get(["a"], lambda: 2 * one), 2 * one)


def test_what_was_known_first_stays(tmp_path: Path) -> None:
    """Another batch may give other last digits: every audit uses the same."""
    shared = CleanOutputs(tmp_path, "k")
    shared.get(["a"], lambda: torch.tensor([[1.0]]))
    both = shared.get(["a", "b"], lambda: torch.tensor([[1.5], [2.0]]))
    assert both.tolist() == [[1.0], [2.0]]


@pytest.mark.parametrize("damage", ["flip", "text", "table"])
def test_a_damaged_file_costs_time_alone(tmp_path: Path, damage: str) -> None:
    outputs = torch.tensor([[1.0, 2.0]])
    CleanOutputs(tmp_path, "k").get(["a"], lambda: outputs)
    path = tmp_path / NAME
    if damage == "flip":
        content = bytearray(path.read_bytes())
        at = content.index(outputs.numpy().tobytes())
        content[at] ^= 1
        path.write_bytes(content)
    elif damage == "text":
        path.write_text("nothing")
    else:
        with sqlite3.connect(path) as database:
            database.execute("DROP TABLE outputs")
        database.close()
    shared = CleanOutputs(tmp_path, "k")
    assert torch.equal(shared.get(["a"], lambda: outputs), outputs)
    assert shared.computed == 1


def test_half_precision_is_kept_as_float32() -> None:
    shared = CleanOutputs(None, "k")
    assert shared.get(["a"], lambda: torch.ones(1, 2, dtype=torch.bfloat16)).dtype is torch.float32
