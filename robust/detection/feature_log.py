"""Feature log: features of reference, clean, adversarial and control images, by source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from detectors import Features
from robust.detection.cross_fitting import FeatureSet
from robust.detection.population import Population
from robust.engine.cells import Cell
from robust.engine.run_memory import FEATURE_LAYOUT, REFERENCE_LAYOUT, Memo
from robust.engine.run_store import FeatureRow, RunStore

REFERENCE, CLEAN, CONTROLS = "reference", "clean images", "controls"
"""Sources of features; `CONTROLS` names the finished chunks of all controls together."""


def noise_key(cell: Cell) -> str:
    """The source of the noise control of a cell: noise of the same eps in the same norm.

    For an attack without a bound, noise as large as the perturbation of each image.
    """
    norm, eps = cell.threat.norm, cell.threat.eps
    return f"noise|{norm}|{eps!r}" if np.isfinite(eps) else f"noise|{cell.key}"


def change_key(name: str) -> str:
    """The source of a benign transformation."""
    return f"change|{name}"


def logged_cells(cells: Sequence[Cell]) -> list[Cell]:
    """The cells whose images detectors score: run in full, each attack once, without noise."""
    return [c for c in cells if c.exact and c.same_as is None and not c.attack.traits.baseline]


@dataclass(frozen=True)
class FeatureLog:
    """Reads and packs the features in a run's store; a source names an image set."""

    store: RunStore
    population: Population

    def count(self, source: str) -> int:
        """Number of images of a source."""
        return self.store.count(source)

    def feature_set(self, source: str) -> FeatureSet:
        """Features of one source, with the case of each image as an index into the population."""
        place = {row: i for i, row in enumerate(self.population.rows)}
        rows, features = self.features(source)
        # The prediction that counts is the runner's; another batch may round differently.
        if outcomes := {o.row: o.kept for o in self.store.outcomes(source)}:
            known = torch.tensor(np.array([outcomes[row] for row in rows]), dtype=torch.float32)
            features = replace(features, logits=known.reshape(features.logits.shape))
        return FeatureSet(features, np.array([place[row] for row in rows], np.int64))

    def features(self, source: str) -> tuple[list[int], Features]:
        """Rows of one source in order, and their features."""
        rows, values = self.store.features(source)
        layout = self.store.get(_layout(source)) or {"": {"logits": 0}}
        if not rows:
            width = sum(width for entries in layout.values() for width in entries.values())
            values = np.zeros((0, width), np.float32)
        parts: dict[str, dict[str, Tensor]] = {}
        start = 0
        for kind, entries in layout.items():
            for name, width in entries.items():
                part = torch.from_numpy(values[:, start : start + width])
                parts.setdefault(kind, {})[name] = part
                start += width
        return rows, Features(parts[""]["logits"], parts.get("layers", {}), parts.get("extras", {}))

    def pack(self, source: str, rows: Sequence[int], features: Features) -> list[FeatureRow]:
        """Features as rows for the store, which keeps the width of each part once."""
        if not rows:
            return []
        self.remember_layout(source, features)
        kinds = _kinds(features)
        parts = [value.float().cpu() for part in kinds.values() for value in part.values()]
        values = torch.cat(parts, 1).numpy()
        return [(source, row, vector) for row, vector in zip(rows, values, strict=True)]

    def remember_layout(self, source: str, features: Features) -> None:
        """Keep the width of each part of a row, where it is not known yet.

        Without it no stored row of a source can be read, so a run that goes on asks for it again.
        """
        kinds = _kinds(features)
        layout = {kind: {k: v.shape[1] for k, v in part.items()} for kind, part in kinds.items()}
        self.store.memo(_layout(source), lambda: layout)


def _kinds(features: Features) -> dict[str, Mapping[str, Tensor]]:
    return {"": {"logits": features.logits}, "layers": features.layers, "extras": features.extras}


def _layout(source: str) -> Memo[dict[str, dict[str, int]]]:
    return REFERENCE_LAYOUT if source == REFERENCE else FEATURE_LAYOUT
