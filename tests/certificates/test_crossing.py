"""A bound that claims too much, in a whole audit: the attacks cross it, and the report says so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import pytest
import torch
from torch import Tensor

from attacks.streams import Streams
from robust.auditing import audit
from robust.certificates.contract import Certified
from robust.certificates.registry import CERTIFICATES
from robust.models import Adapter
from robust.report.formats.html import render_html
from robust.report.layout.standard import standard
from tests.engine.nets import classifier, phantoms


@dataclass(frozen=True)
class Boaster:
    """It proves a tenth of the grey levels for every image, whatever the network."""

    norm: ClassVar[str] = "Linf"
    function: ClassVar[Literal["network"]] = "network"
    alpha: ClassVar[float | None] = None
    cap: ClassVar[float | None] = None
    passes: ClassVar[int] = 1

    def check(self, model: Adapter) -> None:
        """It reads any network."""

    def __call__(self, model: Adapter, x: Tensor, streams: Streams) -> Certified:
        """The network's own classes."""
        return Certified(model(x).argmax(1), torch.full((len(x),), 0.1, dtype=torch.float64))


def test_a_crossing_opens_the_report_and_voids_its_verdicts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(CERTIFICATES, "IntervalBounds", Boaster)
    report = audit(
        classifier(),
        phantoms(24),
        attacks=["PGD"],
        eps=["8/255"],
        certificates=["IntervalBounds"],
        doubts={"probe": False},
    )
    (bound,) = report.certificates
    fallen = round((report.worst.success.value) * report.worst.attacked)
    assert bound.crossings == fallen > 0 and bound.is_contradicted
    assert "certificate crossed" in {flag.name for flag in report.flags}
    assert set(report.verdicts) == {"no verdict: certificate crossed"}
    page = render_html(report, standard)
    first = page.index("A proof and an attack contradict each other")
    assert first < page.index("On unmodified images") < page.rindex("Verdict for each")
