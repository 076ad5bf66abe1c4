"""The model card of a trained network in Markdown; it names no file and no patient."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from robust.records import Estimate, SplitCopies, left_out_text, record_from
from robust.records.estimate import interval_text
from robust.report.formats.markdown import escape_markdown
from robust.report.text.format import plain
from robust.training.modality import kinds_applied
from robust.units import at_eps

_COPIES_LEFT = (
    "The splits shared pictures. Those that were found are left out; mirrored and rotated copies "
    "are not looked for, so the results may still be too good."
)
ROWS = ("accuracy", "sensitivity", "specificity", "auc")
OUTLINE_ROWS = {
    "dice": "Dice",
    "surface_dice": "surface Dice",
    "hd95": "HD95",
    "missed": "share missed",
    "invented": "share invented",
}
"""Scores of a structure, by their name in the record."""


def card(content: Mapping[str, Any], *, has_plan: bool) -> str:
    """The card in Markdown, from the content of model.json."""
    parts = [
        f"# {_text(content['title'])}",
        _description(content),
        "## Intended use\n\nTo be written by the user of the model: for which patients and images, "
        "and under whose supervision. This card does not claim that it is fit for clinical use.",
        "## Data\n\n" + _data(content["data"]),
        "## Images\n\n" + _images(content["preprocessing"]),
        "## Results\n\n" + _results(content),
        "## Training\n\n" + _training(content),
        "## Known limits\n\n" + _limits(content, has_plan),
        "## Method and versions\n\n" + _provenance(content),
    ]
    return "\n\n".join(parts) + "\n"


def _outlines(content: Mapping[str, Any]) -> bool:
    return content.get("task") == "segmentation"


def _structures(content: Mapping[str, Any]) -> list[str]:
    """The classes without the background."""
    return list(content["classes"][0 if content["overlapping"] else 1 :])


def _description(content: Mapping[str, Any]) -> str:
    if _outlines(content):
        kind = "volumes" if content["preprocessing"]["spatial_dims"] == 3 else "images"
        overlap = ", which may overlap" if content["overlapping"] else ""
        return (
            f"A segmenter of {kind}: {_text(content['architecture'])}. It outlines "
            f"{', '.join(map(_text, _structures(content)))}{overlap}."
        )
    head = content["head"]
    kinds = {
        "plain": "with a new last layer",
        "ma2021": f"with a head of {head['hidden']} linear units, dropout {head['dropout']:g} and "
        f"a linear layer, as in Ma et al. 2021",
    }
    masked = content.get("mask_channel")
    channel = (
        f" A further input channel is the mask that a frozen segmenter inside it "
        f"({_text(masked['architecture'])}, SHA-256 of its weights `{masked['weights_sha256']}`) "
        f"computes from the image."
        if masked
        else ""
    )
    findings = content["findings"]
    findings_text = f" Findings: {', '.join(map(_text, findings))}." if findings else ""
    return (
        f"An image classifier: {_text(content['architecture'])} {kinds[head['kind']]}. "
        f"Classes: {', '.join(map(_text, content['classes']))}.{findings_text}{channel}"
    )


def _data(data: Mapping[str, Any]) -> str:
    classes = list(next(iter(data["splits"].values()))["classes"])
    rows = [
        f"| {role} | {s['cases']} | {s['groups'] if s['grouped'] else 'unknown'} | "
        + "".join(f"{s['classes'][name]} | " for name in classes)
        + f"`{s['fingerprint'][:16]}` |"
        for role, s in data["splits"].items()
    ]
    table = _table(["split", "images", "groups", *map(_text, classes), "hash of the index"], rows)
    grouped = all(s["grouped"] for s in data["splits"].values())
    shared = (
        "No group (patient or lesion) is in two splits."
        if grouped
        else "No patient column was given: each image counts as its own group, and one patient may "
        "be in two splits."
    )
    return f"From {_text(data['source'])}.\n\n{table}\n\n{shared} {_copies(data['copies'])}"


def _copies(found: Mapping[str, Any]) -> str:
    """What was found of images that show one picture."""
    between = record_from(tuple[SplitCopies, ...], found["between"])
    lines = [_text(f"{left_out_text(one)}.") for one in between]
    if not lines:
        lines = ["No image of a split is a copy or near copy of one of another split."]
    for role, one in found["within"].items():
        if one["images"]:
            copies = "1 is a copy" if one["images"] == 1 else f"{one['images']} are copies"
            lines.append(f"Of the {role} images {copies} of another one; they are one group.")
    return " ".join(lines)


def _images(given: Mapping[str, Any]) -> str:
    size = _pixels(given["size"]) if given["size"] else "as they come"
    if "fit" in given:
        size += f" ({given['fit']}, {given['interpolation']})"
    elif given["window"]:
        size += f", in windows of {_pixels(given['window'])}"
    elif given["multiple_of"]:
        size += f", padded to multiples of {given['multiple_of']}"
    return (
        f"Displayed pixels in [0, 1]; size: {size}; channels: {given['channels']}; then "
        f"(pixel - mean) / std with mean {_list(given['mean'])} and std {_list(given['std'])}."
    )


def _pixels(sides: list[int]) -> str:
    return f"{' x '.join(map(str, sides))} pixels"


def _class_rows(content: Mapping[str, Any]) -> dict[str, list[Any]]:
    """What is said of a classifier, by its name: one value for each split."""
    splits = [split["scores"] for split in content["metrics"].values()]
    names = {row: row.upper() if row == "auc" else row for row in ROWS}
    rows = {label: [scores[row] for scores in splits] for row, label in names.items()}
    rows = {label: values for label, values in rows.items() if any(values)}
    recall = {
        f"recall of {_text(name)}": [scores["recall"][name] for scores in splits]
        for name in content["classes"]
    }
    return {**rows, **recall}


def _outline_rows(content: Mapping[str, Any]) -> dict[str, list[Any]]:
    """The same of a segmenter."""
    splits = [split["scores"] for split in content["metrics"].values()]
    rows = {"Dice": [scores["dice"] for scores in splits]}
    for name in _structures(content):
        for row, label in OUTLINE_ROWS.items():
            values = [scores["outlines"][name][row] for scores in splits]
            if any(values):
                rows[f"{_text(name)}: {label}"] = values
    return rows


def _results(content: Mapping[str, Any]) -> str:
    metrics, splits = content["metrics"], content["data"]["splits"]
    found = _outline_rows(content) if _outlines(content) else _class_rows(content)
    rows = [
        f"| {label} | " + " | ".join(map(_interval, values)) + " |"
        for label, values in found.items()
    ]
    table = _table(["", *metrics], rows)
    units = ", ".join(
        f"{role}: {splits[role]['groups']} groups" if splits[role]["grouped"] else f"{role}: images"
        for role in metrics
    )
    if _outlines(content):
        meaning = (
            "The Dice of a case is the mean over its structures. Distances are in millimetres, or "
            "in pixels where no spacing is known."
        )
    else:
        side = "the findings" if content["findings"] else "each class"
        meaning = f"AUC: {side} against the rest. The predicted class has the largest output."
    once = (
        "The epoch was chosen on val, so the results on val are too good. Test was used once, at "
        "the end."
        if "test" in metrics
        else "The epoch was chosen on val, so these results are too good; there was no test split."
    )
    return f"{table}\n\n95 % intervals by group ({units}). {meaning} {once}"


def _training(content: Mapping[str, Any]) -> str:
    training, recipe = content["training"], content["recipe"]
    network, hard = recipe["network"], recipe.get("adversarial")
    start = (
        _started_from(training["started_from"])
        if training.get("started_from")
        else "a file of weights"
        if network.get("weights")
        else "the library's pretrained weights"
        if network["pretrained"]
        else "random weights"
    )
    spec = recipe["training"]
    masked = _outlines(content) or bool(spec["attention_weight"])
    text = (
        f"From {start}; {spec['optimiser']}, learning rate {spec['lr']:g} ({spec['schedule']}), "
        f"batches of {spec['batch']}, seed {spec['seed']}. Epoch {training['best_epoch']} of "
        f"{training['epochs']} was chosen for its "
        + ("robust " if hard else "")
        + ("Dice" if _outlines(content) else "accuracy" if hard else "AUC")
        + " on val. All settings are in recipe.toml, the training curves in curves.png."
    )
    text += "".join(map(_computed_on, training["computed_on"]))
    if spec["attention_weight"]:
        text += (
            f"\n\nThe share of the input gradient outside a mask of each training image was added "
            f"to the loss, with weight {spec['attention_weight']:g}. Masks are not needed any more."
        )
    if recipe["augmentation"]["augment"] == "modality":
        text += _corrupted(recipe["augmentation"], has_masks=masked)
    if hard is not None:
        text += (
            f"\n\nAdversarial training: {at_eps(hard['method'], 'Linf', hard['eps'])} in L-inf of "
            f"the displayed image, {hard['steps']} steps."
        )
    return text


def _started_from(start: Mapping[str, Any]) -> str:
    """The trained model whose network was the start."""
    return (
        f"a trained model of the classes {', '.join(map(_text, start['classes']))} (SHA-256 of its "
        f"weights `{start['weights_sha256']}`), all tensors but those of the head"
    )


def _corrupted(spec: Mapping[str, Any], *, has_masks: bool) -> str:
    """What `augment = "modality"` did to the training images."""
    kinds = kinds_applied(spec["modality"], tuple(spec["corruption_kinds"]), has_masks=has_masks)
    return (
        f"\n\nTraining images were corrupted with probability {spec['corruption_share']:g} as "
        f"{_text(spec['modality'])} images are by scanners, storage and movement, by one kind at a "
        f"severity from 1 to {spec['corruption_severity']}: {', '.join(map(_text, kinds))}. "
        f"Robustness to these kinds is not robustness to others."
    )


def _computed_on(on: Mapping[str, Any]) -> str:
    on_cpu, count = on["device"] == "cpu", on["devices"]
    if count == 1:
        processor = "the CPU" if on_cpu else _text(on["device"])
    else:
        processor = (
            f"{count} processes of the CPU" if on_cpu else f"{count} x {_text(on['device'])}"
        )
    text = f" Trained on {processor} in {on['precision']}."
    if not on["whole_batches"]:
        text += " Each process normalised its part of a batch by itself."
    return text


def _rarest(content: Mapping[str, Any]) -> str:
    """The class or structure with the fewest groups or cases."""
    splits = {role: split["scores"] for role, split in content["metrics"].items()}
    if _outlines(content):
        count, role, name = min(
            (scores["outlines"][name]["cases"], role, name)
            for role, scores in splits.items()
            for name in _structures(content)
        )
        return f"The rarest structure is {_text(name)} in {role}, with {count} cases."
    count, role, name = min(
        (scores["recall"][name]["groups"], role, name)
        for role, scores in splits.items()
        for name in content["classes"]
        if scores["recall"][name]
    )
    return f"The smallest class is {_text(name)} in {role}, with {count} groups."


def _limits(content: Mapping[str, Any], has_plan: bool) -> str:
    lines = [
        "All splits come from one source. Results at another hospital or on another device are not "
        "known. A network may learn the camera instead of the disease.",
        _rarest(content),
        "The model answers for every image, also for images of another kind, often with high "
        "confidence.",
        "Probabilities are not calibrated.",
        *(_COPIES_LEFT for _ in content["data"]["copies"]["between"][:1]),
        "These results are without attack"
        + ("; `robust audit` on this folder measures them under attack." if has_plan else "."),
    ]
    return "\n".join(f"- {line}" for line in lines)


def _provenance(content: Mapping[str, Any]) -> str:
    environment = content["environment"]
    versions = ", ".join(_text(f"{name} {value}") for name, value in environment.items())
    command = f"```\n{content['command']}\n```\n\n"
    return f"{command}{versions}.\n\nSHA-256 of the weights: `{content['weights_sha256']}`"


def _interval(value: Mapping[str, Any] | None) -> str:
    if value is None:
        return "-"
    estimate = record_from(Estimate, value)
    return f"{estimate.value:.3f} {interval_text(estimate)}"


def _table(head: list[str], rows: list[str]) -> str:
    rule = "|" + "---|" * len(head)
    return "\n".join(["| " + " | ".join(head) + " |", rule, *rows])


def _list(values: list[float]) -> str:
    return ", ".join(f"{value:.4g}" for value in values)


def _text(name: object) -> str:
    """A name from outside, which neither Markdown nor HTML takes for more than a name."""
    return escape_markdown(plain(name))
