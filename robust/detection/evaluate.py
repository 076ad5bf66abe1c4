"""From the features that a run has kept to what its report says of detectors."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from sklearn.manifold import TSNE

from detectors import Reference
from robust.engine.adapting import adapt
from robust.engine.cells import Cell
from robust.engine.changes import CHANGES
from robust.engine.detection import UNFITTED, Matrix, judge
from robust.engine.goals import Goal
from robust.engine.protocol import (
    FALSE_ALARMS,
    FEW,
    FOLDS,
    Scored,
    Side,
    check_separate,
    folds_by_group,
    threshold,
)
from robust.engine.watching import CLEAN, Watch, change_key, noise_key, watched
from robust.errors import InputError
from robust.records import Detection, build
from robust.sightings import NullControl, Scatter, Shown, Sighting, Trace

MAPS, POINTS = 6, 300
"""Attacks of which deep features are drawn, and images of either side."""
BINS = 40


def judge_run(watch: Watch, reference: Reference, cells: Sequence[Cell], goal: Goal) -> Detection:
    """Judge every detector by the protocol, from a finished run. InputError as in `judge`."""
    store = watch.runner.store
    if (kept := store.get_json("detection")) is not None:
        known: Detection = build(Detection, kept)
        return known
    found = _judge(watch, reference, cells, goal)
    store.put_json("detection", dataclasses.asdict(found))
    return found


def _judge(watch: Watch, reference: Reference, cells: Sequence[Cell], goal: Goal) -> Detection:
    shown_cells = watched(cells)
    key = _key(watch, shown_cells)
    shown, keys = _shown(watch, shown_cells)
    attacks = {cell.key: cell.key for cell in shown_cells}
    matrix = judge(
        watch.detectors,
        reference,
        watch.side(CLEAN),
        _Lazy(watch, [k for k in keys if k in attacks]),
        _Lazy(watch, [k for k in keys if k not in attacks]),
        np.array([watch.runner.cases.entries[row].label for row in watch.rows]),
        watch.groups,
        watch.plan.audit.seed,
        fit_on=_fit_on(watch, shown_cells),
        keep=key or "",
        progress=watch.runner.progress,
    )
    place = {key: i for i, key in enumerate(keys)}
    judged = [label for label, fitted in matrix.nulls if fitted in (UNFITTED, key)]
    shown = [
        replace(one, empty=matrix.empty.get(key, "")) for key, one in zip(keys, shown, strict=True)
    ]
    return Detection(
        detectors={label: repr(detector) for label, detector in watch.detectors.items()},
        layers=watch.look.extract.layers,
        reference=watch.runner.store.get_json("reference facts"),
        cases=len(watch.rows),
        groups=len(set(watch.groups.tolist())),
        of=watch.of,
        folds=FOLDS,
        key=place[key] if key else None,
        shown=tuple(shown),
        sightings=tuple(_sightings(matrix, place)),
        nulls=tuple(_nulls(matrix, place)),
        traces=tuple(_traces(matrix, key, shown_cells)) if key else (),
        scatters=tuple(_scatters(watch, shown_cells, key, place)) if key else (),
        adaptive=adapt(watch, reference, shown_cells[place[key]], goal, judged) if key else (),
    )


class _Lazy(Mapping[str, Side]):
    """Sides by key, read from the store one at a time."""

    def __init__(self, watch: Watch, keys: Sequence[str]) -> None:
        self._watch, self._keys = watch, keys

    def __getitem__(self, key: str) -> Side:
        if key not in self._keys:
            raise KeyError(key)
        return self._watch.side(key)

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)


def _shown(watch: Watch, cells: Sequence[Cell]) -> tuple[list[Shown], list[str]]:
    """Attacks in the order of the plan, then noise, then changes; and their keys."""
    shown, keys = [], []
    for cell in cells:
        count = watch.runner.store.count(cell.key)
        shown.append(Shown("attack", cell.label, cell.threat.norm, cell.eps, count))
        keys.append(cell.key)
    for key, cell in {noise_key(cell): cell for cell in cells}.items():
        count = watch.runner.store.count(key)
        name = "noise" if np.isfinite(cell.threat.eps) else f"noise as far as {cell.label}"
        shown.append(Shown("noise", name, cell.threat.norm, cell.eps, count))
        keys.append(key)
    for name in CHANGES:
        shown.append(Shown("change", name, "", None, len(watch.rows)))
        keys.append(change_key(name))
    return shown, keys


def _key(watch: Watch, cells: Sequence[Cell]) -> str | None:
    """The strongest attack at the smallest eps at which one has enough successes for a verdict."""
    norm = watch.plan.audit.norm
    counts = {cell.key: watch.runner.store.count(cell.key) for cell in cells}
    enough = [c for c in cells if counts[c.key] >= FEW and c.threat.norm == norm]
    enough = enough or [c for c in cells if counts[c.key] >= FEW]
    enough = enough or [c for c in cells if counts[c.key]]
    if not enough:
        return None
    least = min(c.threat.eps for c in enough)
    at = [c for c in enough if c.threat.eps == least]
    return max(at, key=lambda c: (counts[c.key], c.attack.passes)).key


def _fit_on(watch: Watch, cells: Sequence[Cell]) -> list[str]:
    """The keys of the cells that the plan lets heads be fitted on."""
    spec = watch.plan.detection
    return [
        c.key
        for c in cells
        if (spec.fit_on is None or c.label in spec.fit_on)
        and (spec.fit_eps is None or any(abs(c.threat.eps - e) < 1e-9 for e in spec.fit_eps))
    ]


def check_early(watch: Watch, reference: Reference, clean: Side, cells: Sequence[Cell]) -> None:
    """InputError for what `judge` would refuse in the end, before any attack runs."""
    folds = folds_by_group(watch.groups, watch.plan.audit.seed)
    check_separate(reference, clean, folds, watch.groups)
    if not _fit_on(watch, watched(cells)):
        known = ", ".join(dict.fromkeys(cell.label for cell in watched(cells)))
        raise InputError(
            f"[detection] fit_on and fit_eps name no attack of this plan that is run in full; "
            f"there are {known}, at the eps of [audit]"
        )


def _sightings(matrix: Matrix, place: Mapping[str, int]) -> Iterator[Sighting]:
    for (detector, fitted, scored), found in matrix.cells.items():
        seen = {f"{share:g}": rate for share, rate in found.seen.items()}
        yield Sighting(detector, place.get(fitted), place[scored], found.auc, seen, found.few)


def _nulls(matrix: Matrix, place: Mapping[str, int]) -> Iterator[NullControl]:
    for (detector, fitted), null in matrix.nulls.items():
        alarm = (detector, fitted) in matrix.alarms
        yield NullControl(detector, place.get(fitted), null.auc, null.p, alarm)


def _traces(matrix: Matrix, key: str, cells: Sequence[Cell]) -> Iterator[Trace]:
    noise = noise_key(next(cell for cell in cells if cell.key == key))
    for (detector, fitted, scored), one in matrix.scores.items():
        if scored == key:
            beside = matrix.scores.get((detector, fitted, noise))
            yield _trace(detector, one, np.array([]) if beside is None else beside.positive)


def _trace(detector: str, one: Scored, noise: npt.NDArray[np.float64]) -> Trace:
    shares = sorted({0.0, 1.0, *FALSE_ALARMS, *np.round(np.linspace(0, 1, 101), 2).tolist()})
    roc = [(0.0, 0.0)]
    for share in shares:
        limit = threshold(one.clean, share)
        point = float(np.mean(one.clean > limit)), float(np.mean(one.positive > limit))
        roc.append((round(point[0], 4), round(point[1], 4)))
    every = np.concatenate([one.clean, one.positive])
    low, high = np.quantile(every[np.isfinite(every)], [0.01, 0.99])
    edges = np.linspace(float(low), float(high), BINS + 1)

    def count(values: npt.NDArray[np.float64]) -> tuple[int, ...]:
        inside = np.clip(values, edges[0], edges[-1])
        return tuple(int(n) for n in np.histogram(inside, edges)[0])

    return Trace(
        detector,
        tuple(dict.fromkeys([*roc, (1.0, 1.0)])),
        tuple(float(f"{edge:.6g}") for edge in edges),
        count(one.clean),
        count(one.positive),
        count(noise),
    )


def _scatters(
    watch: Watch, cells: Sequence[Cell], key: str, place: Mapping[str, int]
) -> Iterator[Scatter]:
    """The attacks under the threat model of the key one, beside the clean images of their cases."""
    threat = next(cell.threat for cell in cells if cell.key == key)
    clean = watch.side(CLEAN)
    for cell in [cell for cell in cells if cell.threat == threat][:MAPS]:
        side = watch.side(cell.key)
        if len(side.cases) < 5:
            continue
        watch.runner.progress(0, 1, f"drawing the features of {cell.label}")
        some = np.linspace(0, len(side.cases) - 1, min(POINTS, len(side.cases))).round()
        rows = some.astype(np.int64)
        before = np.searchsorted(clean.cases, side.cases[rows])
        both = torch.cat(
            [
                clean.features.deep[torch.from_numpy(before)],
                side.features.deep[torch.from_numpy(rows)],
            ]
        )
        flat = TSNE(
            perplexity=min(30.0, (len(both) - 1) / 3), random_state=watch.plan.audit.seed
        ).fit_transform(both.double().numpy())
        points = [(round(float(x), 2), round(float(y), 2)) for x, y in flat]
        yield Scatter(place[cell.key], tuple(points[: len(rows)]), tuple(points[len(rows) :]))
