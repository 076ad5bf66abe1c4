"""Opens the classifier of a ranking: a folder with a model, or a plan."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from robust.cases.case import Cases
from robust.cases.index.unlabelled import shown_as
from robust.engine.inputs import open_model, require_one_threshold, set_threshold, tell_notes
from robust.errors import InputError
from robust.models import Classifier
from robust.models.class_order import match_classes
from robust.models.model_json import read_either
from robust.plan.load import PLAN, load_plan
from robust.plan.paths import check_model_paths, is_trained
from robust.plan.spec import AuditSpec, DataSpec, ModelSpec, Plan


@dataclass(frozen=True)
class OpenedModel:
    """A classifier, and how its images are read."""

    classifier: Classifier
    classes: tuple[str, ...]
    """Empty where nothing names them."""
    data: DataSpec | None
    """The plan's `[data]`, whose size, grey, depth and window count."""

    def as_read(self, cases: Cases) -> Cases:
        """Cases that are read as the plan reads its own."""
        data = self.data
        if data is None:
            return cases
        return shown_as(cases, size=data.size, grey=data.grey, depth=data.depth, window=data.window)


def open_ranked_model(
    place: Path, *, device: str = "auto", allow_code: bool = False
) -> OpenedModel:
    """The classifier of a plan, of a folder with a plan.toml, or of a folder that holds a model.

    InputError for a model of outlines, and for what cannot be opened.
    """
    plan = model_plan(place, allow_code=allow_code)
    spec, data = plan.model, plan.data
    if spec is None:
        raise InputError(f"{place} has no [model] table; it must name the classifier")
    require_one_threshold(plan.audit)
    classifier = open_model(spec, plan.audit.threshold)
    classes = () if data is None or data.classes is None else tuple(data.classes)
    if spec.folder is not None and is_trained(Path(spec.folder)):
        classes = classes or read_either(Path(spec.folder))[0].classes
    if classes:
        match_classes(classifier, classes)
    set_threshold(classifier, plan, device)
    tell_notes(classifier)
    return OpenedModel(classifier, classes, data)


def model_plan(place: Path, *, allow_code: bool = False) -> Plan:
    """The plan that names the model; InputError, before anything heavy is imported."""
    if place.is_dir() and not (place / PLAN).exists():
        plan = Plan(model=ModelSpec(folder=str(place), allow_code=allow_code), audit=AuditSpec())
    elif place.exists():
        plan = load_plan(place, allow_code=allow_code)
    else:
        raise InputError(f"no such model or plan: {place}")
    if plan.model is not None:
        check_model_paths(plan.model)
    return plan
