"""A sweep from its grid to its report: trained once, resumed, refused, shared by processes."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from robust.engine.database.connection import lock
from robust.errors import InputError
from robust.plan.machines import SlurmJobs
from robust.records.sweep import SWEEP, SweepReport
from robust.sweeps import run as module
from robust.sweeps.grid import members_of
from robust.sweeps.run import LOCKS, SweepSettings, run_sweep, sweep_of_runs
from tests.sweeps.grids import PLAN, SEEDS, SIZES, sweep

CPU = SweepSettings(device="cpu")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A sweep of two audits of one training, which was interrupted after the first audit."""
    out = tmp_path_factory.mktemp("sweeps") / "eps"
    lines: list[str] = []
    settings = dataclasses.replace(CPU, announce=lines.append)
    audits: list[str] = []

    def killed(*args: Any, **kwargs: Any) -> Any:
        audits.append("")
        if len(audits) == 2:
            raise KeyboardInterrupt
        return real(*args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        real = module.audit_plan
        patch.setattr(module, "audit_plan", killed)
        with pytest.raises(KeyboardInterrupt):
            run_sweep(sweep(SIZES), out, settings)
    halfway = SweepReport.load(out)
    assert [member.why_not for member in halfway.members] == ["", "not finished yet"]
    run_sweep(sweep(SIZES), out, settings)
    return out, lines


def test_a_shared_model_is_trained_once(done: tuple[Path, list[str]]) -> None:
    out, lines = done
    assert sum(line.startswith("Training") for line in lines) == 1
    assert len(list((out / "models").iterdir())) == 1
    report = SweepReport.load(out)
    assert {(m.training, m.train_images) for m in report.members} == {
        (f"models/{next((out / 'models').iterdir()).name}", 12)
    }


def test_numbers_are_those_of_the_reports(done: tuple[Path, list[str]]) -> None:
    from robust.report import read_report

    out, _ = done
    report = SweepReport.load(out)
    for member in report.members:
        own = read_report(out / member.run)
        found = {n.measure: n.estimate for n in report.numbers if n.member == member.name}
        assert found["clean accuracy"] == own.clean.scores.accuracy
        assert found["AUC"] == own.clean.scores.auc
        if own.worst.scores.accuracy is not None:
            assert found["accuracy under attack"] == own.worst.scores.accuracy


def test_the_clean_cases_of_one_model_are_equal(done: tuple[Path, list[str]]) -> None:
    differences = SweepReport.load(done[0]).differences
    (clean,) = [d for d in differences if d.measure == "clean accuracy"]
    assert clean.equal
    assert clean.difference is not None and clean.difference.value == 0
    other = [d for d in differences if d.condition != "clean"]
    assert all(d.why_not == "only one of them has this number" for d in other)


def test_the_same_sweep_again_changes_no_byte(done: tuple[Path, list[str]]) -> None:
    out, _ = done
    before = (out / SWEEP).read_bytes()
    run_sweep(sweep(SIZES), out, CPU)
    assert (out / SWEEP).read_bytes() == before


def test_the_page_has_what_another_process_finished_meanwhile(
    done: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the comparison, and while it was made: the last page that is written has every member."""
    out, _ = done
    members = members_of(sweep(SIZES))
    own, other = (member.run_folder(out) for member in members)
    hidden, complete = other.with_name("elsewhere"), (out / SWEEP).read_bytes()
    other.rename(hidden)
    seen: list[int] = []

    def finished_meanwhile(analysis: Any) -> SweepReport:
        seen.append(len(analysis.reports))
        if hidden.exists():
            hidden.rename(other)
        return real(analysis)

    real = module.analyse
    monkeypatch.setattr(module, "analyse", finished_meanwhile)
    run_sweep(sweep(SIZES), out, dataclasses.replace(CPU, only={"eps": [members[0].levels["eps"]]}))
    assert seen == [1, 2] and own.exists()
    assert (out / SWEEP).read_bytes() == complete


def test_another_plan_is_refused(done: tuple[Path, list[str]]) -> None:
    changed = sweep(SIZES, plan={**PLAN, "audit": {"seed": 5}})
    with pytest.raises(InputError, match="has another plan or recipe; name a new folder"):
        run_sweep(changed, done[0], CPU)


def test_runs_side_by_side_are_a_sweep(done: tuple[Path, list[str]]) -> None:
    out, _ = done
    runs = sorted((out / "runs").iterdir())
    found = sweep_of_runs(runs)
    (axis,) = [axis for axis in found.axes if axis.name == "audit.eps"]
    assert len(axis.levels) == 2
    assert not any(str(out) in text for text in (found.to_json(),))
    assert {d.measure for d in found.differences if d.equal} >= {"clean accuracy"}
    with pytest.raises(InputError, match="is given twice"):
        sweep_of_runs([runs[0], runs[0]])


def failing(*args: Any, **kwargs: Any) -> Any:
    raise InputError("the loss is not a number; lower lr")


def test_a_member_that_fails_says_why_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "train_model", failing)
    report = run_sweep(sweep(SEEDS, SIZES), tmp_path / "out", CPU)
    assert [m.why_not for m in report.members] == ["the loss is not a number; lower lr"] * 4
    assert not report.numbers
    assert SweepReport.load(tmp_path / "out") == report


def test_what_another_process_is_at_comes_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, order = sweep(SEEDS), []
    first, second = members_of(spec)
    held = lock(tmp_path / LOCKS / first.training)

    def tried(recipe: Any, folder: Path, **kwargs: Any) -> Any:
        order.append(folder.name)
        raise InputError("no")

    monkeypatch.setattr(module, "train_model", tried)
    monkeypatch.setattr(module.time, "sleep", lambda seconds: held.release())
    run_sweep(spec, tmp_path, CPU)
    assert order == [second.training, first.training]


def test_only_leaves_the_others_for_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "train_model", failing)
    settings = dataclasses.replace(CPU, only={"seed": ["1"]})
    report = run_sweep(sweep(SEEDS), tmp_path / "out", settings)
    assert [m.why_not for m in report.members] == [
        "not finished yet",
        "the loss is not a number; lower lr",
    ]


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(InputError, match=r"holds other files \(thesis.tex\)"):
        run_sweep(sweep(SEEDS), tmp_path, CPU)


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        ({"data": {"path": "nowhere"}}, "no such folder or file: nowhere"),
        ({"network": {"architecture": "x", "weights": "gone.pth"}}, "no such weights file"),
    ],
)
def test_missing_files_are_said_before_any_work(
    recipe: dict[str, Any], said: str, tmp_path: Path
) -> None:
    from tests.sweeps.grids import RECIPE

    with pytest.raises(InputError, match=said):
        run_sweep(sweep(SEEDS, recipe={**RECIPE, **recipe}), tmp_path / "out", CPU)
    assert not (tmp_path / "out").exists()


def test_jobs_of_a_cluster_share_the_members(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("submitit")
    from robust.sweeps.slurm import sweep_on_slurm

    trained: list[str] = []

    def tried(recipe: Any, folder: Path, **kwargs: Any) -> Any:
        trained.append(folder.name)
        raise InputError("the loss is not a number; lower lr")

    monkeypatch.setattr(module, "train_model", tried)
    said: list[str] = []
    settings = dataclasses.replace(CPU, announce=said.append)
    jobs = SlurmJobs(8, {"cluster": "debug"})
    report = sweep_on_slurm(sweep(SEEDS), tmp_path / "out", jobs, settings)
    assert said[0].startswith("Submitting 2 jobs")  # no more than there are members
    assert report is not None and len(set(trained)) == 2
    assert {m.why_not for m in report.members} == {"the loss is not a number; lower lr"}
    assert not list((tmp_path / "out" / "jobs").glob("*.pkl")), "the plan may name a patient"
    refused = SlurmJobs(1, {"cluster": "kubernetes"})
    with pytest.raises(InputError, match=r"^--slurm: .*kubernetes"):
        sweep_on_slurm(sweep(SEEDS), tmp_path / "out", refused, settings)
