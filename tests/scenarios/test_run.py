"""Scenarios in an audit: controls, resuming, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from robust.errors import InputError
from robust.records import Report, Scenario
from robust.scenarios import run as scenarios
from tests.scenarios.play import run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("scenarios") / "run"
    run(out=out)
    return out


@pytest.fixture(scope="module")
def found(folder: Path) -> tuple[Scenario, ...]:
    return Report.load(folder / "report.json").scenarios


def test_every_attacker_stands_beside_a_control(found: tuple[Scenario, ...]) -> None:
    assert [one.name for one in found] == ["universal", "patch", "transfer", "queries", "queries"]
    for one in found:
        assert one.fooled.cases == one.control.cases == 40
        assert one.fooled.low <= one.fooled.value <= one.fooled.high
        assert one.failure == ""
    by_name = {one.name: one for one in found}
    for name in ("universal", "transfer", "queries"):
        assert by_name[name].fooled.value > by_name[name].control.value, name
        assert by_name[name].size == 8 / 255
    assert by_name["patch"].size == pytest.approx(0.1, abs=0.02)
    assert by_name["patch"].norm is None


def test_what_fools_the_surrogate_is_said(found: tuple[Scenario, ...]) -> None:
    transfer = next(one for one in found if one.name == "transfer")
    assert transfer.surrogate_fooled is not None
    assert transfer.surrogate_fooled.low > transfer.control.high
    assert all(one.surrogate_fooled is None for one in found if one.name != "transfer")


def test_more_questions_find_more(found: tuple[Scenario, ...]) -> None:
    few, many = (one for one in found if one.name == "queries")
    assert (few.budget, many.budget) == (30, 150)
    assert few.fooled.value < many.fooled.value


@pytest.mark.slow
def test_a_run_that_is_cut_short_ends_with_the_same_figures(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut before the third attacker; what was through is not played again."""
    played: list[str] = []
    names = ("universal", "patch", "transfer", "decision_based")

    def follow(stop: str) -> None:
        for name in names:
            real = getattr(scenarios, name)

            def play(*arguments: Any, name: str = name, real: Any = real) -> Any:
                played.append(name)
                if name == stop:
                    raise KeyboardInterrupt
                return real(*arguments)

            monkeypatch.setattr(scenarios, name, play)

    follow("transfer")
    with pytest.raises(KeyboardInterrupt):
        run(out=tmp_path / "cut")
    assert played == ["universal", "patch", "transfer"]
    monkeypatch.undo()
    played.clear()
    follow("")
    run(out=tmp_path / "cut")
    assert played == ["transfer", "decision_based"]
    one, two = (json.loads((f / "report.json").read_text()) for f in (folder, tmp_path / "cut"))
    assert one["scenarios"] == two["scenarios"]


@pytest.mark.parametrize(
    "table", [{"patch": [1.5]}, {"universal": [0]}, {"queries": [0]}, {"cases": 0}, {"patches": []}]
)
def test_a_wrong_plan_is_refused(table: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="scenarios"):
        run(surrogate=None, scenarios=table)


def test_nobody_plays_where_nothing_was_asked_for() -> None:
    assert run(surrogate=None, scenarios={}).scenarios == ()
