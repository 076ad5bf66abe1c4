"""Checkpoints of a training: its last two finished epochs, their owner, and the history."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.callbacks import Checkpoint

from robust.errors import InputError
from robust.files import make_private_folder, write_atomically

LAST, PREVIOUS, OWNER = "last.ckpt", "previous.ckpt", "owner.json"


class CheckpointWriter(Checkpoint):
    """Stores every finished epoch, so that a training killed at any moment can be continued."""

    def __init__(self, folder: Path, logs: Path) -> None:
        self.folder, self.logs = folder, logs

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Store this epoch beside the previous one, and write the history."""
        fresh, last = self.folder / f"{LAST}.new", self.folder / LAST
        trainer.save_checkpoint(fresh)
        if trainer.is_global_zero:
            if last.exists():
                os.replace(last, self.folder / PREVIOUS)
            os.replace(fresh, last)
            write_rows(self.logs / "epochs.csv", pl_module.history)


def newest_checkpoint(folder: Path) -> tuple[Path, dict[str, Any]] | None:
    """The newest checkpoint that can be read, and its content; broken ones are skipped."""
    for name in (LAST, PREVIOUS):
        path = folder / name
        try:
            return path, torch.load(path, map_location="cpu", weights_only=True)
        except FileNotFoundError:
            continue
        except Exception:  # noqa: BLE001  (a file cut short can fail in any way)
            continue
    return None


def claim(folder: Path, owner: Mapping[str, str]) -> None:
    """Write which training the checkpoints are of; InputError where they are of another one."""
    path = folder / OWNER
    make_private_folder(folder)
    if not (folder / LAST).exists() and not (folder / PREVIOUS).exists():
        # Before its first finished epoch a training has no checkpoint that another could replace.
        write_atomically(path, json.dumps(dict(owner), indent=1) + "\n")
        return
    stored = _read_owner(path)
    if stored is None:
        raise InputError(
            f"{folder} holds checkpoints of an unknown training; "
            f"choose another folder or remove them"
        )
    other = [name for name, value in owner.items() if stored.get(name) != value]
    if other:
        raise InputError(
            f"{folder.parent} holds a training with another {' and another '.join(other)}; "
            f"choose another folder or remove this one"
        )


def write_rows(path: Path, rows: list[dict[str, float]]) -> None:
    """The history as a table: one row per epoch."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows([{**row, "epoch": int(row["epoch"])} for row in rows])
    make_private_folder(path.parent)
    write_atomically(path, text.getvalue())


def _read_owner(path: Path) -> dict[str, str] | None:
    try:
        owner_file = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return owner_file if isinstance(owner_file, dict) else None
