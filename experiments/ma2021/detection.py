"""Detection on three modalities at 224 px: leak-free, and beside it as released.

Run: `python -m experiments.ma2021.detection [--quick]` (a few minutes a modality after
`attack_table.py`, with which it shares the audit). Writes `results/detection.csv` (every detector,
fitted on every attack, against every attack: the paired AUC, that against all clean images, the
selection control, the null control) and `results/as_released.csv`.

What is called `as released` follows the published code with its leaks on the same network and the
same attack (PGD at 1/255): a density of bandwidth 1 that is fitted on the very images it scores;
images of the rarer classes copied before the split, both twins free to fall on either side, failed
attacks counted. It stands beside itself with other clean images in place of the attacked ones:
what it gives there, it gives for nothing. No verdict rests on it.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

import robust
from attacks import PGD, Streams, ThreatModel
from detectors import Detector, Extractor, Features, find_layers
from experiments.ma2021.attack_table import full_audit
from experiments.ma2021.common import (
    THREE,
    Options,
    interval,
    numbers,
    percent,
    started,
    write_table,
)
from experiments.ma2021.leaks import LEARNED, released_density, released_split
from experiments.models import data_of
from robust.models import prepare, settle_head
from robust.records import Detection, ImageSet
from robust.units import eps_text

LIMIT, SEEDS = 80, range(5)
PGD_20 = PGD(steps=20, step_size=0.1, schedule="constant")
COLUMNS = ("model", "detector", "fitted_on", "shown", "images")
SEEN = "0.05"


def name(shown: ImageSet) -> str:
    return f"{shown.name} {eps_text(shown.eps)}" if shown.norm else shown.name


def matrix(model: str, found: Detection) -> list[list[object]]:
    """A row for each detector, attack fitted on and what was shown."""
    names = [name(shown) for shown in found.image_sets]
    nulls = {(null.detector, null.fitted_on): null for null in found.null_controls}
    rows: list[list[object]] = []
    for one in found.detector_scores:
        null = nulls[one.detector, one.fitted_on]
        fitted = "" if one.fitted_on is None else names[one.fitted_on]
        start = [
            model,
            one.detector,
            fitted,
            names[one.image_set],
            found.image_sets[one.image_set].cases,
        ]
        areas = numbers(one.paired_auc, one.auc, one.selection_auc)
        marks = (
            ("few", one.too_few),
            ("alarm", null.alarm),
            ("selection", one.explained_by_selection),
        )
        figures = *areas, *numbers(one.detection_rates[SEEN], null.auc)
        rows.append([*start, *figures, *(mark if holds else "" for mark, holds in marks)])
    return rows


def features(asked: Options, model: str) -> tuple[Features, Features, Features, Tensor]:
    """Of test images that are right when clean, the same attacked, and other clean images.

    Labels are those of the first. The others are of the val split: nothing was done to them.
    """
    folder = asked.folder(model)
    data = data_of(model, folder)
    classifier = prepare(robust.load_classifier(folder=folder))
    limit = 24 if asked.quick else LIMIT
    options = {**data.options(), "limit": None}
    test = robust.open_cases(data.path, **options)
    val = robust.open_cases(data.path, **{**options, "split": "val"})
    (x, y, ids), (other, *_) = stacked(test.sample(limit)), stacked(val.sample(limit))
    settle_head(classifier, x[:2])
    extract = Extractor(classifier, find_layers(classifier, x[:1])[-1:])

    def read(images: Tensor) -> Features:
        with torch.no_grad():
            return Features.cat([extract(part) for part in torch.split(images, 16)])

    clean = read(x)
    right = clean.logits.argmax(1) == y
    x, y = x[right], y[right]
    streams = Streams.of(0, [i for i, ok in zip(ids, right.tolist(), strict=True) if ok], "PGD")
    threat = ThreatModel("Linf", 1 / 255)
    attacked = torch.cat(
        [
            PGD_20(classifier, x[part], y[part], threat, streams[part])
            for part in torch.split(torch.arange(len(x)), 16)
        ]
    )
    return clean.take(right.nonzero().flatten()), read(attacked), read(other), y


def stacked(cases: robust.Cases) -> tuple[Tensor, Tensor, list[str]]:
    images, labels, ids = [], [], []
    for case in cases:
        images.append(case.image)
        labels.append(case.label)
        ids.append(case.id)
    return torch.stack(images), torch.tensor(labels), ids


def released(asked: Options, model: str) -> list[list[object]]:
    clean, attacked, other, y = features(asked, model)
    count = min(len(clean), len(other))
    rows = torch.arange(count)
    clean, attacked, other, y = clean.take(rows), attacked.take(rows), other.take(rows), y[rows]
    fell = float((attacked.logits.argmax(1) != y).double().mean())
    found: list[list[object]] = [
        [
            *(model, "KernelDensity, bandwidth 1", count, fell),
            released_density(clean, attacked, y),
            released_density(clean, other, y),
        ]
    ]
    for kind in LEARNED:
        areas = [mean_area(kind, clean, second, y) for second in (attacked, other)]
        found.append([model, kind.__name__, count, fell, *areas])
    return found


def mean_area(kind: type[Detector], clean: Features, second: Features, y: Tensor) -> float:
    return float(np.mean([released_split(kind, clean, second, y, seed) for seed in SEEDS]))


def main(asked: Options) -> None:
    rows: list[list[object]] = []
    leaking: list[list[object]] = []
    for model in asked.of(THREE.values()):
        report, _ = full_audit(asked, model)
        assert report.detection is not None
        rows += matrix(model, report.detection)
        for flag in report.flags:
            print(f"{model}: {flag.name}: {flag.observed}")
        show(model, report.detection)
        leaking += released(asked, model)
        for line in leaking[-3:]:
            print(*line)
    ends = interval("paired_auc", "auc", "selection_auc", "seen_at_5_percent", "null")
    marks = "few", "null_alarm", "explained_by_selection"
    write_table(asked, "detection", (*COLUMNS, *ends, *marks), rows)
    columns = ("model", "detector", "images", "attacks_that_succeed")
    write_table(asked, "as_released", (*columns, "auc_attacked", "auc_other_clean"), leaking)


def show(model: str, found: Detection) -> None:
    names = [name(shown) for shown in found.image_sets]
    for one in found.detector_scores:
        fitted = None if one.fitted_on is None else names[one.fitted_on]
        attacked = found.image_sets[one.image_set].kind == "attack"
        if attacked and fitted in (None, names[one.image_set]):
            areas = one.paired_auc, one.auc, one.selection_auc
            print(f"{model}: {one.detector}: {names[one.image_set]}", *map(percent, areas))


if __name__ == "__main__":
    started(main, __doc__)
