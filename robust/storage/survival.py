"""What is left of an attack once its images are files: at the depth of each, and as JPEG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from attacks import Model, Noise
from robust.engine.batch import Batch
from robust.engine.cells import Cell
from robust.engine.goal import Goal
from robust.engine.run_store import FeatureRow, Outcome, RunStore
from robust.engine.summary import Summary
from robust.records import Survival
from robust.storage.rounding import StoredBatch, adversarial_rounding

Vector = npt.NDArray[np.float32]
QUALITY = 95


def is_quantised(cell: Cell) -> bool:
    """Whether a cell's images are looked at after storing: L-inf, a finite eps, run in full."""
    bounded = cell.threat.norm == "Linf" and math.isfinite(cell.threat.eps)
    return cell.exact and cell.same_as is None and bounded and not isinstance(cell.attack, Noise)


@dataclass(frozen=True)
class StorageCheck:
    """Stores the images of a run in mind, and asks the classifier again."""

    logits: Model
    goal: Goal

    def see(
        self, cell: Cell, batch: Batch, x_adv: Tensor, outcomes: Sequence[Outcome]
    ) -> list[FeatureRow]:
        """One entry a case of a cell that counts, for `survivals` to read."""
        if not is_quantised(cell):
            return []
        shelf = StoredBatch.of(batch.cases, cell.threat.eps)
        kept = shelf.put(x_adv)
        stored = self._fools(kept, batch)
        aware = stored.clone()
        computed = torch.tensor([o.success for o in outcomes], device=stored.device)
        if lost := (computed & ~stored).nonzero().flatten().tolist():
            part = batch.take(lost)
            target = self.goal.targets(part.logits)
            again = adversarial_rounding(self.logits, shelf.take(lost), kept[lost], part.y, target)
            aware[lost] = self._fools(again, part)
        columns = [computed, stored, aware]
        if batch.x.shape[1] in (1, 3):
            columns += [self._fools(as_jpeg(x), batch) for x in (x_adv, batch.x)]
        else:
            columns += [torch.zeros_like(stored)] * 2
        values = torch.stack(columns, 1).float().cpu().numpy()
        sizes = np.array(
            [
                (cell.threat.eps / c.stored.step, c.stored.levels + 1, batch.x.shape[1])
                for c in batch.cases
            ],
            np.float32,
        )
        made = np.concatenate([values, sizes], 1)
        key = storing_key(cell)
        return [(key, row, entry) for row, entry in zip(batch.rows, made, strict=True)]

    def _fools(self, x: Tensor, batch: Batch) -> Tensor:
        with torch.no_grad():
            logits = self.logits(x)
        return self.goal.reached(logits.argmax(1), batch.y) & logits.isfinite().all(1)


def storing_key(cell: Cell) -> str:
    return f"storing|{cell.key}"


def as_jpeg(x: Tensor) -> Tensor:
    """Through JPEG at quality 95 and back, `(n, c, h, w)` with 1 or 3 channels."""
    levels = (x.clamp(0, 1) * 255).round().to(torch.uint8).cpu()
    return torch.stack([F.jpeg(image, QUALITY) for image in levels]).to(x) / 255


def survivals(store: RunStore, cells: Sequence[Cell], summary: Summary) -> tuple[Survival, ...]:
    """For each eps what any of its attacks is worth after storing.

    None where an attack was not run in full: what it left out would seem to stand.
    """
    partly = {cell.threat.eps for cell in cells if not cell.exact}
    found = []
    for eps in sorted({cell.threat.eps for cell in cells if is_quantised(cell)} - partly):
        worst: dict[int, Vector] = {}
        for cell in cells:
            if is_quantised(cell) and cell.threat.eps == eps:
                rows, values = store.features(storing_key(cell))
                for row, entry in zip(rows, values, strict=True):
                    worst[row] = np.maximum(worst[row], entry) if row in worst else entry
        if one := _survival(eps, worst, summary):
            found.append(one)
    return tuple(found)


def _survival(eps: float, worst: dict[int, Vector], summary: Summary) -> Survival | None:
    rows = [row for row in summary.rows.tolist() if row in worst]
    if not rows:
        return None
    values = np.stack([worst[row] for row in rows])
    own = summary.bootstrap_at(rows)
    computed, stored, aware, jpeg, clean = (own.rate(values[:, i] > 0.5) for i in range(5))
    levels, of, channels = (sorted(set(values[:, i].tolist())) for i in (5, 6, 7))
    seen = set(channels) <= {1.0, 3.0}
    assert computed and stored and aware  # there are rows
    return Survival(
        eps=eps,
        eps_levels=round(levels[0], 4) if len(levels) == 1 else None,
        file_levels=int(of[0]) if len(of) == 1 else None,
        computed=computed,
        quantised=stored,
        adversarially_rounded=aware,
        jpeg=jpeg if seen else None,
        jpeg_clean=clean if seen else None,
    )
