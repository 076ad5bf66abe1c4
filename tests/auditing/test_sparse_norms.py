"""Whole audits in L1 and in L0: sizes, outcomes, curves and pages in the units of the norm."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from attacks import APGDL1, Attack, SigmaZero
from robust.auditing import audit
from robust.errors import InputError
from robust.records import Report
from robust.report.formats.html import render_html
from robust.report.layout.standard import standard
from tests.engine.nets import BRIEF, classifier, phantoms

SIZES: dict[str, tuple[list[float], list[str | Attack], list[str]]] = {
    "L1": ([2, 8], ["Noise", APGDL1(steps=30)], ["L1 2", "L1 8"]),
    "L0": ([5, 40], ["Noise", SigmaZero(steps=100)], ["5 pixels", "40 pixels"]),
}
"""By norm: eps, attacks, and how the page names these eps."""


@pytest.mark.parametrize("norm", SIZES)
def test_an_audit_speaks_in_the_units_of_its_norm(norm: str, tmp_path: Path) -> None:
    eps, attacks, shown = SIZES[norm]
    options: dict[str, Any] = {"norm": norm, "eps": eps, **BRIEF}
    report = audit(classifier(), phantoms(24), attacks=attacks, out=tmp_path, **options)
    worst = [row.robust_accuracy.value for row in report.worst_cases if row.eps is not None]
    noise = [report.result("Noise", size).robust_accuracy.value for size in eps]
    assert worst[1] < noise[1] and worst[1] <= worst[0]
    assert Report.from_json(report.to_json()) == report
    page = render_html(report, standard)
    assert all(text in page for text in shown)

    column = norm.lower()
    lines = pd.read_csv(tmp_path / "outcomes.csv")
    found = lines[lines["success"] == 1]
    assert len(found) and (found[column] > 0).all()
    if norm == "L0":
        assert np.array_equal(found[column], found[column].round())
        bounded = found[found["eps"].notna()]
        assert (bounded[column] <= bounded["eps"].astype(float)).all()


def test_parts_of_pixels_are_refused() -> None:
    with pytest.raises(InputError, match="whole") as raised:
        audit(classifier(), phantoms(8), attacks=["Noise"], norm="L0", eps=[2.5])
    assert "\n" not in str(raised.value)
