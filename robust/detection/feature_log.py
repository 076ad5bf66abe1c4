"""What detectors see of a run: features of the reference, of clean images, attacks and controls."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from attacks import Noise, Streams, ThreatModel
from detectors import Detector, FeatureReader, Features, Reference
from robust.cases.case import Cases, spread
from robust.detection.benign_changes import BENIGN_CHANGES
from robust.detection.cross_fitting import FeatureSet
from robust.detection.factory import fit_statistics
from robust.engine.batch import Batch, read_batches
from robust.engine.cells import Cell
from robust.engine.goal import Goal
from robust.engine.run_memory import FEATURE_LAYOUT, REFERENCE_LAYOUT, REFERENCE_SET, Memo
from robust.engine.run_store import FeatureRow, Outcome
from robust.engine.runner import Runner
from robust.errors import InputError
from robust.plan.spec import Plan
from robust.records import ReferenceSet

REFERENCE, CLEAN, CONTROLS = "reference", "clean images", "controls"
"""Sources of features, and the name under which finished chunks of controls are kept."""


def noise_key(cell: Cell) -> str:
    """The control beside a cell: noise in its ball; without a bound, as far as the attack moved."""
    norm, eps = cell.threat.norm, cell.threat.eps
    return f"noise|{norm}|{eps!r}" if np.isfinite(eps) else f"noise|{cell.key}"


def change_key(name: str) -> str:
    return f"change|{name}"


def logged_cells(cells: Sequence[Cell]) -> list[Cell]:
    """The cells that detectors are shown: those run in full, each once, noise apart."""
    return [c for c in cells if c.exact and c.same_as is None and not c.attack.traits.baseline]


@dataclass
class FeatureLog:
    """Looks at the images of a run and keeps the features of those that detectors are judged on."""

    plan: Plan
    runner: Runner
    detectors: dict[str, Detector]
    look: FeatureReader
    rows: list[int]
    """Of the cases judged on: eligible for the goal and right when clean."""
    of: int
    """How many such cases there are in all."""
    groups: npt.NDArray[np.int64]
    """`(rows,)`: equal for images of one patient, and for copies of an image."""
    copies: int
    """Images that are copies of another one judged."""

    def learn(self, reference: Cases) -> Reference:
        """Read the reference, as far as it is not in the store yet, and let detectors learn."""
        store, runner = self.runner.store, self.runner
        rows = spread(range(len(reference)), self.plan.detection.reference_cases)
        judged = {c.pixels for c in store.clean()}
        size, done = self.plan.audit.chunk, store.done()
        for number, start in enumerate(range(0, len(rows), size)):
            if (REFERENCE, number) in done:
                continue
            runner.progress(start, len(rows), "reference images")
            began, seen = time.perf_counter(), []
            for found, cases, x in read_batches(
                reference,
                rows[start : start + size],
                runner.like,
                skip_broken=runner.skip_broken,
            ):
                prints = [hashlib.sha256(c.image.numpy().tobytes()).hexdigest() for c in cases]
                with torch.no_grad():
                    features = self.look.extract(x)
                new = [i for i, one in enumerate(prints) if one not in judged]
                seen += self._store(REFERENCE, [found[i] for i in new], features.take(_index(new)))
            store.add_features(REFERENCE, number, seen, time.perf_counter() - began)
        kept, features = self.features(REFERENCE)
        if not kept:
            raise InputError("every image of the reference is a copy of an audited one")
        missing = set(range(len(reference.classes))) - {reference.entries[r].label for r in kept}
        if missing:
            raise InputError(
                f"the split {reference.split!r} that detectors learn from holds no case of "
                f"{reference.classes[min(missing)]!r}; name another with reference in [detection]"
            )
        _, groups = np.unique([reference.entries[r].group for r in kept], return_inverse=True)
        labels = torch.tensor([reference.entries[r].label for r in kept])
        made = Reference(features, labels, torch.from_numpy(groups))
        fit_statistics(self.detectors, made)
        self.look.learn(made)
        store.put(
            REFERENCE_SET,
            ReferenceSet(
                split=reference.split,
                cases=len(kept),
                groups=len(np.unique(groups)),
                left_out=len(rows) - len(kept),
                source=reference.source,
            ),
        )
        return made

    def see(self, cell: Cell, x_adv: Tensor, outcomes: Sequence[Outcome]) -> list[FeatureRow]:
        """The features of the successes of a watched cell; a failed attack is nothing to detect."""
        if not logged_cells([cell]):
            return []
        judged = set(self.rows)
        kept = [i for i, o in enumerate(outcomes) if o.success and o.row in judged]
        if not kept:
            return []
        with torch.no_grad():
            features = self.look(x_adv[_index(kept).to(x_adv.device)])
        return self._store(cell.key, [outcomes[i].row for i in kept], features)

    def clean(self, goal: Goal) -> FeatureSet:
        """Look at the clean images that detectors are judged on."""
        self._look_through(CLEAN, goal, lambda batch: self._rows(CLEAN, batch, batch.x))
        return self.side(CLEAN)

    def controls(self, cells: Sequence[Cell], goal: Goal) -> None:
        """Look at noise beside every cell, and at the changes of daily life."""
        self._look_through(CONTROLS, goal, lambda batch: self._control(batch, cells))

    def side(self, source: str) -> FeatureSet:
        """The images of one source, by their places among those judged on."""
        place = {row: i for i, row in enumerate(self.rows)}
        rows, features = self.features(source)
        # The verdict that counts is the runner's; another batch may round differently.
        if verdict := {o.row: o.logits for o in self.runner.store.outcomes(source)}:
            known = torch.tensor(np.array([verdict[row] for row in rows]), dtype=torch.float32)
            features = replace(features, logits=known.reshape(features.logits.shape))
        return FeatureSet(features, np.array([place[row] for row in rows], np.int64))

    def _look_through(
        self, name: str, goal: Goal, see: Callable[[Batch], list[FeatureRow]]
    ) -> None:
        """Show `see` the cases judged on, chunk by chunk, as far as that is not done yet."""
        store, judged, chunks = self.runner.store, set(self.rows), self.runner.chunks
        done = store.done()
        for number, rows in enumerate(chunks):
            if (name, number) in done:
                continue
            self.runner.progress(number, len(chunks), f"{name} for detectors")
            began, seen = time.perf_counter(), []
            for batch in self.runner.load(rows, goal):
                own = [i for i, row in enumerate(batch.rows) if row in judged]
                if own:
                    with torch.no_grad():
                        seen += see(batch.take(own))
            store.add_features(name, number, seen, time.perf_counter() - began)

    def features(self, source: str) -> tuple[list[int], Features]:
        """Rows in order and the features of one source."""
        rows, values = self.runner.store.features(source)
        layout = self.runner.store.get(_layout(source)) or {"": {"logits": 0}}
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

    def _control(self, batch: Batch, cells: Sequence[Cell]) -> list[FeatureRow]:
        seen: list[FeatureRow] = []
        for name, change in BENIGN_CHANGES.items():
            seen += self._rows(change_key(name), batch, change(batch.x))
        for key, cell in {noise_key(cell): cell for cell in logged_cells(cells)}.items():
            if np.isfinite(cell.threat.eps):
                seen += self._rows(key, batch, self._noise(batch, cell.threat))
            else:
                seen += self._noise_as_far(key, batch, cell)
        return seen

    def _noise(self, batch: Batch, threat: ThreatModel) -> Tensor:
        ids = [case.id for case in batch.cases]
        streams = Streams.of(self.plan.audit.seed, ids, Noise().stream_key, threat.stream_key)
        return Noise()(self.runner.logits, batch.x, batch.y, threat, streams)

    def _noise_as_far(self, key: str, batch: Batch, cell: Cell) -> list[FeatureRow]:
        """Each image moved by noise exactly as far as the attack without a bound moved it."""
        places = {row: i for i, row in enumerate(batch.rows)}
        stored = self.runner.store.outcomes(cell.key, min(batch.rows), max(batch.rows) + 1)
        found = [o for o in stored if o.success and o.row in places]
        images = []
        for o in found:
            moved = o.linf if cell.threat.norm == "Linf" else o.l2
            one = batch.take([places[o.row]])
            images.append(self._noise(one, ThreatModel(cell.threat.norm, moved)))
        own = batch.take([places[o.row] for o in found])
        return self._rows(key, own, torch.cat(images)) if found else []

    def _rows(self, source: str, batch: Batch, x: Tensor) -> list[FeatureRow]:
        return self._store(source, batch.rows, self.look(x))

    def _store(self, source: str, rows: Sequence[int], features: Features) -> list[FeatureRow]:
        """What to store; how wide each part is, is stored once."""
        kinds: dict[str, Mapping[str, Tensor]] = {
            "": {"logits": features.logits},
            "layers": features.layers,
            "extras": features.extras,
        }
        if not rows:
            return []
        layout = {kind: {k: v.shape[1] for k, v in part.items()} for kind, part in kinds.items()}
        self.runner.store.memo(_layout(source), lambda: layout)
        parts = [value.float().cpu() for part in kinds.values() for value in part.values()]
        values = torch.cat(parts, 1).numpy()
        return [(source, row, vector) for row, vector in zip(rows, values, strict=True)]


def _index(rows: Sequence[int]) -> Tensor:
    return torch.tensor(list(rows), dtype=torch.long)


def _layout(source: str) -> Memo[dict[str, dict[str, int]]]:
    return REFERENCE_LAYOUT if source == REFERENCE else FEATURE_LAYOUT
