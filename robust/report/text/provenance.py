"""Provenance as text: model, data, attacks, hashes, seed, cost and versions."""

from __future__ import annotations

from robust.records import Report
from robust.report.text.detection import population_text
from robust.report.text.format import flat, plain


def provenance_facts(report: Report) -> list[tuple[str, str]]:
    """Pairs of name and text."""
    data, model, audit = report.data, report.model, report.plan["audit"]
    named = ("architecture", "file", "factory", "weights", "given")
    source = ", ".join(f"{key} {model['source'][key]}" for key in named if key in model["source"])
    source += ", pretrained weights" if model["source"].get("pretrained") else ""
    shape = ", ".join(
        f"{key} {model[key]}"
        for key in ("channels", "size", "interpolation", "fit", "mean", "std")
        if model.get(key) is not None
    )
    classes = ", ".join(f"{count} {plain(name)}" for name, count in data["classes"].items())
    left = f"; {data['skipped_broken']} unreadable files left out" if data["skipped_broken"] else ""
    attacks = "; ".join(_with_label(*one) for one in report.attacks.items())
    table = f"outcomes.csv, SHA-256 {report.table_sha256}" if report.table_sha256 else ""
    made = [
        ("Model", source),
        ("Weights", f"SHA-256 {model['weights_sha256']}"),
        ("Head", f"{model['head']}, operating threshold {model['threshold']:g}"),
        ("Preprocessing", shape or "none"),
        ("Data", f"{plain(data['source'])}, split {data['split']}: {classes}{left}"),
        (
            "Groups",
            f"{data['groups']}"
            if data.get("grouped", True)
            else "none: each image counts as its own group",
        ),
        ("Pixels", f"SHA-256 {data['pixels_sha256']}"),
        ("Attacks", attacks),
        *_detectors(report),
        ("Seed", str(audit["seed"])),
        ("Per-case table", table),
        ("Cost", _cost(report)),
        ("Software", ", ".join(f"{key} {value}" for key, value in report.environment.items())),
    ]
    return [(name, flat(text)) for name, text in made if text]


def _detectors(report: Report) -> list[tuple[str, str]]:
    detection = report.detection
    if detection is None:
        return []
    reference = detection.reference
    left = reference.get("left_out")
    learned = (
        f"{population_text(detection)} Cross-fitting in {detection.folds} folds by group: each "
        f"case is scored by detectors fitted on the other folds."
    )
    if left:
        learned += f" {left} of the other images were left out as copies of evaluated images."
    return [
        ("Detectors", "; ".join(_with_label(*one) for one in detection.detectors.items())),
        ("Layers read", ", ".join(plain(layer) for layer in detection.layers)),
        ("Evaluation of detectors", learned),
    ]


def _with_label(label: str, text: str) -> str:
    return text if text.startswith(label) else f"{plain(label)}: {text}"


def _cost(report: Report) -> str:
    seconds = sum(report.timings.get("by_cell", {}).values())
    passes = report.timings.get("passes")
    if passes is None:
        made = sum(row.passes * row.attacked for row in report.rows if row.same_as is None)
        said = f"{made:,.0f} forward and backward passes of single images"
    else:
        said = (
            f"{passes['made']:,.0f} forward and backward passes of single images "
            f"({passes['in full']:,.0f} if every attack had run in full)"
        )
    if probe := report.timings.get("probe"):
        said += f", and {probe['passes']:,.0f} on {probe['cases']} cases to check the classifier"
        seconds += probe["seconds"]
    return f"{said}; {seconds:,.0f} s of computing time{_speed(report)}"


def _speed(report: Report) -> str:
    """How attacks accelerated the network; empty where they did not."""
    speed = report.timings.get("speed")
    if not speed or not speed["channels_last"]:
        return ""
    how = ["channels last"]
    if speed["folded"]:
        how.insert(0, f"{speed['folded']} normalisations folded")
    if speed["bfloat16"]:
        how.append("bfloat16 first, then float32 where that found nothing")
    return (
        f"; the attacks ran the network with {', '.join(how)} ({speed['gain']:g} times as fast per "
        f"pass); every image was confirmed on the original network"
    )
