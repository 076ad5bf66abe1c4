"""Numbers of reports in long form: one number has one name in every member."""

from __future__ import annotations

import dataclasses

from robust.sweeps.collect import DETECTOR_AUC, sweep_numbers
from tests.report.detected import detection, report_on


def test_a_detector_is_named_alike_whatever_the_key_attack() -> None:
    """Which attack is the key follows from the results, so that two members may have two."""
    found = detection()
    one, other = (dataclasses.replace(found, key_attack=key) for key in (0, 1))
    names = []
    for each in (one, other):
        numbers = sweep_numbers("a", report_on(each))
        names.append([n.condition for n in numbers if n.measure == DETECTOR_AUC])
    assert names[0] == names[1]
    assert any(name.startswith("LID fitted on PGD 1/255, FGSM") for name in names[0])
    assert any(name.startswith("MaxSoftmax, PGD") for name in names[0])  # it is not fitted
