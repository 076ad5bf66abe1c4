"""Sentences on the deployed version of a model: agreement, and what falls on it alone."""

from __future__ import annotations

from robust.records import Report, Twin
from robust.report.text.format import plain, size_text, whole_percent
from robust.report.text.vocabulary import Vocabulary
from robust.report.text.words import words

NO_CASES = "Too few patients have a case that both {}: attacked images were not compared."


def twin_sentences(report: Report) -> tuple[str, ...]:
    """What the deployed version is, and how it differs; empty where the plan names none."""
    twin = report.twin
    if twin is None:
        return ()
    said = words(report)
    agreement = said.twin.format(
        agreement=whole_percent(twin.agreement),
        twin=whole_percent(twin.twin_accuracy),
        model=whole_percent(twin.audited_accuracy),
    )
    return (
        f"The deployed version is {plain(twin.source)}. {agreement}",
        *_under_attack(twin, said),
    )


def _under_attack(twin: Twin, said: Vocabulary) -> tuple[str, ...]:
    if not twin.shown:
        return (NO_CASES.format(said.do_right),)
    last = max(twin.shown, key=lambda one: one.eps or 0.0)
    size = "of any size" if last.eps is None else f"of {size_text(last.eps, last.norm)}"
    return (
        f"Changes {size}, made on the model, fool the deployed version in "
        f"{whole_percent(last.twin_fooled)} of the cases and the model in "
        f"{whole_percent(last.audited_fooled)}; in {whole_percent(last.twin_alone)} the deployed "
        f"version alone.",
    )
