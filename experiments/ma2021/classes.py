"""Accuracy against eps and attack difficulty for 2, 3 and 4 classes.

Run: `python -m experiments.ma2021.classes [--quick]` (about two minutes a model on one CPU core).
Writes `results/classes.csv`, `results/classes_difficulty.csv` and `results/classes.png`.

Chest X-rays: normal and pneumonia; normal, bacteria and virus. Fundus: normal and cataract; with
glaucoma; with diabetic retinopathy, which comes from another source. MobileNetV2 at 112 px, one
budget; cells and accuracy as in `curves.py`. The paper says that more classes make a model
slightly harder to attack.
"""

from __future__ import annotations

from experiments.ma2021.common import Options, started
from experiments.ma2021.curves import Point, curve, plot, tables

MODELS = {
    "mobilenet-pretrained": "chest, 2 classes",
    "chest-3": "chest, 3 classes",
    "fundus-2": "fundus, 2 classes",
    "fundus-3": "fundus, 3 classes",
    "fundus-4": "fundus, 4 classes",
}
LIMIT = 32


def main(asked: Options) -> None:
    points: list[Point] = []
    for model in asked.of(MODELS):
        points += curve(asked, model, LIMIT)
        tables(asked, points, "classes", "classes_difficulty")
    plot(asked, points, MODELS, "classes")


if __name__ == "__main__":
    started(main, __doc__)
