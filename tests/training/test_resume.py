"""A training that is killed goes on and ends in the weights of one that nobody disturbed."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch.callbacks import Callback

from robust.errors import InputError
from robust.training.checkpoints import LAST, PREVIOUS
from robust.training.fit import FitResult
from tests.training.tiny import Watch, chests, classifier, equal, recipe, rows, run

RECIPE = recipe(
    training={"epochs": 4, "average": 0.9},
    augmentation={"flip_horizontal": 0.5, "rotation": 10, "brightness": 0.1},
)
"""All that depends on what was before: dropout, batch statistics, moments of the optimiser,
averaged weights, the order of the cases and how they are changed."""


class Kill(Callback):
    """Dies in mid-epoch, without a chance to tidy up."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.current_epoch == self.epoch and batch_idx == 1:
            os.kill(os.getpid(), signal.SIGKILL)


def killed(folder: Path, epoch: int = 2) -> None:
    """Train in another process, which dies in the second step of an epoch counted from 0."""
    # A fork, since a fresh process would import for ten seconds what is here already.
    process = multiprocessing.get_context("fork").Process(
        target=run, args=(folder, RECIPE, Kill(epoch))
    )
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> FitResult:
    return run(tmp_path_factory.mktemp("undisturbed"), RECIPE)


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training that was killed in its third epoch."""
    folder = tmp_path_factory.mktemp("cut")
    killed(folder)
    return folder


def copied(folder: Path, to: Path) -> Path:
    (to / "checkpoints").mkdir(parents=True)
    for path in (folder / "checkpoints").iterdir():
        (to / "checkpoints" / path.name).write_bytes(path.read_bytes())
    return to


def test_killed_in_mid_epoch_it_ends_in_the_same_weights(
    undisturbed: FitResult, cut: Path, tmp_path: Path
) -> None:
    folder, watch = copied(cut, tmp_path / "on"), Watch()
    fitted = run(folder, RECIPE, watch)
    assert len(watch.steps) == 2 * 3  # the two epochs that were not whole, three steps each
    assert equal(fitted.state, undisturbed.state)
    assert rows(fitted) == rows(undisturbed) and fitted.epochs == 4
    assert fitted.best_epoch == undisturbed.best_epoch
    written = (folder / "logs" / "epochs.csv").read_text(encoding="utf-8").splitlines()
    assert [line.split(",")[0] for line in written] == ["epoch", "1", "2", "3", "4"]


def test_killed_in_its_first_epoch_it_begins_anew(undisturbed: FitResult, tmp_path: Path) -> None:
    killed(tmp_path, epoch=0)
    assert not (tmp_path / "checkpoints" / LAST).exists()
    assert equal(run(tmp_path, RECIPE).state, undisturbed.state)


@pytest.mark.parametrize(("broken", "steps"), [([LAST], 9), ([LAST, PREVIOUS], 12)])
def test_a_checkpoint_cut_short_is_passed_over(
    broken: list[str], steps: int, undisturbed: FitResult, cut: Path, tmp_path: Path
) -> None:
    folder, watch = copied(cut, tmp_path / "short"), Watch()
    for name in broken:
        path = folder / "checkpoints" / name
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    fitted = run(folder, RECIPE, watch)
    assert len(watch.steps) == steps
    assert equal(fitted.state, undisturbed.state) and rows(fitted) == rows(undisturbed)


def test_a_finished_training_takes_no_step(
    undisturbed: FitResult, cut: Path, tmp_path: Path
) -> None:
    folder, watch = copied(cut, tmp_path / "done"), Watch()
    run(folder, RECIPE)
    before = (folder / "checkpoints" / LAST).read_bytes()
    shown = classifier()
    fitted = run(folder, RECIPE, watch, classifier=shown)
    assert not watch.steps and equal(fitted.state, undisturbed.state)
    assert equal(dict(shown.network.state_dict()), undisturbed.state) and not shown.training
    assert (folder / "checkpoints" / LAST).read_bytes() == before


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("recipe", "holds a training with another recipe; choose another folder"),
        ("train", "holds a training with another train split;"),
        ("val", "holds a training with another val split;"),
        ("network", "a checkpoint in .* does not fit the architecture"),
        ("owner", "holds checkpoints of an unknown training"),
    ],
)
def test_another_training_is_refused_in_one_line(
    what: str, said: str, cut: Path, tmp_path: Path
) -> None:
    folder, how = copied(cut, tmp_path / "other"), RECIPE
    options: dict[str, Any] = {}
    if what == "recipe":
        how = recipe(training={"epochs": 5})
    elif what == "network":
        options["classifier"] = classifier(norm=False)
    elif what == "owner":
        (folder / "checkpoints" / "owner.json").write_text('{"recipe":', encoding="utf-8")
    else:
        options[what] = chests(what, 26)
    before = (folder / "checkpoints" / LAST).read_bytes()
    with pytest.raises(InputError, match=said) as refused:
        run(folder, how, **options)
    assert len(str(refused.value).splitlines()) == 1
    assert (folder / "checkpoints" / LAST).read_bytes() == before
