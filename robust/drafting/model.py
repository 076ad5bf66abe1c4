"""Drafts the `[model]` table: what a model file shows, and what the data make of its outputs."""

from __future__ import annotations

from collections.abc import Sequence

from robust.cases import Cases
from robust.drafting.draft import Draft, Question
from robust.drafting.model_file import ModelFacts
from robust.drafting.trial import NORMALISATIONS, Trial, find_normalisation, varied
from robust.models import Classifier
from robust.plan.findings import same_finding
from robust.report.text.format import counted


def draft_model(draft: Draft, facts: ModelFacts | None) -> None:
    """Fill `[model]` from what a file shows, or ask for it."""
    if facts is None:
        draft.ask(
            Question(
                "model.folder",
                "Which model is audited? Give it with --model: weights (.pth, .safetensors), a "
                "whole network (.onnx, .keras, .tflite, .pt2), a folder, LIBRARY:NAME, "
                "package.module:function, or the address of an endpoint.",
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
        outputs = [counted(facts.outputs, "output")] if facts.outputs else []
        text = ", ".join([facts.kind, *outputs])
        return f"{text[:1].upper()}{text[1:]}."
    return ""


def draft_prompts(draft: Draft, classes: Sequence[str]) -> None:
    """A text for each class, for a zero-shot model."""
    draft.set(
        "model.prompts",
        [f"an image of {name}" for name in classes],
        "a text for each class, in their order: put in the words that the model learned from",
        guess=True,
    )


def draft_input(draft: Draft, trial: Trial) -> None:
    """What the model takes, where loading it does not show it and images of its own do."""
    if trial.channels is not None:
        draft.set("model.channels", trial.channels, "It takes images with so many channels alone.")
    if trial.size is not None:
        draft.set("model.size", list(trial.size), "It takes images of this size.", guess=True)


def draft_preparation(
    draft: Draft,
    images: Sequence[tuple[int, ...]],
    classifier: Classifier,
    cases: Cases,
) -> None:
    """What a network without preprocessing does not say: how images are resized and normalised."""
    if (
        classifier.size is None
        and not draft.has("model.size")
        and (len(set(images)) > 1 or max(map(max, images), default=0) > 512)
    ):
        draft.set(
            "model.size",
            224,
            "the model does not say its input size, and the images have several or large ones",
            guess=True,
        )
    if draft.has("model.mean") or draft.questions:
        return
    found = None
    if draft.get("model.finding") is None:
        size, channels = draft.get("model.size"), draft.get("model.channels")
        found = find_normalisation(varied(classifier, size=size, channels=channels), cases)
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
    if count is None or draft.has("model.finding"):
        return
    if not facts.multilabel and (count == classes or (count == 1 and classes == 2)):
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
    if classes == 2 and (count > 2 or facts.multilabel):
        same = [name for name in facts.names if same_finding(name, finding or "")]
        if same:
            draft.set("model.finding", same[0], "The output of this name.")
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
