"""Provenance as text: model, data, attacks, hashes, seed, cost and versions."""

from __future__ import annotations

from robust.records import AuditedModel, Report
from robust.report.text.detection import population_text
from robust.report.text.format import counted, flat, plain
from robust.report.text.words import words


def provenance_facts(report: Report) -> list[tuple[str, str]]:
    """Pairs of name and text."""
    data, model, audit = report.data, report.model, report.plan["audit"]
    classes = ", ".join(f"{count} {plain(name)}" for name, count in data.classes.items())
    counts = words(report).counts.format(classes)
    left = f"; {data.skipped_broken} unreadable files left out" if data.skipped_broken else ""
    attacks = "; ".join(_with_label(*one) for one in report.attacks.items())
    tables = {
        "outcomes.csv": report.table_sha256,
        "certificates.csv": report.certificate_table_sha256,
        "corruptions.csv": report.corruption_table_sha256,
    }
    table = "; ".join(f"{name}, SHA-256 {value}" for name, value in tables.items() if value)
    pairs = [
        ("Model", _model(model)),
        ("Model format", _format(model)),
        ("Notes on the model", "; ".join(plain(note.rstrip(".")) for note in model.notes)),
        ("Proof of the format", _proof(report)),
        ("Weights", _weights(report)),
        ("Head", f"{model.head}, operating threshold {model.threshold:g}"),
        ("Gradients replaced", _replaced(model)),
        ("Window", _window(model)),
        ("Preprocessing", _preprocessing(report)),
        (
            "Data",
            f"{plain(data.source)}, split {data.split}: {counts}{left}",
        ),
        (
            "Groups",
            str(data.groups) if data.grouped else "none: each image counts as its own group",
        ),
        ("Pixels", f"SHA-256 {data.pixels_sha256}"),
        ("Attacks", attacks),
        *_detectors(report),
        ("Seed", str(audit["seed"])),
        ("Per-case table", table),
        ("Cost", _cost(report)),
        ("Queries", _queries(report)),
        ("Workers", _workers(report)),
        ("Reproducibility", _reproducibility(report)),
        ("Repairs", _repairs(report)),
        ("Memory", _memory(report)),
        ("Software", ", ".join(f"{key} {value}" for key, value in report.environment.items())),
    ]
    return [(name, flat(text)) for name, text in pairs if text]


def _model(model: AuditedModel) -> str:
    """What the model is called, by whoever trained it or by its code; no path."""
    source = model.source
    named = ("name", "architecture", "network", "factory", "file", "weights", "given")
    parts = [f"{key} {source[key]}" for key in named if source.get(key)]
    parts += ["folder of robust train"] if "folder" in source and "name" in source else []
    parts += ["pretrained weights"] if source.get("pretrained") else []
    return ", ".join(parts)


def _format(model: AuditedModel) -> str:
    """The format of the model's file, and whether gradients lead through it."""
    gradients = "" if model.differentiable else "without gradients"
    return ", ".join(part for part in (plain(model.format), gradients) if part)


def _is_black_box(report: Report) -> bool:
    """Whether only answers of the model are known, which were counted."""
    return report.timings.queries is not None


def _weights(report: Report) -> str:
    digest = f"SHA-256 {report.model.weights_sha256}"
    return f"not known; the black box's own name has {digest}" if _is_black_box(report) else digest


def _proof(report: Report) -> str:
    """How the network was compared with the format's own runtime; empty where there is no other."""
    model = report.model
    if _is_black_box(report):
        return ""
    if not model.differentiable:
        return "the audit asks the format's own runtime itself, which gives no gradients"
    if model.proof is None:
        return ""
    proof, parts = model.proof, []
    if proof.outputs is not None:
        parts.append(
            f"the outputs differ from those of the format's own runtime by at most "
            f"{proof.outputs:.2g} of their spread"
        )
    parts.append(
        f"the gradients differ from central differences by {proof.gradients:.2g}, the median over "
        f"{counted(proof.directions, 'random direction')} ({plain(proof.precision)})"
    )
    return f"on {counted(proof.cases, 'image')} {'; '.join(parts)}"


def _preprocessing(report: Report) -> str:
    model = report.model
    size = f"size {_sides(model.size)}, " if model.size else ""
    if model.multiple_of is not None:
        size += f"padded to a multiple of {model.multiple_of}, "
    mean, std = (", ".join(f"{value:g}" for value in one) for one in (model.mean, model.std))
    channels = model.channels or "as each image has them"
    output = "" if model.output_key is None else f", logits under {plain(str(model.output_key))}"
    how = f"interpolation {model.interpolation}, {_fit(model)}, "
    if report.task.is_segmentation:  # resized as a whole, and always bilinearly
        how = ""
    return f"channels {channels}, {size}{how}mean {mean}, std {std}{output}"


def _replaced(model: AuditedModel) -> str:
    """Which parts the attacker's gradients pass; empty where they are the model's own."""
    names = ", ".join(plain(name) for name in model.straight_through)
    return f"the attacker's gradients pass {names} as if they were not there" if names else ""


def _window(model: AuditedModel) -> str:
    """How the network reads an image in parts; empty where it reads the whole."""
    if model.window is None:
        return ""
    return (
        f"{_sides(model.window)}, moved over each image with an overlap of "
        f"{100 * (model.overlap or 0):g} %, blending {model.blend}; the attacker's gradients go "
        f"through the same windows"
    )


def _sides(size: tuple[int, ...]) -> str:
    return " x ".join(map(str, size))


def _fit(model: AuditedModel) -> str:
    """How images of another shape are fitted, with what a centre crop leaves out."""
    if model.crop_pct == 1:
        return f"fit {model.fit}"
    side = "the short side" if model.fit == "crop" else "each side"
    return (
        f"fit {model.fit} with crop_pct {model.crop_pct:g} (resized so that the centre crop keeps "
        f"{100 * model.crop_pct:.4g} % of {side})"
    )


def _detectors(report: Report) -> list[tuple[str, str]]:
    detection = report.detection
    if detection is None:
        return []
    reference = detection.reference
    left = reference.left_out
    learned = (
        f"{population_text(detection, words(report).does_right)} Cross-fitting in "
        f"{detection.folds} folds by group: each case is scored by detectors fitted on the other "
        f"folds."
    )
    if left:
        learned += (
            f" {left} images of the split that detectors learn from were left out as copies or "
            "near copies of audited images."
        )
    return [
        ("Detectors", "; ".join(_with_label(*one) for one in detection.detectors.items())),
        ("Layers read", ", ".join(plain(layer) for layer in detection.layers)),
        ("Evaluation of detectors", learned),
    ]


def _with_label(label: str, text: str) -> str:
    return text if text.startswith(label) else f"{plain(label)}: {text}"


def _cost(report: Report) -> str:
    timings = report.timings
    seconds = sum(timings.by_cell.values())
    if timings.passes is None:
        made = sum(row.passes * row.attacked for row in report.rows if row.same_as is None)
        text = f"{made:,.0f} forward and backward passes of single images"
    else:
        text = (
            f"{timings.passes.made:,.0f} forward and backward passes of single images "
            f"({timings.passes.in_full:,.0f} if every attack had run in full)"
        )
    if probe := timings.probe:
        text += (
            f", and {probe.passes:,.0f} on {probe.cases} cases to check the {words(report).model}"
        )
        seconds += probe.seconds
    return f"{text}; {seconds:,.0f} s of computing time{_acceleration(report)}"


def _queries(report: Report) -> str:
    """How many images a black box has answered, and for what; empty for a model that was here."""
    queries = report.timings.queries
    if queries is None:
        return ""
    total = sum(queries.answered.values())
    parts = ", ".join(f"{plain(name)} {count:,}" for name, count in queries.answered.items())
    budget = "" if queries.budget is None else f" of {queries.budget:,} allowed"
    return (
        f"{total:,}{budget}, each one image that was answered ({parts}). Requests that failed and "
        f"were sent again count once. Left out for a black box: the effect of saving, tests of "
        f"gradients, and example images unless the plan asks for them"
    )


def _workers(report: Report) -> str:
    """Who attacked the cases; empty where the process of the audit did."""
    workers = report.timings.workers
    if workers is None:
        return ""
    text = f"{counted(workers.count, 'worker')} ({plain(workers.engine)}) of "
    text += f"{counted(workers.threads, 'thread')}, on {', '.join(map(plain, workers.processors))}"
    if workers.replaced:
        text += f"; {workers.replaced} ended before their work was done and were replaced"
    return text


def _reproducibility(report: Report) -> str:
    """What another worker found that computed a part again; empty where none did."""
    workers = report.timings.workers
    again = workers.again if workers else None
    if workers is None or again is None:
        return ""
    was = "was" if again.chunks == 1 else "were"
    text = (
        f"{again.chunks} of {workers.chunks} parts of the cases {was} computed again on another "
        f"worker ({', '.join(map(plain, again.processors))}): "
    )
    if not again.compared:
        return f"{text}no case in them was attacked"
    if not again.differing:
        return f"{text}all {again.compared} outcomes are equal to the last digit"
    score = "Dice" if report.task.is_segmentation else "a logit"
    cells = "; ".join(
        f"{plain(cell.name)}: {cell.differing} of {cell.compared}, by at most {cell.distance:.2g} "
        f"in distance and {cell.logits:.2g} in {score}"
        for cell in again.cells
        if cell.differing
    )
    verdicts = f"{again.verdicts} with another verdict" if again.verdicts else "no verdict differs"
    return f"{text}{again.differing} of {again.compared} outcomes differ, {verdicts} ({cells})"


def _repairs(report: Report) -> str:
    """That parts of the run file were damaged; empty where none was."""
    parts = report.timings.repaired
    if not parts:
        return ""
    was = "was" if parts == 1 else "were"
    return f"the run file was damaged; {parts} of its parts {was} left out and computed again"


def _acceleration(report: Report) -> str:
    """How the attacks accelerated the network; empty where they did not."""
    applied = report.timings.acceleration
    if not applied or not applied.channels_last:
        return ""
    how = ["channels last"]
    if applied.folded:
        how.insert(0, f"{applied.folded} normalisations folded")
    if applied.bfloat16:
        how.append("bfloat16 first, then float32 where that found nothing")
    if applied.compiled:
        how.append("full batches compiled")
    why = f", because {plain(applied.reason)}" if applied.reason else ""
    slow = "; precision = 'float32' may be faster here" if applied.gain < 1 else ""
    return (
        f"; the attacks ran the network with {', '.join(how)}{why} ({applied.gain:g} times as fast "
        f"per pass{slow}); every image was confirmed on the original network"
    )


def _memory(report: Report) -> str:
    """Where memory was short; empty where it was not."""
    short = [
        f"{one.used} in place of {one.settled} images of {one.shape}"
        for one in report.timings.smaller_batches
    ]
    if not short:
        return ""
    return (
        f"short: {', '.join(short)} went through the network at once, so that results may differ "
        f"in their last digits from those of a machine with more memory; a smaller chunk in "
        f"[audit] gives the same batches on both"
    )
