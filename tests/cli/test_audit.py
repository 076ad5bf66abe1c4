"""`robust audit`: options become fields of the plan."""

from __future__ import annotations

from pathlib import Path

from robust.cli.audit import as_detectors
from robust.cli.plan_options.overrides import plan_from
from tests.cli.commands import write_plan


def test_detectors_named_on_the_command_line() -> None:
    write_plan(top="")
    path = Path("plan.toml")
    path.write_text(path.read_text() + '\n[[detectors]]\nname = "Energy"\n', encoding="utf-8")

    def names(*wanted: str) -> list[str]:
        return [
            spec.name
            for spec in plan_from(
                path, {"detectors": as_detectors("--detector", list(wanted))} if wanted else {}
            ).detectors
        ]

    assert names() == ["Energy"]
    assert names("LID", "MaxSoftmax") == ["LID", "MaxSoftmax"]
    assert len(names("all")) == 9 and "BayesianUncertainty" not in names("all")
    assert sorted(names("all", "BayesianUncertainty", "LID")) == sorted(
        [*names("all"), "BayesianUncertainty"]
    )
