"""What a training leaves in its folder: its last two whole epochs, whose it is, its history."""

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
from robust.files import write_atomically

LAST, PREVIOUS, OWNER = "last.ckpt", "previous.ckpt", "owner.json"


class Keeper(Checkpoint):
    """Stores every whole epoch, so that a kill at any moment leaves one to go on from."""

    def __init__(self, places: Path, logs: Path) -> None:
        self.places, self.logs = places, logs

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Store the epoch, keep the one before, and write the history."""
        fresh, last = self.places / f"{LAST}.new", self.places / LAST
        trainer.save_checkpoint(fresh)
        if trainer.is_global_zero:
            if last.exists():
                os.replace(last, self.places / PREVIOUS)
            os.replace(fresh, last)
            write_rows(self.logs / "epochs.csv", pl_module.history)


def newest(places: Path) -> tuple[Path, dict[str, Any]] | None:
    """The newest checkpoint that can be read, and what it holds; a broken one is passed over."""
    for name in (LAST, PREVIOUS):
        path = places / name
        try:
            return path, torch.load(path, map_location="cpu", weights_only=True)
        except FileNotFoundError:
            continue
        except Exception:  # noqa: BLE001  (a file cut short can fail in any way)
            continue
    return None


def claim(places: Path, owner: Mapping[str, str]) -> None:
    """Note whose checkpoints these are; InputError where they are another training's."""
    path = places / OWNER
    places.mkdir(parents=True, exist_ok=True)
    if not (places / LAST).exists() and not (places / PREVIOUS).exists():
        # Before its first whole epoch a training has nothing that another could harm.
        write_atomically(path, json.dumps(dict(owner), indent=1) + "\n")
        return
    known = _read_owner(path)
    if known is None:
        raise InputError(
            f"{places} holds checkpoints of an unknown training; "
            f"choose another folder or remove them"
        )
    other = [name for name, value in owner.items() if known.get(name) != value]
    if other:
        raise InputError(
            f"{places.parent} holds a training with another {' and another '.join(other)}; "
            f"choose another folder or remove this one"
        )


def write_rows(path: Path, rows: list[dict[str, float]]) -> None:
    """The history as a table: a row an epoch."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows([{**row, "epoch": int(row["epoch"])} for row in rows])
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, text.getvalue())


def _read_owner(path: Path) -> dict[str, str] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return found if isinstance(found, dict) else None
