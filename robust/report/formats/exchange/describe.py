"""What several exchange formats say of a report: names, data, limits, what it is known by."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence

from robust.records import CopyPair, Flag, Report, Timings, named_copies
from robust.report.text.format import counted, flat, images, plain
from robust.report.text.opening import limits


def stated(report: Report, field: str) -> str | None:
    """What the plan's `[report]` says of the model or its use; None where it says nothing."""
    found = (report.plan.get("report") or {}).get(field)
    return str(found) if found else None


def model_name(report: Report) -> str:
    """The name that the plan gives the model, else what its code is called, else the title."""
    source = report.model.source
    known = (source.get(key) for key in ("name", "architecture", "network", "factory"))
    return plain(stated(report, "model_name") or next(filter(None, known), report.title))


def is_black_box(report: Report) -> bool:
    """Whether only the model's answers are known, so that the hash is none of its weights."""
    return report.timings.queries is not None


def data_text(report: Report) -> str:
    """The audited data in a sentence."""
    data = report.data
    groups = counted(data.groups, "group") if data.grouped else "no groups: each is its own"
    drawn = " They were drawn by a program and show no patient." if data.synthetic else ""
    return (
        f"{counted(data.cases, 'case')} ({images(report)}) of split {plain(data.split)}, "
        f"{groups}.{drawn}"
    )


def limit_sentences(report: Report) -> tuple[str, ...]:
    """What the audit did not test, what its numbers hold for, what it lacks."""
    unfinished = (
        ()
        if report.is_finished
        else (f"The audit is not finished. Missing: {flat(report.missing_text)}.",)
    )
    opening = "Not tested: "
    found = [*limits(report)]
    lead = [f"{opening}{text[0].lower()}{text[1:]}" for text in found[:-1]]
    synthetic = (
        ("The images are synthetic: no figure has a clinical meaning.",)
        if report.data.synthetic
        else ()
    )
    return (*unfinished, *lead, *found[-1:], *synthetic)


def content_digest(report: Report) -> str:
    """SHA-256 of what a report found: two runs of one plan have the same, whenever they ran."""
    still = dataclasses.replace(report, timings=Timings())
    return hashlib.sha256(still.to_json().encode("utf-8", "replace")).hexdigest()


def without_cases(report: Report) -> Report:
    """The report without what is shown of single cases.

    These are example images, names of copies, and points of maps of features.
    """
    data, detection = report.data, report.detection
    named = [data.copies.pairs]
    if detection is not None:
        named.append(detection.reference.copies)
        reference = dataclasses.replace(detection.reference, copies=())
        detection = dataclasses.replace(detection, reference=reference, feature_maps=())
    copies = dataclasses.replace(data.copies, pairs=())
    return dataclasses.replace(
        report,
        gallery=(),
        data=dataclasses.replace(data, copies=copies),
        detection=detection,
        flags=tuple(_without_names(flag, named) for flag in report.flags),
    )


def _without_names(flag: Flag, named: Sequence[Sequence[CopyPair]]) -> Flag:
    observed = flag.observed
    for pairs in named:
        if pairs:
            observed = observed.replace(named_copies(pairs), "not named here")
    return dataclasses.replace(flag, observed=observed)
