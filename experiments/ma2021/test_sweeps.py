"""The sweeps of the reproduction have the members that RESULTS.md tells of, and their tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.ma2021.sweep_tables import (
    SWEEPS,
    Sweep,
    above,
    apart,
    attack_table,
    below,
    curve_table,
    detector_table,
    take,
    told,
)
from robust.records import Estimate
from robust.records.sweep import SweepAxis, SweepMember, SweepNumber, SweepReport
from robust.report.sweeps import write_sweep
from robust.sweeps.grid import members_of
from robust.sweeps.spec import load_sweep

FILES = Path(__file__).parent / "sweeps"
COUNTS = {"chest": 9, "fundus": 12, "dermoscopy": 6, "capacity": 12}


@pytest.mark.parametrize("name", SWEEPS)
def test_members(name: str) -> None:
    members = members_of(load_sweep(FILES / f"{name}.toml"))
    assert len(members) == COUNTS[name]
    pixels = 64 if name == "capacity" else 128
    for member in members:
        assert member.recipe is not None and member.recipe.data is not None
        assert member.recipe.network.size == member.recipe.data.size == pixels
        assert member.recipe.training.seed == int(member.levels["seed"])
        pretrained = member.levels.get("start") == "pretrained"
        assert (member.recipe.network.weights is not None) == pretrained
        assert member.recipe.network.pretrained == pretrained
        assert member.plan.report.gallery == 0
        data = member.plan.data
        assert data is not None and data.limit is not None and data.limit >= 300
        assert data.split == "test" and data.where == member.recipe.data.where
    assert len({member.training for member in members}) == len(members)


@pytest.mark.parametrize("name", ["chest", "fundus", "dermoscopy"])
def test_attacks_are_the_papers(name: str) -> None:
    plan = members_of(load_sweep(FILES / f"{name}.toml"))[0].plan
    own = {spec.label or spec.name: spec for spec in plan.attacks}
    assert plan.audit.eps == (1 / 255,) and plan.audit.cells == "exact"
    for label, step in (("BIM", 0.05), ("PGD", 0.1), ("CW", 0.1)):
        assert own[label].fields()["steps"] == 20 and own[label].fields()["step_size"] == step
        assert own[label].cells is None
    assert ("AutoAttack" in own) == (name == "chest")
    assert plan.detection.fit_on == ("PGD",) and plan.detection.adaptive == 0


def made() -> SweepReport:
    """Two members, of which one was run: 3 of 300 left by PGD, 60 by FGSM."""
    axes = (SweepAxis("start", ("pretrained", "random")),)
    members = tuple(
        SweepMember(one, {"start": one}, f"runs/{one}", why_not=why)
        for one, why in (("pretrained", ""), ("random", "not finished yet"))
    )

    def number(measure: str, condition: str, value: float, low: float, high: float) -> SweepNumber:
        return SweepNumber("pretrained", measure, condition, Estimate(value, low, high, 300, 290))

    robust, detector = "robust accuracy", "detector AUC"
    return SweepReport(
        "Phantom",
        axes,
        members,
        (
            number("clean accuracy", "clean", 0.9, 0.87, 0.93),
            number(robust, "PGD, L∞ 1/255", 0.01, 0.002, 0.03),
            number(robust, "FGSM, L∞ 1/255", 0.2, 0.16, 0.25),
            number(robust, "worst case, L∞ 1/255", 0.005, 0.001, 0.02),
            number(detector, "LID fitted on PGD 1/255, PGD, L∞ 1/255", 0.9, 0.88, 0.92),
            number(f"{detector}, null control", "LID fitted on PGD 1/255", 0.5, 0.45, 0.55),
        ),
    )


def test_tables_show_what_was_run_and_name_what_was_not(tmp_path: Path) -> None:
    (tmp_path / "out" / "chest").mkdir(parents=True)
    made().save(tmp_path / "out" / "chest")
    write_sweep(made(), tmp_path / "out" / "chest", "csv")
    sweeps = take(tmp_path / "out", tmp_path / "results")
    assert [sweep.name for sweep in sweeps] == ["chest"]
    assert take(tmp_path / "gone", tmp_path / "results") == sweeps
    assert told(sweeps) == "- chest: 1 of 2 were run. Not run: random."
    row = attack_table(sweeps).splitlines()[-1]
    assert "| 90.0 [87.0, 93.0] |" in row and "| 300 | 20.0 [16.0, 25.0] | – |" in row  # noqa: RUF001
    assert row.endswith("| not told apart | yes |") and "random" not in attack_table(sweeps)
    assert "| 0.5 [0.1, 2.0] |" in curve_table(sweeps)
    detected = detector_table(sweeps)
    assert "| chest, pretrained | – | .900 [.880, .920] below | – |" in detected  # noqa: RUF001
    assert detected.endswith("Null controls: 0.500 to 0.500.")


def test_verdicts_need_the_whole_interval() -> None:
    few = Estimate(0.0, 0.0, 0.012, 300, 300)
    assert below(few, 0.02) == "holds" and below(few, 0.01) == "not told apart"
    assert below(Estimate(0.05, 0.02, 0.08, 300, 300), 0.01) == "does not hold"
    assert above(Estimate(0.99, 0.985, 1.0, 300, 300), 0.98) == "holds"
    assert below(None, 0.01) == above(None, 0.98) == "not told apart"
    assert apart(Estimate(0.3, 0.2, 0.4, 9, 9), few) and not apart(few, few)
    assert Sweep("chest", made()).robust(made().members[1], "PGD, L∞ 1/255") is None
