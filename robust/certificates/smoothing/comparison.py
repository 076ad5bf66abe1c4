"""What attacks on a smoothed classifier found on the cases that it was certified on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from robust.certificates.certified_accuracy import AttackedCases, ProvenCases
from robust.certificates.contract import SmoothedCertificate
from robust.certificates.sample import SampledCases
from robust.certificates.smoothing.attack import ATTACK_TEXT, attack_smoothed
from robust.engine.batch import read_batches
from robust.engine.run_memory import SMOOTHED_ATTACK
from robust.engine.run_memory import SmoothedAttack as SmoothedAttackMemo
from robust.errors import BlackBoxFailure, first_line
from robust.metrics.arrays import Mask
from robust.models.gradients.gradient_free import has_gradients


def attacks_on_smoothed(
    cases: SampledCases,
    certificate: SmoothedCertificate,
    proven: ProvenCases,
    sound: Mask,
    eps: Sequence[float],
) -> AttackedCases:
    """The nearest images that the smoothed classifier misreads, at each eps, ascending.

    Attacked are the cases that it reads correctly and that have not fallen at a smaller eps. None
    is where no gradient leads through the network. `sound` are the cases that were certified.
    """
    n, sizes = len(cases.rows), [size for size in eps if size > 0]
    if not has_gradients(cases.session.classifier):
        sizes = []
    nearest, failed, failure = np.full(n, np.inf), np.zeros(n, bool), ""
    for step, size in enumerate(sizes):
        for number, part in enumerate(cases.parts):
            left = [i for i in part if proven.right[i] and np.isinf(nearest[i]) and not failed[i]]
            if not left:
                continue
            share = (step + number / len(cases.parts)) / len(sizes)
            cases.progress(0.5 + share / 2, f"attack on {cases.label}")
            memo = SMOOTHED_ATTACK.of(cases.stored_as, repr(size), number)
            found = cases.session.store.memo(
                memo,
                lambda left=left, size=size: _attack(cases, certificate, left, size),  # type: ignore[misc]
            )
            nearest[left] = [np.inf if d is None else d for d in found.distance]
            failed[left] = bool(found.failed)
            failure = failure or found.failed
    broke = f"; it broke off on {int(failed.sum())} cases: {failure}" if failure else ""
    return AttackedCases(
        norm=certificate.norm,
        attack=ATTACK_TEXT + broke if sizes else "",
        sizes=tuple(sizes),
        correct=proven.right,
        nearest=nearest,
        smallest=np.where(proven.right & ~failed, min(sizes, default=np.inf), np.inf),
        countable=sound & ~failed,
        values=cases.values,
    )


def _attack(
    cases: SampledCases, certificate: SmoothedCertificate, places: Sequence[int], eps: float
) -> SmoothedAttackMemo:
    """The attack on the cases at these places; a crash is no sign of robustness."""
    session, found = cases.session, dict[int, float | None]()
    session.classifier.origin.asks_for(f"attack on {cases.label}")
    rows = [cases.rows[i] for i in places]
    try:
        for own, read, x in read_batches(session.cases, rows, session.runner.template):
            y = session.task.labels(read, x)
            streams = cases.streams(read, "attack", eps)
            with cases.repeated(read, "attack", eps):
                distances = attack_smoothed(certificate, session.classifier, x, y, eps, streams)
            found.update(zip(own, distances, strict=True))
    except (KeyboardInterrupt, BlackBoxFailure):
        raise
    except Exception as error:  # noqa: BLE001  (of a foreign network)
        return SmoothedAttackMemo([None] * len(rows), first_line(error))
    return SmoothedAttackMemo([found[row] for row in rows])
