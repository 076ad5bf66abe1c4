"""What the attacks of an audit found on the cases that bounds of the network were tried on."""

from __future__ import annotations

import numpy as np

from robust.certificates.certified_accuracy import AttackedCases
from robust.certificates.sample import SampledCases


def attacks_on_network(cases: SampledCases, norm: str) -> AttackedCases:
    """The nearest image of each case among all stored outcomes of attacks in that norm.

    They aim at the goal of the audit: an image that reaches it is misread.
    """
    session, n = cases.session, len(cases.rows)
    place = {row: i for i, row in enumerate(cases.rows)}
    nearest, smallest = np.full(n, np.inf), np.full(n, np.inf)
    attacked, evaluated = np.zeros(n, bool), np.zeros(n, bool)
    cells = [c for c in session.cells if c.same_as is None and c.threat.norm == norm]
    for cell in cells:
        size = 0.0 if cell.attack.minimum_norm else cell.threat.eps
        for outcome in session.store.outcomes(cell.key):
            i = place.get(outcome.row)
            if i is None:
                continue
            attacked[i] = True
            if outcome.failure is None:
                evaluated[i], smallest[i] = True, min(smallest[i], size)
                if outcome.success:
                    nearest[i] = min(nearest[i], outcome.distance(norm))
    kept = {one.row: one.kept for one in session.store.clean() if one.row in place}
    correct = session.task.right(
        np.stack([kept[row] for row in cases.rows if kept[row] is not None]),  # type: ignore[misc]
        cases.entries,
    )
    return AttackedCases(
        norm=norm,
        attack=", ".join(dict.fromkeys(cell.label for cell in cells)),
        sizes=tuple(cell.threat.eps for cell in cells),
        correct=correct,
        nearest=nearest,
        smallest=smallest,
        countable=~attacked | evaluated,
        values=cases.values,
    )
