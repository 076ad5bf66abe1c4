"""Drafts the `[model]` table: what a model file shows, and what the data make of its outputs."""

from __future__ import annotations

from collections.abc import Sequence

from robust.cases import Cases
from robust.drafting.draft import Draft, Question
from robust.drafting.model_file import ModelFacts
from robust.drafting.trial import NORMALISATIONS, find_normalisation


def draft_model(draft: Draft, facts: ModelFacts | None) -> None:
    """Fill `[model]` from what a file shows, or ask for it."""
    if facts is None:
        draft.ask(
            Question(
                "model.folder",
                "Which model is audited? Give it with --model: weights (.pth, .safetensors), a "
                "whole network (.onnx, .keras, .tflite, .pt2), a folder, LIBRARY:NAME, or "
                "package.module:function.",
                "models/mine",
            )
        )
        return
    for name, value in facts.fields.items():
        guess = name == "architecture" and bool(facts.matches)
        draft.set(f"model.{name}", value, _why(name, facts), guess=guess)
    if "weights" in facts.fields and "architecture" not in facts.fields:
        draft.ask(
            Question(
                "model.architecture",
                f"Which network are these weights of? No architecture of timm or torchvision has "
                f"tensors of these names and shapes ({', '.join(facts.layers)}, ...). Name one, or "
                f'a function that builds it: factory = "package.module:function".',
                "torchvision:resnet50",
            )
        )
    if facts.channels is not None and ("file" in facts.fields or facts.channels == 1):
        draft.set("model.channels", facts.channels, "Channels of its input.")
    if facts.size is not None:
        draft.set("model.size", list(facts.size), "The size of its input.")
    draft.notes += facts.notes


def _why(name: str, facts: ModelFacts) -> str:
    if name == "architecture" and facts.matches:
        first, *others = facts.matches
        text = "the names and shapes of the tensors fit"
        if first.own_head is not None:
            text += f", but for {first.own_head}, which is a head of your own"
        if others:
            names = ", ".join(match.name for match in others[:5])
            text += f"; so they do {names}"
        return f"{text}. Mean, std and size are the architecture's own: set them if others are used"
    if name in ("file", "folder", "weights"):
        known = [f"{facts.outputs} outputs"] if facts.outputs else []
        known += [f"{facts.channels} input channels"] if facts.channels else []
        text = ", ".join([facts.kind, *known])
        return f"{text[:1].upper()}{text[1:]}."
    return ""


def draft_preparation(draft: Draft, images: Sequence[tuple[int, int]], cases: Cases) -> None:
    """What a whole network in a file does not say: how its images are resized and normalised."""
    if not draft.has("model.size") and (
        len(set(images)) > 1 or max(map(max, images), default=0) > 512
    ):
        draft.set(
            "model.size",
            224,
            "the model does not say its input size, and the images have several or large ones",
            guess=True,
        )
    if draft.has("model.mean") or draft.questions:
        return
    found = find_normalisation(draft.tables()["model"], cases)
    if found is None:
        draft.notes.append(
            "The model does not say how its input is normalised: set mean and std in [model] if it "
            "was trained with others than 0 and 1."
        )
        return
    name, reading, plain = found
    mean, std = NORMALISATIONS[name]
    draft.set(
        "model.mean",
        mean,
        f"the model does not say it: with mean and std {name} it reads {reading.correct} of "
        f"{reading.images} images correctly, without {plain.correct}",
        guess=True,
    )
    draft.set("model.std", std)


def draft_outputs(
    draft: Draft, facts: ModelFacts, classes: int, finding: str | None, order: Sequence[str]
) -> None:
    """What the outputs mean for data of so many classes.

    `order` is the usual one of the set's findings, of which `finding` is audited.
    """
    count = facts.outputs
    if count is None or count == classes or (count == 1 and classes == 2):
        return
    if classes == 2 and finding is not None and count == len(order) and finding in order:
        draft.set(
            "model.outputs",
            list(order),
            "the usual order of this set's findings; the network's must be the same",
            guess=True,
        )
        draft.set("model.finding", finding, "the output of the finding that is audited", guess=True)
        return
    if classes == 2 and count > 2:
        if finding is not None and finding in facts.names:
            draft.set("model.finding", finding, "The output of this name.")
            return
        named = facts.names or tuple(map(str, range(count)))
        draft.ask(
            Question(
                "model.finding",
                f"Which of the network's {count} outputs is the finding? Give its number, from 0, "
                f"or its name.",
                0,
                named,
            )
        )
        return
