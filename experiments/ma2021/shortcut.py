"""The fundus shortcut: what an audit says of a model trained with the EyePACS class, and without.

Run: `python -m experiments.ma2021.shortcut [--quick]` (about ten minutes on one CPU core). Writes
`results/shortcut_source.csv`, `results/shortcut_classes.csv` and `results/shortcut_attack.csv`.

Diabetic retinopathy comes from EyePACS, the other three classes from ODIR, so that the camera gives
the class away. Three looks: (1) logistic regression on ten colour statistics of an image, which
know nothing of lesions: how well they tell the source, and, as a control, disease within ODIR;
(2) recall of each class as photographed and after the colours of every image were matched to the
mean and deviation of the other source, which moves no lesion; (3) robust accuracy of each class.
"""

from __future__ import annotations

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

import robust
from experiments.ma2021.common import (
    PAPER,
    Options,
    audited,
    interval,
    numbers,
    percent,
    started,
    write_table,
)
from experiments.models import data_of
from robust.metrics.by_group import ByGroup
from robust.models import prepare

WITH, WITHOUT = "fundus-eyepacs-224", "fundus-224"
EPS = ("0.1/255", "0.25/255", "0.5/255", "1/255", "2/255")
LIMIT = 36
EYEPACS = "diabetic_retinopathy"
DARK = 0.06
"""A pixel of which every channel is below this lies outside the eye."""


def opened(asked: Options, split: str) -> robust.Cases:
    """All four classes at the size that the model was trained on."""
    data = data_of(WITH, asked.folder(WITH))
    cases = robust.open_cases(data.path, **{**data.options(), "split": split, "limit": None})
    return cases.sample(60) if asked.quick else cases


def statistics(image: Tensor) -> list[float]:
    """Mean and deviation of each channel; how dark the whole, a side, the top and a corner are."""
    dark = (image < DARK).all(0).double()
    around = [dark.mean(), dark[:, :8].mean(), dark[:8].mean(), dark[:16, :16].mean()]
    return [*image.mean((1, 2)).tolist(), *image.std((1, 2)).tolist(), *map(float, around)]


def read(cases: robust.Cases) -> tuple[Tensor, list[str], list[str]]:
    """Images, the names of their classes and their groups."""
    found = list(cases)
    names = [cases.classes[case.label] for case in found]
    return torch.stack([case.image for case in found]), names, [case.group for case in found]


def source_told(asked: Options, test: tuple[Tensor, list[str], list[str]]) -> None:
    """(1): AUC on the test split of ten statistics, fitted on the train split."""
    images, names, _ = read(opened(asked, "train"))
    tables = {
        "train": (np.array([statistics(one) for one in images]), np.array(names)),
        "test": (np.array([statistics(one) for one in test[0]]), np.array(test[1])),
    }
    questions = {
        "EyePACS or ODIR": (EYEPACS, ("normal", "cataract", "glaucoma")),
        "EyePACS or normal ODIR": (EYEPACS, ("normal",)),
        "cataract or normal, both ODIR": ("cataract", ("normal",)),
        "glaucoma or normal, both ODIR": ("glaucoma", ("normal",)),
    }
    rows = []
    for question, (one, others) in questions.items():
        model = make_pipeline(
            StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=2000)
        )
        table, labels = tables["train"]
        kept = np.isin(labels, [one, *others])
        model.fit(table[kept], labels[kept] == one)
        table, labels = tables["test"]
        kept = np.isin(labels, [one, *others])
        scores = np.full(len(labels), np.nan)
        scores[kept] = model.decision_function(table[kept])
        area = ByGroup(test[2]).auc(scores, labels == one, kept)
        rows.append([question, int(kept.sum()), *numbers(area)])
        print(f"{question}: AUC {percent(area)} %")
    write_table(asked, "shortcut_source", ("question", "images", *interval("auc")), rows)


def recoloured(images: Tensor, names: list[str]) -> Tensor:
    """Each image with the mean colour and contrast, inside the eye, of the other source."""
    inside = ~(images < DARK).all(1)
    eyepacs = torch.tensor([name == EYEPACS for name in names])
    means, deviations = (
        torch.stack([getattr(one[:, own], what)(1) for one, own in zip(images, inside)])
        for what in ("mean", "std")
    )
    changed = images.clone()
    for own in (eyepacs, ~eyepacs):
        mean, deviation = means[~own].mean(0), deviations[~own].mean(0)
        for row in own.nonzero().flatten().tolist():
            pixels = images[row][:, inside[row]]
            scale = deviation[:, None] / deviations[row][:, None].clamp_min(1e-3)
            moved = (pixels - means[row][:, None]) * scale + mean[:, None]
            changed[row][:, inside[row]] = moved.clamp(0, 1)
    return changed


def recalls(asked: Options, test: tuple[Tensor, list[str], list[str]]) -> None:
    """(2): recall of each class, and what is called retinopathy, as photographed and recoloured."""
    images, names, groups = test
    other = recoloured(images, names)
    by_group = ByGroup(groups)
    rows = []
    for model in (WITH, WITHOUT):
        folder = asked.folder(model)
        classifier = prepare(robust.load_classifier(folder=folder))
        data = data_of(model, folder)
        classes = robust.open_cases(data.path, **{**data.options(), "limit": None}).classes
        for look, shown in (("as photographed", images), ("colours of the other source", other)):
            with torch.no_grad():
                logits = torch.cat([classifier(part) for part in torch.split(shown, 16)])
            said = np.array([classes[i] for i in logits.argmax(1).tolist()])
            for name in sorted(set(names)):
                mine = np.array(names) == name
                right = by_group.rate(said == name, mine) if name in classes else None
                called = by_group.rate(said == EYEPACS, mine) if EYEPACS in classes else None
                rows.append([model, look, name, int(mine.sum()), *numbers(right, called)])
                print(f"{model}, {look}, {name}: recall {percent(right)}")
    columns = ("model", "look", "class", "images")
    ends = interval("recall", "called_retinopathy")
    write_table(asked, "shortcut_classes", (*columns, *ends), rows)


def attacked(asked: Options) -> None:
    """(3): robust accuracy of each class under PGD."""
    rows = []
    for model in (WITHOUT, WITH):
        report, _ = audited(
            asked,
            model,
            limit=12 if asked.quick else LIMIT,
            attacks=[PAPER["PGD"]],
            eps=EPS,
            cells="curve",
            data={"subgroups": ("label_name",)},
        )
        for row in report.worst_cases:
            assert row.eps is not None
            eps = f"{255 * row.eps:g}"
            rows.append([model, "all", eps, row.attacked, *numbers(row.scores.robust_accuracy)])
            for group in row.subgroups:
                kept = group.scores.robust_accuracy
                rows.append([model, group.value, eps, kept.cases if kept else 0, *numbers(kept)])
                print(f"{model}, {group.value}, {row.condition}: {percent(kept)}")
        columns = ("model", "class", "eps_255", "images")
        ends = interval("accuracy_of_right_when_clean")
        write_table(asked, "shortcut_attack", (*columns, *ends), rows)


def main(asked: Options) -> None:
    test = read(opened(asked, "test"))
    source_told(asked, test)
    recalls(asked, test)
    attacked(asked)


if __name__ == "__main__":
    started(main, __doc__)
