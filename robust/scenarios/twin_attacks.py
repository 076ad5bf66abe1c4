"""Square and HopSkipJump on a model and on its deployed version: the same cases, seeds, queries."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from attacks import Square, ThreatModel
from robust.engine.run_memory import TWIN_DIRECT, TwinDirect
from robust.engine.run_store import RunStore
from robust.engine.verified_attack import AttackSetup, attack_batch
from robust.metrics.arrays import Mask, Places
from robust.records import TwinAttacked
from robust.scenarios.decision_based import hop_skip_jump, within
from robust.scenarios.holdout import Holdout
from robust.tasks.contract import Batch

NAMES = ("Square", "HopSkipJump")

Told = Callable[[float, str], None]
"""How far the comparison is, of 1, and what it does."""


def attack_both(
    mine: Holdout,
    other: Holdout,
    store: RunStore,
    sizes: Sequence[float],
    queries: int,
    told: Told,
) -> tuple[TwinAttacked, ...]:
    """One result for each attack and eps; the holdouts have the same cases, each its own model."""
    results: list[TwinAttacked] = []
    eps = sorted(sizes)
    for place, name in enumerate(NAMES):
        attack = _square if name == "Square" else _hop_skip_jump
        audited, twin = ({str(one): mine.no_cases() for one in eps} for _ in range(2))
        failed, chunks = "", mine.chunks()
        for number, places in enumerate(chunks):
            told(0.5 + 0.25 * (place + number / len(chunks)), f"{name} on the deployed version")

            def both(places: Places = places, attack: _Attack = attack) -> TwinDirect:
                (one, why), (two, also) = (attack(h, places, eps, queries) for h in (mine, other))
                return TwinDirect(one, two, why or also)

            found = store.memo(TWIN_DIRECT.of(name, number), both)
            failed = failed or found.failed
            for size in audited:
                audited[size][places] = found.audited[size]
                twin[size][places] = found.twin[size]
        results += [
            TwinAttacked(
                attack=name,
                queries=queries,
                norm=mine.threat.norm,
                eps=one,
                audited_correct=mine.rate(~audited[str(one)]),
                twin_correct=mine.rate(~twin[str(one)]),
                failure=failed,
            )
            for one in eps
        ]
    return tuple(results)


_Found = tuple[dict[str, list[bool]], str]
"""By eps which cases are fooled, and the attack's error or an empty text."""
_Attack = Callable[[Holdout, Places, Sequence[float], int], _Found]


def _square(holdout: Holdout, places: Places, eps: Sequence[float], queries: int) -> _Found:
    """A case that falls at one eps counts as fallen at all larger ones, which lie around it."""
    batch = holdout.batch.take(places.tolist())
    attack, failed = Square(queries=queries), ""
    fooled: Mask = np.zeros(len(places), bool)
    by_eps = {}
    for size in eps:
        left = np.flatnonzero(~fooled).tolist()
        if left:
            threat = ThreatModel(holdout.threat.norm, size)
            setup = AttackSetup(attack, attack.stream_key, threat, holdout.task, holdout.seed)
            outcomes = attack_batch(holdout.logits, setup, batch.take(left))[1]
            fooled[left] = [one.success for one in outcomes]
            failed = failed or next((one.failure for one in outcomes if one.failure), "")
        by_eps[str(size)] = fooled.tolist()
    return by_eps, failed


def _hop_skip_jump(holdout: Holdout, places: Places, eps: Sequence[float], queries: int) -> _Found:
    """One search for the nearest image serves every eps."""
    batch: Batch = holdout.batch.take(places.tolist())
    starts = [holdout.target_image(place, place) for place in places.tolist()]
    started = [i for i, start in enumerate(starts) if start is not None]
    by_eps = {str(size): np.zeros(len(places), bool) for size in eps}
    failed = ""
    if started:
        part = batch.take(started)
        images = holdout.others.x[[start for start in starts if start is not None]]
        nearest, failed = hop_skip_jump(holdout, part, images, [queries])
        for size in eps:
            threat = ThreatModel(holdout.threat.norm, size)
            by_eps[str(size)][started] = within(holdout, nearest[queries], part, threat)
    return {size: mask.tolist() for size, mask in by_eps.items()}, failed
