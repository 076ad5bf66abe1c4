"""How a report was made: model, data, attacks, hashes, seed, cost and versions."""

from __future__ import annotations

from robust.records import AuditedModel, Report
from robust.report.text.detection import population
from robust.report.text.format import flat, plain


def facts(report: Report) -> list[tuple[str, str]]:
    """How it was made, as pairs of name and text."""
    data, model, audit = report.data, report.model, report.plan["audit"]
    named = ("architecture", "file", "factory", "weights", "given")
    source = ", ".join(f"{key} {model.source[key]}" for key in named if key in model.source)
    source += ", pretrained weights of the library" if model.source.get("pretrained") else ""
    classes = ", ".join(f"{count} {plain(name)}" for name, count in data.classes.items())
    left = f"; {data.skipped_broken} broken files skipped" if data.skipped_broken else ""
    attacks = "; ".join(_called(*one) for one in report.attacks.items())
    table = f"outcomes.csv, SHA-256 {report.table_sha256}" if report.table_sha256 else ""
    made = [
        ("Model", source),
        ("Weights", f"SHA-256 {model.weights_sha256}"),
        ("Head", f"{model.head}, operating threshold {model.threshold:g}"),
        ("Preprocessing", _preprocessing(model)),
        ("Data", f"{plain(data.source)}, split {data.split}: {classes}{left}"),
        ("Groups", str(data.groups) if data.grouped else "none: each image its own"),
        ("Pixels", f"SHA-256 {data.pixels_sha256}"),
        ("Attacks", attacks),
        *_detectors(report),
        ("Seed", str(audit["seed"])),
        ("Per-case table", table),
        ("Cost", _cost(report)),
        ("Software", ", ".join(f"{key} {value}" for key, value in report.environment.items())),
    ]
    return [(name, flat(text)) for name, text in made if text]


def _preprocessing(model: AuditedModel) -> str:
    size = f"size {model.size[0]} x {model.size[1]}, " if model.size else ""
    mean, std = (", ".join(f"{value:g}" for value in one) for one in (model.mean, model.std))
    return (
        f"channels {model.channels}, {size}interpolation {model.interpolation}, fit {model.fit}, "
        f"mean {mean}, std {std}"
    )


def _detectors(report: Report) -> list[tuple[str, str]]:
    detection = report.detection
    if detection is None:
        return []
    reference = detection.reference
    left = reference.left_out
    learned = (
        f"{population(detection)} Judged in {detection.folds} parts by group: each case is scored "
        f"by detectors fitted on the other parts."
    )
    learned += f" {left} images of the reference are copies of judged ones and left out." * bool(
        left
    )
    return [
        ("Detectors", "; ".join(_called(*one) for one in detection.detectors.items())),
        ("Layers read", ", ".join(plain(layer) for layer in detection.layers)),
        ("Detectors judged on", learned),
    ]


def _called(label: str, text: str) -> str:
    return text if text.startswith(label) else f"{plain(label)}: {text}"


def _cost(report: Report) -> str:
    seconds = sum(report.timings.by_cell.values())
    passes = report.timings.passes
    if passes is None:
        made = sum(row.passes * row.attacked for row in report.results if row.same_as is None)
        said = f"{made:,.0f} forward and backward passes of single images under attack"
    else:
        said = (
            f"{passes.made:,.0f} forward and backward passes of single images under attack, "
            f"{passes.in_full:,.0f} if every attack ran in full"
        )
    if probe := report.timings.probe:
        said += f", and {probe.passes:,.0f} on {probe.cases} cases to probe the classifier"
        seconds += probe.seconds
    return f"{said}; {seconds:,.0f} s of computing{_speed(report)}"


def _speed(report: Report) -> str:
    """How attacks ran the network, where that is not as it came."""
    speed = report.timings.acceleration
    if not speed or not speed.channels_last:
        return ""
    how = ["channels last"]
    if speed.folded:
        how.insert(0, f"{speed.folded} normalisations folded")
    if speed.bfloat16:
        how.append("bfloat16 first, and float32 for what survived it")
    return (
        f"; attacks ran the network with {', '.join(how)}, {speed.gain:g} times as fast a pass; "
        f"every image was confirmed on the network as it is"
    )
