"""Screens image files with a guard: prediction, score and flag of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from robust.cases.index.unlabelled import open_unlabelled, shown_as
from robust.cases.walk import is_folder
from robust.engine.inputs import tell_notes
from robust.errors import InputError
from robust.guard.artifact import GuardArtifact, Record
from robust.guard.guard import BATCH, Guard
from robust.models import Classifier, load_classifier
from robust.models.model_json import WEIGHTS
from robust.plan.load import load_plan, refuse_code
from robust.plan.model_fields import loader_arguments
from robust.plan.paths import is_trained
from robust.plan.spec import ModelSpec
from robust.progress import Progress


@dataclass(frozen=True)
class ScreenedImage:
    """One row of the CSV file."""

    id: str
    """The path as the user or the table gave it; of a frame of several with `#1` behind it."""
    group: str
    """The patient as a pseudonym of this call, where a file or a table names one, else the id."""
    prediction: str
    score: float
    flagged: bool


def screen_files(
    detector: str | Path | GuardArtifact,
    paths: Sequence[Path],
    *,
    plan: Path | None = None,
    weights: Path | None = None,
    device: str = "auto",
    skip_broken: bool = False,
    allow_code: bool = False,
    progress: Progress = lambda done, total, label: None,
) -> tuple[list[ScreenedImage], list[str], Record]:
    """Rows in the order of the images, the reasons why files were skipped, and the record.

    The images are those of `open_unlabelled`, read and shown as those of the fit. The classifier is
    loaded as it was for the fit, unless `plan` or `weights` says where it is now; `weights` is also
    the folder of a trained classifier, or the file of weights in it. Code that the detector's
    folder names (a factory, a program, a detector that is no part of robust) runs with `allow_code`
    alone: the folder may have come from elsewhere. Raises InputError.
    """
    if isinstance(detector, GuardArtifact):
        artifact = detector
    else:
        artifact = GuardArtifact.load(detector, allow_code=allow_code)
    record = artifact.record
    images = open_unlabelled(paths)
    classifier = open_classifier(record, plan, weights, allow_code=allow_code)
    guard = Guard(classifier, artifact, device)
    cases = shown_as(
        images, size=record.size, grey=record.grey, depth=record.depth, window=record.window
    )
    lines: list[ScreenedImage] = []
    skipped: list[str] = []
    for start in range(0, len(cases), BATCH):
        progress(start, len(cases), "images")
        good = []
        part = range(start, min(start + BATCH, len(cases)))
        for case in cases.stream(part):
            if not isinstance(case, InputError):
                good.append(case)
            elif skip_broken:
                skipped.append(str(case))
            else:
                raise InputError(f"{case}, or go on without it: --skip-broken")
        seen = guard([case.image for case in good])
        for i, case in enumerate(good):
            name = guard.classes[int(seen.prediction[i])]
            score, flagged = float(seen.score[i]), bool(seen.flagged[i])
            lines.append(ScreenedImage(case.id, case.group, name, score, flagged))
    if not lines:
        raise InputError("none of the images could be read")
    return lines, skipped, record


def open_classifier(
    record: Record, plan: Path | None, weights: Path | None, *, allow_code: bool = False
) -> Classifier:
    """The classifier that a record names, or one from `plan` or `weights`."""
    if plan is not None and weights is not None:
        raise InputError("a plan names weights already; give either --plan or --weights")
    model = _stored_model(record)
    threshold = float(record.classifier.description["threshold"])
    if plan is not None:
        made = load_plan(plan, allow_code=allow_code)
        if made.model is None:
            raise InputError(f"{plan} has no [model] table; it must name the classifier")
        # A sensitivity was turned into a threshold on val, which may be absent now: keep that one.
        threshold = threshold if made.audit.sensitivity is not None else made.audit.threshold
        model = made.model
    elif not allow_code:
        # A file that --weights names is the user's own word, a factory in the record is not.
        own = {"file"} if weights is not None else set()
        named = model.model_dump(exclude_none=True, exclude=own)
        refuse_code({"model": named}, "the detector", "--plan")
    if weights is not None:
        model = _moved(model, weights)
    try:
        classifier = load_classifier(
            **loader_arguments(model, "classification"), threshold=threshold
        )
    except InputError as error:
        if plan is not None or weights is not None:
            raise
        raise InputError(
            f"{error}; the classifier has moved since the detector was fitted: give its new place "
            f"with --weights or --plan"
        ) from None
    tell_notes(classifier)
    return classifier


def _stored_model(record: Record) -> ModelSpec:
    """Where the classifier was at the fit; a trained folder sets all else itself."""
    model = record.classifier.model
    trained = model.folder is not None and is_trained(Path(model.folder))
    return ModelSpec(folder=model.folder) if trained else model


def _moved(model: ModelSpec, place: Path) -> ModelSpec:
    """The same model, its weights, program or trained folder at another place."""
    if model.folder is not None:
        folder = place.parent if place.name == WEIGHTS else place
        if is_trained(folder):
            return ModelSpec(folder=str(folder))
        return model.model_copy(update={"folder": str(folder)})
    if is_folder(place):
        raise InputError(f"{place} is a folder; name the file of weights with --weights")
    kind = "weights" if model.file is None else "file"
    return model.model_copy(update={kind: str(place), "pretrained": False})
