"""The cost is told before work begins, and stages by name, from the first to the last."""

from __future__ import annotations

from pathlib import Path

from robust.auditing import audit
from robust.auditing.cost import RunSize, cost_text, estimate
from robust.engine.cells import make_attacks, make_cells
from robust.plan.load import make_plan
from tests.engine.nets import classifier, phantoms
from tests.tasks.questions import classification


def test_the_passes_are_counted_from_the_plan() -> None:
    raw = {
        "attacks": [{"name": "FGSM"}, {"name": "PGD", "steps": 10}],
        "audit": {"eps": ["1/255", "2/255"]},
        "doubts": {"probe": False},
    }
    plan = make_plan(raw)
    cells = make_cells(plan.attacks, make_attacks(plan.attacks), plan.audit, classification(2))
    cost = estimate(plan, cells, RunSize(cases=100))
    own = sum(2 * cell.attack.passes + 6 for cell in cells)
    assert cost.passes["attacks"] == 100 * own and cost.passes["clean predictions"] == 100
    text = cost_text(cost, cells, RunSize(100))
    assert text.startswith("Cost: 100 cases x 2 attacks x 2 eps, 4 runs of an attack on all cases")
    plan = make_plan({**raw, "detectors": [{"name": "LID"}], "scenarios": {"universal": [8]}})
    more = estimate(plan, cells, RunSize(cases=100, reference=100, detectors=1, pictures=True))
    names = list(more.seconds())
    assert names.index("attacks") < names.index("evaluating detectors") < names.index("scenarios")
    assert {"adaptive attacks on detectors", "example images"} <= set(names)
    assert more.seconds(1e-2)["attacks"] > more.seconds(1e-3)["attacks"]


def test_an_audit_announces_folder_cost_time_and_every_stage(tmp_path: Path) -> None:
    said: list[str] = []
    shares: list[float] = []
    audit(
        classifier(),
        phantoms(40),
        attacks=["FGSM", "PGD"],
        eps=["2/255"],
        detectors=["MaxSoftmax"],
        reference=phantoms(40, "train"),
        detection={"adaptive": 2, "adaptive_steps": 2},
        out=tmp_path / "run",
        device="cpu",
        announce=said.append,
        progress=lambda done, total, label: shares.append(done / total),
    )
    first = said[0].splitlines()
    assert first[0] == f"Run folder: {tmp_path / 'run'}" and first[1].startswith("Cost: 40 cases")
    assert said[1].startswith("Time: about ")
    stages = [line.partition(": ")[2] for line in said[2:]]
    assert first[2] == "Stage 1 of 9: clean predictions"
    assert stages == [
        "features of clean images",
        "attacks",
        "features of control images",
        "evaluating detectors",
        "adaptive attacks on detectors",
        "probe of the model",
        "results by case, storage and intervals",
        "example images",
    ]
    assert shares == sorted(shares) and 0 <= shares[0] < shares[-1] <= 1


def test_the_cost_holds_the_passes_of_means_and_the_moves_of_a_grid() -> None:
    raw = {
        "attacks": [{"name": "PGD", "steps": 10}],
        "audit": {"eps": ["1/255"]},
        "doubts": {"probe": False},
    }
    plain, mean = (
        make_plan({**raw, "audit": {"eps": ["1/255"], **more}}) for more in ({}, {"eot": 16})
    )
    cells = make_cells(plain.attacks, make_attacks(plain.attacks), plain.audit, classification(2))
    one, many = (estimate(plan, cells, RunSize(100)).passes["attacks"] for plan in (plain, mean))
    assert many - one == 100 * 15 * 2 * cells[0].attack.passes
    turned = make_plan({**raw, "scenarios": {"spatial": {}}})
    assert estimate(turned, cells, RunSize(100)).passes["scenarios"] == 100 * 776
