"""The plans of this folder: they load, and both vessel networks are audited from end to end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from experiments.segmentation.orderings import by_attack, by_size, lower_in, outcomes_of, thirds
from experiments.segmentation.runs import PLANS
from experiments.segmentation.tables import cases, structures
from robust.auditing import audit_plan
from robust.plan.load import load_plan, make_plan, read_plan

FOLDER = Path(__file__).parent


@pytest.mark.parametrize("name", PLANS)
def test_a_plan_names_itself_and_shows_no_image(name: str) -> None:
    path = FOLDER / f"{name}.toml"
    plan = load_plan(path)
    assert plan.report.gallery == 0 and plan.data is not None and plan.data.split == "test"
    command = f"# robust audit experiments/segmentation/{name}.toml --out runs/segmentation/{name}"
    assert path.read_text(encoding="utf-8").splitlines()[0] == command


def test_the_groups_in_which_an_attack_does_more_harm() -> None:
    groups = np.array(["a", "a", "b", "c"])
    assert lower_in(np.array([-0.3, 0.2, 0.1, 0.0]), groups) == (1, 3)


def test_the_smallest_and_the_largest_third_leave_out_what_is_not_there() -> None:
    small, large = thirds(np.array([0.0, 5, 1, 3, 2, 6, 4]))
    assert small.tolist() == [False, False, True, False, True, False, False]
    assert large.tolist() == [False, True, False, False, False, True, False]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "least"), [("m2unet", 0.7), ("lwnet", 0.68)])
def test_a_vessel_network_is_audited_from_end_to_end(
    name: str, least: float, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not (data / "models_more" / "segmentation").is_dir():
        pytest.skip("needs the published vessel networks, which are not part of the repository")
    monkeypatch.chdir(FOLDER.parent.parent)
    raw = read_plan(FOLDER / f"{name}.toml")
    raw["data"]["limit"], raw["audit"]["eps"] = 2, ["1/255"]
    raw["attacks"] = [{"name": "Noise"}, {"name": "FGSM"}]
    report = audit_plan(make_plan(raw, name), out=tmp_path, device="cpu")
    clean, noise, fgsm = (row.scores.dice for row in (report.clean, *report.rows))
    assert clean is not None and noise is not None and fgsm is not None
    assert least < clean.value < 0.8 and clean.low is None
    assert abs(noise.value - clean.value) < 0.01 and fgsm.value < clean.value - 0.05
    of_cases, of_structures = list(cases({name: report})), list(structures({name: report}))
    assert [row[5] for row in of_cases[:3]] == [clean.value, noise.value, fgsm.value]
    assert [row[5] for row in of_structures[:3]] == [clean.value, noise.value, fgsm.value]

    found = outcomes_of(tmp_path, report)
    (row,) = by_attack(name, found)
    assert row[:6] == [name, "Noise", "FGSM", "1", 2, row[5]]
    assert row[6] == row[5] and row[8] is None  # worse in every group, of which there are too few
    assert row[7] == pytest.approx(fgsm.value - noise.value, abs=1e-8)
    assert list(by_size(name, found, report.task.structures)) == []
