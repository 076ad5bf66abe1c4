"""Records the features of a run's images: clean ones, successful attacks, noise, benign changes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from attacks import Noise, Streams, ThreatModel
from robust.detection.benign_changes import BENIGN_CHANGES
from robust.detection.detection_run import DetectionRun
from robust.detection.feature_log import CLEAN, CONTROLS, change_key, logged_cells, noise_key
from robust.engine.cells import Cell
from robust.engine.run_store import FeatureRow, Outcome
from robust.tasks.contract import Batch


def attack_features(
    run: DetectionRun, cell: Cell, x_adv: Tensor, outcomes: Sequence[Outcome]
) -> list[FeatureRow]:
    """The features of a cell's successes within the population; a failure is nothing to detect."""
    if not logged_cells([cell]):
        return []
    population = set(run.log.population.rows)
    kept = [i for i, o in enumerate(outcomes) if o.success and o.row in population]
    if not kept:
        return []
    with torch.no_grad():
        features = run.reader(x_adv[torch.tensor(kept, device=x_adv.device)])
    return run.log.pack(cell.key, [outcomes[i].row for i in kept], features)


def record_clean(run: DetectionRun) -> None:
    """Record the clean images of the population."""
    _record(run, CLEAN, lambda batch: _rows(run, CLEAN, batch, batch.x))


def record_controls(run: DetectionRun, cells: Sequence[Cell]) -> None:
    """Record noise beside every cell, and the benign transformations."""
    _record(run, CONTROLS, lambda batch: _controls(run, batch, cells))


def _record(run: DetectionRun, name: str, read: Callable[[Batch], list[FeatureRow]]) -> None:
    """Store the features that `read` gives for the population, for every chunk not yet done."""
    store, runner = run.store, run.runner
    population, done = set(run.log.population.rows), store.done()
    for number, rows in enumerate(runner.chunks):
        if (name, number) in done:
            continue
        runner.progress(number, len(runner.chunks), f"{name} for detectors")
        began, found = time.perf_counter(), []
        for batch in runner.load(rows):
            evaluated = [i for i, row in enumerate(batch.rows) if row in population]
            if evaluated:
                with torch.no_grad():
                    found += read(batch.take(evaluated))
        store.add_features(name, number, found, time.perf_counter() - began)


def _controls(run: DetectionRun, batch: Batch, cells: Sequence[Cell]) -> list[FeatureRow]:
    found: list[FeatureRow] = []
    for name, change in BENIGN_CHANGES.items():
        found += _rows(run, change_key(name), batch, change(batch.x))
    for key, cell in {noise_key(cell): cell for cell in logged_cells(cells)}.items():
        if np.isfinite(cell.threat.eps):
            found += _rows(run, key, batch, noisy(run, batch, cell.threat))
        else:
            found += _noise_as_large(run, key, batch, cell)
    return found


def noisy(run: DetectionRun, batch: Batch, threat: ThreatModel) -> Tensor:
    """The images of a batch with random noise within a threat model `(n, c, h, w)`."""
    ids = [case.id for case in batch.cases]
    streams = Streams.of(run.audit.seed, ids, Noise().stream_key, threat.stream_key)
    return Noise()(run.runner.logits, batch.x, batch.y, threat, streams)


def _noise_as_large(run: DetectionRun, key: str, batch: Batch, cell: Cell) -> list[FeatureRow]:
    """Features of each image with noise as large as the perturbation of an attack without bound."""
    places = {row: i for i, row in enumerate(batch.rows)}
    stored = run.store.outcomes(cell.key, min(batch.rows), max(batch.rows) + 1)
    found = [o for o in stored if o.success and o.row in places]
    images = []
    for o in found:
        threat = ThreatModel(cell.threat.norm, o.distance(cell.threat.norm))
        images.append(noisy(run, batch.take([places[o.row]]), threat))
    own = batch.take([places[o.row] for o in found])
    return _rows(run, key, own, torch.cat(images)) if found else []


def _rows(run: DetectionRun, source: str, batch: Batch, x: Tensor) -> list[FeatureRow]:
    return run.log.pack(source, batch.rows, run.reader(x))
