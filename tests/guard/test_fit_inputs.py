"""What a detector cannot be fitted from is refused in one line; the plan's tables count."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from robust.errors import InputError
from robust.guard import fit_detector
from tests.guard.fits import STRONG, plan

BAD_FITS: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("detector", {"detector": "LDI"}, {}, "unknown detector 'LDI'; did you mean LID"),
    ("attack", {"attack": "PDG"}, {}, "unknown attack 'PDG'; did you mean PGD"),
    ("eps alone", {"attack": None}, {}, "name the attack, or leave eps out"),
    ("needs", {"detector": "DeepFeatures", "attack": None}, {}, "name an attack and its eps"),
    ("eps", {"eps": "8"}, {}, "eps 8 is above 1"),
    ("eps text", {"eps": "one"}, {}, "eps 'one' is not a number"),
    ("no eps", {"eps": None}, {}, "at one eps, the plan has PGD at 0.5/255, PGD at 1/255"),
    ("weak", {"eps": "0"}, {}, r"PGD at 0 fooled the classifier on none .* of \d+ attacked"),
    ("split", {"split": "vall"}, {}, r"no split 'vall'; did you mean val\?.*\(--split names"),
    ("same", {"split": "train"}, {}, "detectors learn from train.*name another split"),
    ("reference", {}, {"detection": {"reference": "trian"}}, "'trian'; did you mean train?"),
    ("layer", {}, {"detection": {"layers": ["netwrk.3"]}}, "no layer 'netwrk.3'; nearest: "),
    ("share", {"false_alarms": 1.5}, {}, "between 0 and 1, not 1.5; write 0.05"),
    ("rare", {"false_alarms": 0.001}, {}, "0.001 false alarms need 999 groups or more"),
    (
        "k",
        {},
        {"detectors": [{"name": "LID", "k": 100}]},
        "detector LID: k = 100 neighbours out of a batch of 100 images",
    ),
    ("blind", {"detector": "QuantizedFeatures", "eps": STRONG}, {}, "every image the same score"),
    ("dropout", {"detector": "BayesianUncertainty"}, {}, "needs a network with dropout"),
    (
        "label",
        {"detector": "LID"},
        {"detectors": [{"name": "LID", "label": "a"}, {"name": "LID", "label": "b"}]},
        "the plan has several LID; name one by its label: a, b",
    ),
]


@pytest.mark.parametrize(
    ("call", "tables", "said"), [b[1:] for b in BAD_FITS], ids=[b[0] for b in BAD_FITS]
)
def test_a_fit_that_cannot_be(
    weights: Path, call: dict[str, Any], tables: dict[str, Any], said: str
) -> None:
    arguments = {"detector": "LID", "attack": "PGD", "eps": "4/255"} | call
    with pytest.raises(InputError, match=said) as refused:
        fit_detector(plan(weights, "small", **tables), device="cpu", **arguments)
    assert "\n" not in str(refused.value)


def test_the_plan_gives_fields_to_what_it_names(weights: Path) -> None:
    tables: dict[str, Any] = {
        "detectors": [{"name": "LID", "label": "narrow", "k": 7}],
        "attacks": [{"name": "PGD", "label": "long", "steps": 3, "eps": ["20/255"]}],
    }
    stored = fit_detector(plan(weights, **tables), "narrow", attack="long", device="cpu")
    assert stored.record.fields["k"] == 7 and stored.record.label == "narrow"
    teaching = stored.record.training_attack
    assert teaching is not None and teaching.fields["steps"] == 3
    assert str(teaching) == "long at 20/255"
