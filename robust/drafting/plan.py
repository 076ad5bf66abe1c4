"""Drafts a whole plan from a path, a model and what the user says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from robust.cases import Cases, finding_names, open_cases
from robust.cases.tables.table_file import TableFile
from robust.drafting.data import draft_data, draft_shares
from robust.drafting.draft import Draft
from robust.drafting.findings import AskedFor
from robust.drafting.images import TWELVE_BITS, ImageFacts, look_at_images
from robust.drafting.layouts import (
    LAYOUTS,
    PublicLayout,
    apply_layout,
    choose_finding,
    find_files,
    read_layout,
)
from robust.drafting.medmnist import draft_npz
from robust.drafting.model import (
    draft_input,
    draft_model,
    draft_outputs,
    draft_preparation,
    draft_prompts,
)
from robust.drafting.model_file import ModelFacts, look_at_model
from robust.drafting.trial import load, try_network
from robust.errors import InputError, excerpt
from robust.files import path_exists
from robust.models import Classifier
from robust.models.formats.contract import MissingField
from robust.plan.findings import ALL
from robust.plan.load import make_plan
from robust.report.text.format import counted


@dataclass(frozen=True)
class DraftRequest:
    """What the user has, and has said."""

    path: Path
    """Of a folder, a table or an npz file."""
    model: str | None = None
    architecture: str | None = None
    images: Path | None = None
    """Folder of the images of a table that lies elsewhere."""
    layout: str | None = None
    finding: str | None = None
    train: bool = False
    """Whether a network is to be trained first; there is no model then."""
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Values by field."""


@dataclass(frozen=True)
class Drafted:
    """A draft, and what was seen."""

    draft: Draft
    facts: ModelFacts | None
    layout: PublicLayout | None
    cases: Cases | None
    """Those that are audited; None where they cannot be opened yet."""
    images: ImageFacts | None
    problem: str = ""
    """Why the plan cannot run: its images cannot be opened, or the model takes none of them."""


def draft_plan(request: DraftRequest) -> Drafted:
    """A plan of what a request names; InputError where that is nothing to audit."""
    if not path_exists(request.path):
        raise InputError(f"no such folder or file: {excerpt(request.path, 300)}; check the path")
    facts, classifier = None, None
    if request.model is not None:
        facts = look_at_model(request.model, request.architecture)
        facts, classifier = _loaded(facts, request.changes)
    draft = Draft()
    draft.give(request.changes)
    draft.set("title", "Robustness audit")
    layout, finding = _draft_cases(draft, request, facts)
    if request.train:
        draft_shares(draft)
    else:
        draft_model(draft, facts)
    cases, problem = _open(draft)
    images = None
    if cases is not None:
        images = look_at_images(cases)
        if _draft_reading(draft, images):
            cases, problem = _open(draft)
    if cases is not None and images is not None:
        empty = _empty_classes(cases)
        if empty and not draft.has("model.finding"):
            draft.notes.append(f"The split {cases.split} has no case of {', '.join(empty)}.")
        if facts is not None:
            order = () if layout is None else layout.outputs
            problem = _draft_reader(draft, facts, classifier, cases, images, finding, order)
    return Drafted(draft, facts, layout, cases, images, problem)


def _loaded(facts: ModelFacts, changes: Mapping[str, Any]) -> tuple[ModelFacts, Classifier | None]:
    """What loading a model shows of it; InputError where it cannot be loaded."""
    given = {name.partition(".")[2]: v for name, v in changes.items() if "model." in name}
    facts = replace(facts, fields={**facts.fields, **given})
    if not facts.complete:
        return facts, None
    try:
        loaded = load(facts.fields)
    except MissingField as error:
        return replace(facts, prompted=error.field == "prompts"), None
    except InputError:
        if any(match.own_head is not None for match in facts.matches[:1]):
            return facts, None  # the plan tells the network but for its head
        raise
    classifier = loaded.classifier
    plain = bool((classifier.mean == 0).all() and (classifier.std == 1).all())
    whole = bool({"file", "factory"} & {*facts.fields}) and not classifier.origin.is_black_box
    seen = replace(
        facts,
        kind=facts.kind if facts.matches else classifier.origin.format,
        outputs=facts.outputs or loaded.outputs,
        names=facts.names or tuple(classifier.output_names or ()),
        multilabel=loaded.multilabel,
        prepares=not (plain and whole),
    )
    return seen, classifier


def _draft_reader(
    draft: Draft,
    facts: ModelFacts,
    classifier: Classifier | None,
    cases: Cases,
    images: ImageFacts,
    finding: str | None,
    order: Sequence[str],
) -> str:
    """What the model takes and gives for these cases; why it takes none, or an empty text."""
    if facts.prompted:
        draft_prompts(draft, cases.classes)
    if classifier is None:
        return ""
    try:
        trial = try_network(classifier, cases)
    except InputError as error:
        return str(error)
    draft_input(draft, trial)
    draft_outputs(draft, replace(facts, outputs=trial.outputs), len(cases.classes), finding, order)
    if not facts.prepares:
        draft_preparation(draft, images.sizes, classifier, cases)
    return ""


def _empty_classes(cases: Cases) -> list[str]:
    if cases.outlines is not None:
        return []
    present = {entry.label for entry in cases.entries}
    return [name for i, name in enumerate(cases.classes) if i not in present]


def _draft_cases(
    draft: Draft, request: DraftRequest, facts: ModelFacts | None
) -> tuple[PublicLayout | None, str | None]:
    """Fill `[data]`; the layout that was used, and the finding that is audited."""
    path = request.path
    layout = None if request.layout is None else read_layout(request.layout)
    if layout is None:
        layout = recognise(path)
        if layout is not None:
            draft.notes.append(
                f"This looks like {layout.name}: its layout was used (--layout {layout.key})."
            )
    npz = _npz_in(path) if layout is None or layout.key == "medmnist" else None
    wanted = AskedFor(request.finding)
    if facts is not None:
        wanted = AskedFor(request.finding, facts.outputs, facts.names)
    if npz is not None:
        draft_npz(draft, npz, read_layout("medmnist"), wanted)
        return layout, request.finding
    if layout is None:
        draft_data(draft, path, wanted, request.images)
        return None, request.finding
    if layout.key == "medmnist":
        raise InputError(f"{path} holds no .npz file; name one, such as pneumoniamnist.npz")
    folder = path if path.is_dir() else path.parent
    finding = choose_finding(layout, wanted)
    draft.set("title", f"Robustness audit on {layout.name}")
    apply_layout(draft, layout, folder, finding, wanted)
    return layout, finding


def _npz_in(path: Path) -> Path | None:
    """The npz file that is meant: the path itself, or the only one in a folder; InputError."""
    if not path.is_dir():
        return path if path.suffix == ".npz" else None
    found = sorted(one for one in path.iterdir() if one.suffix == ".npz")
    if len(found) > 1:
        names = ", ".join(one.name for one in found[:12])
        raise InputError(f"{path} holds {len(found)} npz files ({names}); name one of them")
    return found[0] if found else None


def recognise(path: Path) -> PublicLayout | None:
    """The layout whose table lies in a folder, or is a file, with all columns that it names."""
    folder = path if path.is_dir() else path.parent
    for layout in map(read_layout, LAYOUTS):
        names = layout.files.get("table", ())
        name = next((n for n in names if path_exists(folder / n)), None)
        if name is None or (not path.is_dir() and path.name != name):
            continue
        try:
            find_files(layout, folder)
            header = set(TableFile(folder / name).header)
        except InputError:
            continue
        if layout.columns <= header:
            return layout
    return None


def _open(draft: Draft) -> tuple[Cases | None, str]:
    """The cases as drafted so far; None, and why, where they cannot be opened."""
    if any(question.place.startswith("data.") for question in draft.questions):
        return None, ""
    plan = make_plan({"data": draft.tables()["data"]}, "the draft")
    assert plan.data is not None
    options = plan.data.options()
    try:
        if draft.get("model.finding") == ALL:
            first = finding_names(plan.data.path, **options)[0]
            options |= (
                {"label": first} if plan.data.path.endswith(".npz") else {"positive": (first,)}
            )
        return open_cases(plan.data.path, **options), ""
    except InputError as error:
        return None, f"the images cannot be opened as the plan says: {error}"


def _draft_reading(draft: Draft, images: ImageFacts) -> bool:
    """How the files are read, from what a sample shows; whether that differs from the default."""
    before = dict(draft.values)
    if images.sampled and images.grey_in_colour == images.sampled:
        draft.set(
            "data.grey",
            True,
            "the files are in colour, their pixels grey: an attacker then changes one value for "
            "each pixel, not three",
            guess=True,
        )
    if images.twelve_bits and images.twelve_bits == images.sampled:
        draft.set(
            "data.depth",
            12,
            f"the files have 16 bits, the values of {counted(images.sampled, 'image')} stay below "
            f"{TWELVE_BITS}, as those of 12 bits do; a higher value in another image is an error",
            guess=True,
        )
    if images.problem:
        draft.notes.append(f"{images.problem}.")
    return draft.values != before
