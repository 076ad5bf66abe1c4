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
    counted,
    curve_table,
    detector_counts,
    detector_table,
    doubt_table,
    levels,
    take,
    told,
)
from robust.records import Estimate
from robust.records.sweep import SweepAxis, SweepMember, SweepNumber, SweepReport
from robust.report.sweeps import write_sweep
from robust.sweeps.grid import members_of
from robust.sweeps.spec import load_sweep

FILES = Path(__file__).parent / "sweeps"
COUNTS = {"chest": 9, "fundus": 12, "dermoscopy": 6, "capacity": 12, "architectures": 15}


@pytest.mark.parametrize("name", SWEEPS)
def test_members(name: str) -> None:
    members = members_of(load_sweep(FILES / f"{name}.toml"))
    assert len(members) == COUNTS[name]
    pixels = 64 if name == "capacity" else 128
    for member in members:
        assert member.recipe is not None and member.recipe.data is not None
        assert member.recipe.network.size == member.recipe.data.size == pixels
        assert member.recipe.training.seed == int(member.levels["seed"])
        pretrained = name == "architectures" or member.levels.get("start") == "pretrained"
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
    axes = (SweepAxis("start", ("pretrained", "random")), SweepAxis("seed", ("0", "1")))
    members = tuple(
        SweepMember(
            f"{one}, seed {seed}",
            {"start": one, "seed": seed},
            f"runs/{one}",
            flags=() if why or seed == "1" else ("more steps still help",),
            why_not=why,
        )
        for one, seed, why in (
            *(("pretrained", seed, "") for seed in "01"),
            ("random", "0", "not finished yet"),
        )
    )

    def number(measure: str, condition: str, value: float, low: float, high: float) -> SweepNumber:
        estimate = Estimate(value, low, high, 300, 290)
        return SweepNumber("pretrained, seed 0", measure, condition, estimate)

    def other(measure: str, condition: str, value: float, low: float, high: float) -> SweepNumber:
        estimate = Estimate(value, low, high, 200, 190)
        return SweepNumber("pretrained, seed 1", measure, condition, estimate)

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
            other("clean accuracy", "clean", 0.8, 0.76, 0.84),
            other(robust, "PGD, L∞ 1/255", 0.05, 0.02, 0.08),
            other(robust, "FGSM, L∞ 1/255", 0.06, 0.03, 0.1),
            other(detector, "LID fitted on PGD 1/255, PGD, L∞ 1/255", 0.99, 0.985, 1.0),
        ),
    )


def test_tables_show_what_was_run_and_name_what_was_not(tmp_path: Path) -> None:
    (tmp_path / "out" / "chest").mkdir(parents=True)
    made().save(tmp_path / "out" / "chest")
    write_sweep(made(), tmp_path / "out" / "chest", "csv")
    sweeps = take(tmp_path / "out", tmp_path / "results")
    assert [sweep.name for sweep in sweeps] == ["chest"]
    assert take(tmp_path / "gone", tmp_path / "results") == sweeps
    assert told(sweeps) == "- chest: 2 of 3 were run. Not run: random, seed 0."
    row = attack_table(sweeps).splitlines()[-1]
    assert "| chest, pretrained | 90.0, 80.0 [76.0, 93.0] |" in row
    assert "| 300, 200 | 20.0, 6.0 [3.0, 25.0] | –, – |" in row  # noqa: RUF001
    assert row.endswith("| 1 not told apart, 1 does not hold | 1 yes, 1 not shown |")
    assert "random" not in attack_table(sweeps)
    assert "| 0.5, – [0.1, 2.0] |" in curve_table(sweeps)  # noqa: RUF001
    lid = ".900, .990 [.880, 1.000] (1 above, 1 below)"
    assert f"| chest, pretrained | –, – | {lid} | –, – |" in detector_table(sweeps)  # noqa: RUF001
    assert detector_table(sweeps).endswith("Null controls: 0.500 to 0.500.")
    assert "| chest, pretrained | more steps still help: 1 of 2 |" in doubt_table(sweeps)
    assert "| pretrained, 2 networks | 0 / 0 | 1 / 1 | 0 / 0 |" in detector_counts(sweeps)


def test_verdicts_need_the_whole_interval() -> None:
    few = Estimate(0.0, 0.0, 0.012, 300, 300)
    assert below(few, 0.02) == "holds" and below(few, 0.01) == "not told apart"
    assert below(Estimate(0.05, 0.02, 0.08, 300, 300), 0.01) == "does not hold"
    assert above(Estimate(0.99, 0.985, 1.0, 300, 300), 0.98) == "holds"
    assert below(None, 0.01) == above(None, 0.98) == "not told apart"
    assert apart(Estimate(0.3, 0.2, 0.4, 9, 9), few) and not apart(few, few)
    assert counted(["yes", "yes"]) == "yes" and counted(["no", "yes", "yes"]) == "1 no, 2 yes"
    (level,) = levels([Sweep("chest", made())], ["chest"])
    assert [member.levels["seed"] for member in level.members] == ["0", "1"]
    assert level.robust("BIM, L∞ 1/255") == [None, None]
