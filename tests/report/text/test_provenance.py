"""Workers and reproducibility as a report says them."""

from __future__ import annotations

from dataclasses import replace

from robust.records import CellAgain, ComputedAgain, Timings, Workers
from robust.report.text.provenance import provenance_facts
from tests.records.test_report import report

CELLS = (
    CellAgain("clean", "", 0.0, 8, 0, 0, 0.0, 0.0),
    CellAgain("PGD", "Linf", 2 / 255, 8, 3, 1, 0.0012, 0.5),
)
WORKERS = Workers(2, "ray", 1, ("EPYC", "Xeon"), 120)


def facts(workers: Workers | None) -> dict[str, str]:
    return dict(provenance_facts(report(timings=Timings(workers=workers))))


def test_nothing_is_said_without_workers() -> None:
    assert not {"Workers", "Reproducibility"} & set(facts(None))
    assert "Reproducibility" not in facts(replace(WORKERS, count=1))


def test_workers_and_what_they_computed_again() -> None:
    again = ComputedAgain(1, ("EPYC", "Xeon"), CELLS)
    found = facts(replace(WORKERS, replaced=1, again=again))
    assert found["Workers"] == (
        "2 workers (ray) of 1 thread, on EPYC, Xeon; 1 ended before their work was done and were "
        "replaced"
    )
    assert found["Reproducibility"] == (
        "1 of 120 parts of the cases was computed again on another worker (EPYC, Xeon): 3 of 16 "
        "outcomes differ, 1 with another verdict (PGD at 2/255: 3 of 8, by at most 0.0012 in "
        "distance and 0.5 in a logit)"
    )
    digits = replace(CELLS[1], verdicts=0)
    found = facts(replace(WORKERS, again=ComputedAgain(1, ("EPYC",), (digits,))))
    assert "3 of 8 outcomes differ, no verdict differs (PGD" in found["Reproducibility"]
    found = facts(replace(WORKERS, again=ComputedAgain(1, ("EPYC",), CELLS[:1])))
    assert found["Reproducibility"].endswith("all 8 outcomes are equal to the last digit")
    found = facts(replace(WORKERS, again=ComputedAgain(1, ("EPYC",), ())))
    assert found["Reproducibility"].endswith("no case in them was attacked")
