"""Output of Lightning: its notices are silenced, and one progress bar takes their place."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any

from lightning.pytorch.callbacks import Callback

from robust.progress import progress_bar

LOGGERS = (
    "lightning.pytorch",
    "lightning.fabric",
    "lightning",
    "torch.multiprocessing.spawn",
)


@contextmanager
def silence_lightning() -> Iterator[None]:
    """Silence Lightning's notices and its warnings about how it is used."""
    before = [(logging.getLogger(name), logging.getLogger(name).level) for name in LOGGERS]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"(lightning|torchmetrics|torch)\b")
        warnings.filterwarnings("ignore", message=".*(DataLoader|dataloader|lr_scheduler).*")
        for logger, _ in before:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in before:
                logger.setLevel(level)


@contextmanager
def without_host_name() -> Iterator[None]:
    """Let the files of TensorBoard, which bear the name of the machine, be called `host`."""
    from tensorboard.summary.writer import (  # type: ignore[import-untyped]
        event_file_writer as writer,
    )

    before = writer.socket
    writer.socket = SimpleNamespace(gethostname=lambda: "host")
    try:
        yield
    finally:
        writer.socket = before


class EpochBar(Callback):
    """Progress over all epochs, with the last AUC on val."""

    def __init__(self) -> None:
        self._open: ExitStack | None = None
        self._show: Any = None

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Open the bar, in one process of several."""
        if trainer.is_global_zero:
            self._open = ExitStack()
            self._show = self._open.enter_context(progress_bar())

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Show the step."""
        if self._show is None:
            return
        epoch, epochs = trainer.current_epoch, trainer.max_epochs
        label = f"epoch {epoch + 1} of {epochs}"
        if pl_module.history:
            objective = pl_module.objective
            label += f", val {objective.word} {pl_module.history[-1][objective.score]:.3f}"
        self._show(trainer.global_step, epochs * pl_module.per_epoch, label)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Close the bar."""
        self._close()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Close the bar."""
        self._close()

    def _close(self) -> None:
        if self._open is not None:
            self._open.close()
        self._open = self._show = None
