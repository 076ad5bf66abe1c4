"""Training on several devices: how many processes there are, how they start, how they end."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import lightning as L
import torch
from lightning.pytorch.strategies import DDPStrategy
from torch import nn
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException
from torch.nn.modules.batchnorm import _BatchNorm

from robust.errors import InputError
from robust.models.acceleration.memory import keep_freed_memory
from robust.training.lightning.output import silence_lightning, without_host_name

NAMES = {
    "32-true": "float32",
    "bf16-mixed": "bfloat16 (mixed)",
    "16-mixed": "float16 (mixed)",
}
"""Precisions of Lightning as the model card names them."""


def settle_devices(target: torch.device, asked: int | None, most: int) -> int:
    """How many devices to train on: as many as asked, else every GPU; at most `most` work.

    A GPU that was named by its number is the only one. Raises InputError.
    """
    if asked is None:
        every = target.type == "cuda" and target.index is None
        return max(1, min(torch.cuda.device_count(), most)) if every else 1
    if asked < 1:
        raise InputError(f"devices must be 1 or more, not {asked}")
    if target.type == "cuda" and asked > torch.cuda.device_count():
        raise InputError(f"{asked} GPUs are requested, {torch.cuda.device_count()} are available")
    if asked > 1 and target.index is not None:
        raise InputError(f"{target} is one device; remove its number or devices = {asked}")
    if asked > 1 and target.type not in ("cpu", "cuda"):
        raise InputError(f"{target.type} trains on one device; remove devices = {asked}")
    if asked > max(1, most):
        raise InputError(f"{asked} devices are too many for this batch size; use fewer")
    return asked


class SpawnedDDP(DDPStrategy):
    """One process a device, started from Python: to run the command again, only scripts support."""

    def __init__(self, target: torch.device) -> None:
        backend = "gloo" if target.type == "cpu" else "nccl"
        super().__init__(start_method="spawn", process_group_backend=backend)
        self._settings: ExitStack | None = None

    def setup_environment(self) -> None:
        """Let this process show and name nothing, like the one that started it."""
        self._settings = ExitStack()  # kept, since they hold as long as the process
        for context in (
            silence_lightning(),
            without_host_name(),
            keep_freed_memory(self.root_device),
        ):
            self._settings.enter_context(context)
        super().setup_environment()


def computed_on(
    network: nn.Module, device: torch.device, devices: int, precision: object
) -> dict[str, Any]:
    """What a training is computed on, as its model card says it.

    `whole_batches` is false where each process normalises by the statistics of its own part of a
    batch: torch has those of all processes on GPUs only.
    """
    normalised = any(isinstance(module, _BatchNorm) for module in network.modules())
    on_gpu = device.type == "cuda"
    return {
        "device": torch.cuda.get_device_name(device) if on_gpu else device.type,
        "devices": devices,
        "precision": NAMES.get(str(precision), str(precision)),
        "whole_batches": devices == 1 or on_gpu or not normalised,
    }


def end_when_told() -> None:
    """Let SIGTERM end this process at once, also while it waits for one that has died.

    Lightning would wait for the end of the step, which does not come.
    """
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def explained_ends(trainer: L.Trainer) -> Iterator[None]:
    """Turn errors of other processes, memory and interrupts into plain ones; end the processes."""
    launcher: Any = trainer.strategy.launcher
    try:
        yield
    except (ProcessRaisedException, ProcessExitedException) as error:
        line = _line(error, [process.exitcode for process in launcher.procs])
        if line is None:
            raise
        raise InputError(line) from None
    except torch.OutOfMemoryError:
        raise InputError(_TOO_LITTLE_MEMORY) from None
    except SystemExit:
        raise KeyboardInterrupt from None
    finally:
        for process in launcher.procs if launcher is not None else ():
            process.kill()


_TOO_LITTLE_MEMORY = "the device has too little memory for this batch; lower batch"


def _line(error: Exception, exit_codes: list[int | None]) -> str | None:
    """The one line that explains how processes ended; None where it was a fault."""
    text = str(error)
    messages = re.findall(r"^robust\.errors\.InputError: (.*)$", text, re.MULTILINE)
    if messages:
        return str(messages[-1])
    if "torch.OutOfMemoryError" in text:
        return _TOO_LITTLE_MEMORY
    # The others are ended by SIGTERM, or fail since one of them has gone.
    killed = [
        (i, -code)
        for i, code in enumerate(exit_codes, 1)
        if code is not None and code < 0 and -code != signal.SIGTERM
    ]
    if not killed and isinstance(error, ProcessExitedException) and error.exit_code < 0:
        killed = [(error.error_index + 1, -error.exit_code)]
    if not killed:
        return None
    number, code = killed[0]
    return (
        f"process {number} of the {len(exit_codes)} that trained was ended from outside "
        f"({signal.Signals(code).name}), perhaps for lack of memory; the same command continues "
        f"after the last finished epoch"
    )
