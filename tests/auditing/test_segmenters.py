"""Whole audits of segmenters: images and volumes, killed, cut, resumed, from Python and a plan."""

from __future__ import annotations

import csv
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from attacks import PGD, ALMAProx
from robust.auditing import audit, audit_plan, audit_shard, merge_shards, unfinished_report
from robust.auditing.request import RunSettings
from robust.cases import Cases
from robust.errors import InputError
from robust.models import Segmenter
from robust.plan.load import load_plan
from robust.plan.machines import Shard, WorkerChoice
from robust.plan.spec import Plan
from robust.records import Report
from tests.tasks.drawn import drawn, pointwise

BRIEF: dict[str, Any] = {"doubts": {"probe": False}, "gallery": 0, "device": "cpu"}
EPS = [0.06, 0.12, 0.16]
PLAN = """
title = "Organs"
[model]
factory = "tests.tasks.drawn:bright_organ"
head = "softmax"
channels = 1
window = [8, 16, 16]
[data]
path = "phantom:organ"
count = 6
pixels = 28
[segmentation]
dice = 0.6
drop = 0.5
tolerance = 2.0
structures = ["organ"]
[audit]
norm = "L2-slice"
eps = [0.5, 2.0]
chunk = 2
[[attacks]]
name = "FGSM"
[[attacks]]
name = "PGD"
steps = 3
[doubts]
probe = false
[report]
gallery = 1
"""


def run(out: Path | None = None, model: Segmenter | None = None, **changes: Any) -> Report:
    """FGSM, PGD and noise on eight drawn images."""
    cases = changes.pop("cases", None)
    settings = {"attacks": ["Noise", "FGSM", "PGD"], "eps": EPS, "chunk": 4, **BRIEF, **changes}
    return audit(model or pointwise(blur=True), cases or drawn(), out=out, **settings)


def bare(folder: Path) -> tuple[str, dict[str, bytes]]:
    """report.json without the timings, the table and the pictures."""
    report = json.loads((folder / "report.json").read_text("utf-8"))
    del report["timings"]
    files = [folder / "outcomes.csv", *sorted((folder / "gallery").glob("*"))]
    return json.dumps(report), {path.name: path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that nobody disturbed."""
    out = tmp_path_factory.mktemp("calm") / "run"
    run(out, gallery=2)
    return out


def test_the_numbers_of_a_run_belong_together(calm: Path) -> None:
    report = Report.load(calm / "report.json")
    assert report.task.structures == ("organ", "lesion") and report.clean.scores.dice is not None
    dice = [row.scores.dice.value for row in report.worst_cases if row.scores.dice]
    assert dice == sorted(dice, reverse=True) and dice[0] > 0.75 > 0.3 > dice[-1]
    for row in report.rows:
        kept, success = row.scores.robust_accuracy, row.scores.success
        assert kept is not None and success is not None
        assert kept.value == pytest.approx(1 - success.value)
        assert set(row.scores.outlines) == {"organ", "lesion"}
    with (calm / "outcomes.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert len({line["case"] for line in lines}) == 8
    assert len(list((calm / "gallery").glob("*.png"))) > 2


class Killed(BaseException):
    """Stands for the end of the process."""


def killer(after: int) -> Callable[..., None]:
    """A progress that ends the run when attacks have shown so many steps."""
    seen = 0

    def progress(done: float, total: float, label: str) -> None:
        nonlocal seen
        seen += "/" in label or "0." in label
        if seen > after:
            raise Killed

    return progress


def test_killed_and_resumed_it_ends_in_the_same_report(calm: Path, tmp_path: Path) -> None:
    for after in (3, 5, 5):
        with pytest.raises(Killed):
            run(tmp_path / "run", gallery=2, progress=killer(after))
    so_far = unfinished_report(tmp_path / "run")
    assert so_far.task == Report.load(calm / "report.json").task
    assert so_far.clean.scores.dice is not None and so_far.data.cases < 8
    run(tmp_path / "run", gallery=2)
    assert bare(tmp_path / "run") == bare(calm)


def test_a_finished_run_attacks_nothing_again(
    calm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("an attack ran again")

    copy = Path(shutil.copytree(calm, tmp_path / "copy"))
    monkeypatch.setattr("robust.engine.mixed_precision.attack_batch", forbidden)
    assert run(copy, gallery=2).rows == Report.load(calm / "report.json").rows


def test_a_run_on_other_masks_is_refused(calm: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(calm, tmp_path / "copy"))
    cases = drawn()
    with pytest.raises(InputError, match="data differs"):
        run(copy, cases=[(case.image, case.mask.roll(1, 0)) for case in cases])  # type: ignore[union-attr]
    with pytest.raises(InputError, match="plan differs"):
        run(copy, segmentation={"dice": 0.6})


@pytest.mark.parametrize("overlapping", [pytest.param(False, marks=pytest.mark.slow), True])
def test_chunks_change_no_outcome(overlapping: bool) -> None:
    """In float64, where the order of additions does not show."""
    model = pointwise(overlapping, blur=True).double()
    cases = drawn(overlapping=overlapping)
    found = [run(model=model, cases=cases, chunk=chunk, eps=EPS[1:2]).rows for chunk in (3, 64)]
    for one, other in zip(*found, strict=True):
        assert one.scores == other.scores


def volumes(spacing: tuple[float, ...] | None = (3.0, 1.0, 1.0)) -> Cases:
    return drawn(6, volumes=True, spacing=spacing)


def test_volumes_slice_by_slice_and_window_by_window() -> None:
    """A window changes no number of a pointwise network; the budget holds for every slice."""
    settings: dict[str, Any] = {
        "cases": volumes(), "attacks": ["FGSM", PGD(steps=4)], "norm": "L2-slice", "eps": [3.0]
    }  # fmt: skip
    whole = run(model=pointwise(), **settings)
    tiled = run(model=pointwise(window=(4, 8, 8), overlap=0.5), **settings)
    assert whole.task.volumes and whole.task.unit == "mm"
    for one, other in zip(whole.worst_cases, tiled.worst_cases, strict=True):
        assert one.scores.dice is not None and other.scores.dice is not None
        assert one.scores.dice.value == pytest.approx(other.scores.dice.value, abs=0.01)
    assert whole.worst_cases[-1].scores.dice.value < 0.6  # type: ignore[union-attr]
    distance = whole.worst.scores.median_l2
    assert distance is not None and 1.9 * 3 < distance.value < 2.1 * 3, "four slices of 3 each"


def test_a_curve_finds_what_exact_cells_find() -> None:
    exact, curve = run(), run(cells="curve")
    assert {row.kind for row in curve.worst_cases} == {"curve"}
    for one, other in zip(exact.worst_cases, curve.worst_cases, strict=True):
        assert one.scores.success == other.scores.success


def test_the_least_change_of_a_minimum_norm_attack() -> None:
    """On a pointwise network the border of every pixel is known; half of them are to fall."""
    attack = ALMAProx(steps=60, share=0.5)
    report = run(model=pointwise(), attacks=[attack], eps=[0.16])
    (row,) = report.rows
    assert row.eps is None and row.norm == "Linf" and row.failed == 0
    least = []
    for case in drawn():
        levels = torch.tensor([0.35, 0.65])
        least.append(float((case.image[..., None] - levels).abs().amin(-1).median()))
    assert row.scores.median_linf is not None
    assert row.scores.median_linf.value >= 0.99 * min(least)


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    """Of volumes that are shown to the network window by window."""
    monkeypatch.chdir(tmp_path)
    Path("plan.toml").write_text(PLAN, "utf-8")
    return load_plan(Path("plan.toml"), allow_code=True)


def test_a_plan_alone_and_in_shards(plan: Plan) -> None:
    audit_plan(plan, out="whole", device="cpu")
    report = Report.load(Path("whole") / "report.json")
    assert report.task.structures == ("organ",) and report.worst.attacked > 0
    assert list(Path("whole/gallery").glob("*.png"))
    for number in (1, 2):
        audit_shard(plan, Shard(number, 2), RunSettings(out="shards", device="cpu"))
    merge_shards("shards", plan, RunSettings(device="cpu"))
    assert bare(Path("shards")) == bare(Path("whole"))


@pytest.mark.slow
def test_workers_find_the_same_to_the_last_digit(plan: Plan) -> None:
    audit_plan(plan, out="whole", device="cpu")
    made = audit_plan(plan, out="workers", device="cpu", workers=WorkerChoice(2))
    assert made.timings.workers is not None and made.timings.workers.again is not None
    assert made.timings.workers.again.differing == 0
    assert bare(Path("workers")) == bare(Path("whole"))


def test_the_scenarios_that_make_sense() -> None:
    """Fitted on half of the patients, or made on another network: beyond noise of the same size."""
    report = run(
        attacks=["FGSM"],
        eps=[0.14],
        surrogate=pointwise(),
        scenarios={"universal": [3], "cases": 8, "eps": 0.14},
    )
    assert [one.name for one in report.scenarios] == ["universal", "transfer"]
    for one in report.scenarios:
        assert one.fooled.value > one.control.value and not math.isnan(one.control.value)


def test_images_for_transfer_change_where_they_may(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[torch.Tensor] = []
    seen = Segmenter.forward

    def forward(self: Segmenter, x: torch.Tensor) -> torch.Tensor:
        shown.append(x.detach())
        return seen(self, x)

    monkeypatch.setattr(Segmenter, "forward", forward)
    report = run(attacks=["FGSM"], eps=[0.14], surrogate=pointwise(), touch="inside")
    assert [one.name for one in report.scenarios] == ["transfer"]
    cases = drawn()
    outside = torch.stack([case.mask == 0 for case in cases])  # type: ignore[misc]
    clean = torch.stack([case.image[0] for case in cases])
    whole = [x[:, 0] for x in shown if len(x) == 8]
    assert whole and all(torch.equal(x[outside], clean[outside]) for x in whole)


def test_another_window_in_the_attack_is_told() -> None:
    """The same network, shown whole to who makes images for transfer, and in windows when judged.

    A window of 8 is one of 8 x 8.
    """
    name, settings = "another window in the attack", {"attacks": ["FGSM"], "eps": [0.14]}
    model = pointwise(window=(8, 8))
    report = run(model=model, surrogate=pointwise(), **settings)
    (told,) = [flag for flag in report.flags if flag.name == name]
    assert "attacked through the whole image, judged by windows of 8 pixels" in told.observed
    same = run(model=model, surrogate=pointwise(window=8), **settings)
    assert name not in {flag.name for flag in same.flags}
