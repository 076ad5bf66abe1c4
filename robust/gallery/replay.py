"""Attacks chosen cases again as a run did, for images to show, with the outlines on them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from robust.engine.run_store import Outcome
from robust.engine.session import Session
from robust.gallery.outlines import Layers
from robust.tasks.contract import Batch


@dataclass(frozen=True)
class ShownOutlines:
    """The outlines of a case without attack."""

    true: Layers
    predicted: Layers


@dataclass(frozen=True)
class ReplayedImage:
    """An adversarial image that a cell found for a case."""

    image: Tensor
    outcome: Outcome
    predicted: Layers | None
    """The outlines on it; None for a classifier."""


Replay = Mapping[tuple[int, int], ReplayedImage]
"""What was attacked again, by row of the case and index of the cell."""


def replay(session: Session, seed: int, wanted: Iterable[tuple[int, int]]) -> Replay:
    """Run cells on cases again: pairs of a row and the index of a cell."""
    by_cell: dict[int, list[int]] = defaultdict(list)
    for row, cell in wanted:
        by_cell[cell].append(row)
    found: dict[tuple[int, int], ReplayedImage] = {}
    for number, (cell, rows) in enumerate(sorted(by_cell.items())):
        session.progress(number, len(by_cell), "example images")
        for batch in session.runner.load(sorted(rows)):
            x_adv, outcomes = session.runner.run(session.cells[cell], batch, seed)
            predicted = _outlines(session, batch, x_adv)
            for place, outcome in enumerate(outcomes):
                layers = None if predicted is None else predicted[place]
                found[outcome.row, cell] = ReplayedImage(x_adv[place].cpu(), outcome, layers)
    return found


def clean_outlines(session: Session, rows: Sequence[int]) -> Mapping[int, ShownOutlines]:
    """The outlines of cases without attack, by row; empty for a classifier."""
    found: dict[int, ShownOutlines] = {}
    for batch in session.runner.load(sorted(rows)):
        predicted, true = _outlines(session, batch, batch.x), session.task.outlines(batch)
        if predicted is None or true is None:
            return {}
        pairs = zip(batch.rows, true.cpu().numpy(), predicted, strict=True)
        found |= {row: ShownOutlines(truth, of_model) for row, truth, of_model in pairs}
    return found


def _outlines(session: Session, batch: Batch, x: Tensor) -> Layers | None:
    """What the model outlines in images `(n, c, *space)`: `(n, S, *space)`."""
    if session.task.outlines(batch) is None:
        return None
    with torch.no_grad():
        found = session.task.outlines(batch, session.runner.logits(x))
    return None if found is None else found.cpu().numpy()
