"""Doubts about the cases: what they are, whom they come from, and what gives their label away."""

from __future__ import annotations

from robust.diagnostics.evidence import Evidence
from robust.diagnostics.metadata_shortcuts import find_shortcuts
from robust.records import Flag

FEW_GROUPS = 30


def phantoms(e: Evidence) -> Flag | None:
    if not e.cases.phantom:
        return None
    return Flag(
        "phantom images",
        "every image was drawn by a program",
        "nothing measured on them says anything about patients",
        "repeat the audit on clinical images",
    )


def shortcut(e: Evidence) -> Flag | None:
    found = find_shortcuts(e.cases, e.seed)
    if not found:
        return None
    name, right = max(found.items(), key=lambda item: item[1])
    others = f"; so do {', '.join(sorted(set(found) - {name}))}" if len(found) > 1 else ""
    return Flag(
        "a column gives the label away",
        f"{name} alone predicts the label of cases left out: {right:.1%} right on average over "
        f"the classes, {1 / len(e.cases.classes):.1%} by chance{others}",
        "the images may show it (a device, a marker, a site), so that the model needs no disease: "
        "its figures then hold for data with the same confusion alone",
        "audit on cases where the column and the label are unrelated, or within one value of it",
    )


def no_groups(e: Evidence) -> Flag | None:
    if e.cases.grouped:
        return None
    return Flag(
        "no groups",
        "the data name no patient or lesion; each image counts as its own group",
        "images of one patient resemble each other, so that the intervals may be too narrow",
        "name the group column, if the patients are known",
    )


def few_groups(e: Evidence) -> Flag | None:
    if e.groups >= FEW_GROUPS:
        return None
    return Flag(
        "few groups",
        f"there are {e.groups} of at least {FEW_GROUPS}",
        "a bootstrap over so few groups gives intervals that are too narrow",
        f"audit at least {FEW_GROUPS} patients",
    )


def broken_files(e: Evidence) -> Flag | None:
    if not e.broken:
        return None
    return Flag(
        "broken files",
        f"{e.broken} of {e.broken + len(e.cases)} images could not be read and were skipped",
        "what is missing may be just what the model finds hard",
        "mend the files and run again without --skip-broken",
    )


def one_class(e: Evidence) -> Flag | None:
    present = {entry.label for entry in e.cases.entries}
    missing = [name for i, name in enumerate(e.cases.classes) if i not in present]
    if not missing:
        return None
    return Flag(
        "missing class",
        f"no case of {', '.join(missing)}",
        "accuracy says little, and AUC, sensitivity or specificity nothing, without every class",
        "audit a split that holds all classes",
    )


def grey_in_colour(e: Evidence) -> Flag | None:
    if not e.colour_of_grey:
        return None
    return Flag(
        "grey images in colour files",
        f"{e.colour_of_grey} of the images looked at have three equal channels",
        "the attacker may colour them, which no grey image could hide: robustness looks too low",
        "set grey = true in [data]",
    )
