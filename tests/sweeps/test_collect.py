"""Numbers of reports in long form: one number has one name in every member."""

from __future__ import annotations

import dataclasses

from robust.sweeps.collect import DETECTOR_AUC, sweep_numbers
from tests.report.detected import detection, report_on
from tests.report.formats.exchanged import every_number
from tests.report.outlined import outline, outline_report


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


def test_names_stay_those_of_sweeps_that_were_written_before() -> None:
    """A sweep that is continued compares old members with new ones by these names."""
    attacked = ("robust accuracy", "accuracy under attack", "attacker AUC")
    threats = [
        *("worst case, L∞ 4/255", "Noise, L∞ 4/255", "PGD, L∞ 4/255"),
        "CarliniWagnerL2, L2 nearest",
    ]
    detectors = {
        "detector AUC": [
            "KernelDensity fitted on FGSM 1/255, FGSM, L∞ 1/255",
            "KernelDensity fitted on FGSM 1/255, PGD, L∞ 1/255",
            "KernelDensity fitted on PGD 1/255, FGSM, L∞ 1/255",
            "KernelDensity fitted on PGD 1/255, PGD, L∞ 1/255",
            *("MaxSoftmax, FGSM, L∞ 1/255", "MaxSoftmax, PGD, L∞ 1/255"),
        ],
        "detector AUC, null control": [
            *("KernelDensity fitted on FGSM 1/255", "KernelDensity fitted on PGD 1/255"),
            "MaxSoftmax",
        ],
        "detector AUC, adaptive attack": ["KernelDensity", "MaxSoftmax"],
        "certified accuracy": [f"IntervalBounds, L∞ {k}/255" for k in (1, 2, 3)],
        "corrupted error": ["all corruptions", "jpeg_compression", "pixelate"],
    }
    assert [(n.measure, n.condition) for n in sweep_numbers("a", every_number())] == [
        ("clean accuracy", "clean"),
        *((measure, threat) for threat in threats for measure in attacked),
        *((measure, where) for measure, every in detectors.items() for where in every),
    ]


def test_of_several_structures_each_has_its_dice() -> None:
    made = outline_report()
    both = {"lung": outline(0.9), "lesion": outline(0.7)}
    clean = dataclasses.replace(made.clean.scores, outlines=both)
    report = dataclasses.replace(made, clean=dataclasses.replace(made.clean, scores=clean))
    found = [n for n in sweep_numbers("a", report) if n.condition == "clean"]
    assert [n.measure for n in found][-3:] == ["Dice", "Dice of lung", "Dice of lesion"]
    assert [n.estimate.value for n in found][-2:] == [0.9, 0.7]
