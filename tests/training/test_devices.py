"""Two processes that train side by side (gloo) end where one does; one that dies ends both."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import Callback

from robust.errors import InputError
from robust.training.fit import FitResult
from robust.training.lightning.processes import settle_devices
from tests.training.tiny import chests, classifier, recipe, rows, run

RECIPE = recipe(training={"epochs": 2, "batch": 8, "average": 0.5, "label_smoothing": 0.1})


def uneven() -> dict[str, Any]:
    """Classes of unequal weight; batches of 7 and 6 cases, of which two processes take 4 and 3."""
    return {
        "classifier": classifier(norm=False),
        "train": chests(count=27),
        "val": chests("val", 13),
    }


class Kill(Callback):
    """The second process dies in the second epoch, without a chance to tidy up."""

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *args: Any) -> None:
        if trainer.current_epoch == 1 and trainer.global_rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.parametrize("hard", [None, "trades"])
def test_two_processes_end_where_one_does(hard: str | None, tmp_path: Path) -> None:
    """Weights and every figure on val, to rounding: no case is left out, none counts twice."""
    tables = {"adversarial": {"method": hard, "eps": 0.01, "steps": 2}} if hard else {}
    how = recipe(training=RECIPE.training.model_dump(), **tables)
    one = run(tmp_path / "one", how, **uneven())
    two = run(tmp_path / "two", how, **uneven(), devices=2)
    assert same(two, one)
    assert [on["devices"] for on in two.computed_on] == [2] and two.best_epoch == one.best_epoch


def same(two: FitResult, one: FitResult) -> bool:
    for name, value in one.state.items():
        assert torch.allclose(two.state[name], value, atol=2e-5), name
    for row, expected in zip(rows(two), rows(one), strict=True):
        assert row == pytest.approx(expected, abs=2e-5)
    return True


@pytest.mark.slow
def test_a_process_that_is_killed_ends_the_other_and_the_training_goes_on(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    one = run(tmp_path / "one", RECIPE, **uneven())
    began = time.monotonic()
    with pytest.raises(InputError, match=r"process 2 of the 2 .* \(SIGKILL\)") as ended:
        run(tmp_path / "two", RECIPE, Kill(), **uneven(), devices=2)
    assert len(str(ended.value).splitlines()) == 1 and time.monotonic() - began < 60
    shown = capfd.readouterr()
    assert shown.out == shown.err == ""
    assert same(run(tmp_path / "two", RECIPE, **uneven(), devices=2), one)


def test_how_many_devices_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    gpu, cpu = torch.device("cuda"), torch.device("cpu")
    assert settle_devices(gpu, None, 16) == 4 and settle_devices(gpu, None, 3) == 3
    assert settle_devices(gpu, 2, 16) == 2 and settle_devices(gpu, None, 0) == 1
    assert settle_devices(torch.device("cuda:1"), None, 16) == 1
    assert settle_devices(cpu, None, 16) == 1 and settle_devices(cpu, 2, 16) == 2
    for target, asked, said in (
        (gpu, 5, "5 GPUs are requested, 4 are available"),
        (torch.device("cuda:1"), 2, "cuda:1 is one device"),
        (torch.device("mps"), 2, "mps trains on one device"),
        (cpu, 17, "17 devices are too many"),
    ):
        with pytest.raises(InputError, match=said):
            settle_devices(target, asked, 16)
