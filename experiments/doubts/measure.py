"""False alarms and misses of the doubts about masked gradients, on models made for this count.

Run: `python -m experiments.doubts.measure [--seed 101] [--only NAME]` (no data needed; about three
minutes on one free core). Each model is trained on phantoms and audited with the default attacks at
1, 2 and 4/255. Limits of the doubts were set on models of another seed (0), and on none of these.
Three seeds take turns; masks around the same network of one seed share it.

Writes `results/models.csv`, a row for each model, as it goes, and from it `results/doubts.csv`: how
often each doubt was raised on sound models, on the masks that it names, and on the others.

The known attack knows how a model was made: it tries 200 points on lines through each image, with
and against the gradient of the network behind the mask, and what PGD finds on that network.
"""

from __future__ import annotations

import argparse
import copy
import csv
from itertools import zip_longest
from pathlib import Path

import torch
from torch import Tensor, nn

from attacks import PGD, Streams, ThreatModel
from experiments.doubts.masks import MASKS
from experiments.doubts.networks import SOUND, phantoms, trained
from robust import Classifier, audit

RESULTS = Path(__file__).parent / "results"
EPS = ("1/255", "2/255", "4/255")
LARGEST = 4 / 255
POINTS = 100
DOUBTS = (
    *("gradients vanish", "gradients mislead", "gradients point away from the boundary"),
    *("adversarial regions narrower than a step", "random outputs", "input is rounded"),
    *("probabilities instead of logits", "black box beats white box"),
    *("attacks fail without bounds", "accuracy rises with eps", "the objective does not rise"),
    *("no better than noise", "more steps still help", "clipped outputs"),
    *("outputs depend on the batch", "cross-entropy saturates"),
)
COUNTS = ("doubt", "sound, raised", "sound", "own, raised", "own", "other, raised", "other")
COLUMNS = ("model", "masked", "seed", "cases", "reported", "known attack", "passes", "doubts")


def known_attack(model: nn.Module, inner: nn.Module, x: Tensor, y: Tensor) -> float:
    """Share of the cases that are read right, and still are under an attack on `inner`."""
    threat = ThreatModel("Linf", LARGEST)
    streams = Streams.of(1, range(len(x)))
    with torch.no_grad():
        right = model(x).argmax(1) == y
    x, y, streams = x[right], y[right], streams[right]
    attack = PGD(steps=40, restarts=2, loss="margin", start="image")
    tries = [attack(inner, x, y, threat, streams)]
    first = PGD(steps=1, step_size=1.0, schedule="constant", start="image", keep="last")
    signs = (first(inner, x, y, threat, streams) - x).sign()
    tries += [
        (x + side * LARGEST * i / POINTS * signs).clamp(0, 1)
        for side in (1, -1)
        for i in range(1, POINTS + 1)
    ]
    with torch.no_grad():
        fooled = torch.stack([model(x_adv).argmax(1) != y for x_adv in tries]).any(0)
    return 1 - float(fooled.double().mean())


def measured(name: str, seed: int, count: int) -> list[object]:
    """One model's row."""
    mask = MASKS.get(name)
    recipe = mask.recipe if mask else SOUND[name]
    inner = trained(recipe, seed)
    model = mask.around(copy.deepcopy(inner), seed).eval() if mask and mask.around else inner
    cases = phantoms(recipe.task, "test", count, seed)
    report = audit(
        Classifier(model), cases, eps=EPS, seed=seed, device="cpu", gallery=0, title=name
    )
    known = ""
    random = any(flag.name == "random outputs" for flag in report.flags)
    if mask is None or (mask.around is not None and not random):
        x = torch.stack([case.image for case in cases])
        y = torch.tensor([case.label for case in cases])
        known = f"{known_attack(model, inner, x, y):.2f}"
    raised = [flag.name for flag in report.flags if flag.name in DOUBTS]
    probe, attacks = report.timings.probe, sum(row.passes * row.attacked for row in report.rows)
    share = probe.passes / attacks if probe and attacks else 0.0
    worst = report.worst.robust_accuracy
    return [
        *(name, mask is not None, seed, worst.cases, f"{worst.value:.2f}", known),
        *(f"{share:.2f}", "; ".join(raised)),
    ]


def counted(rows: list[dict[str, str]]) -> list[list[object]]:
    """For each doubt: sound models, masks that it names and other masks, on which it was raised."""
    found: list[list[object]] = []
    for doubt in DOUBTS:
        row: list[object] = [doubt]
        for kind in ("sound", "own", "other"):
            models = [one for one in rows if _kind(one, doubt) == kind]
            row += [sum(doubt in one["doubts"].split("; ") for one in models), len(models)]
        found.append(row)
    return found


def _kind(row: dict[str, str], doubt: str) -> str:
    if row["masked"] == "False":
        return "sound"
    return "own" if doubt in MASKS[row["model"]].own else "other"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=101)
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--out", type=Path, default=RESULTS)
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    table = asked.out / "models.csv"
    rows: list[dict[str, str]] = []
    if table.exists():
        rows = list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))
    done = {row["model"] for row in rows}
    # In turn, so that a run cut short holds both.
    names = [name for pair in zip_longest(MASKS, SOUND) for name in pair if name]
    for number, name in enumerate(names):
        if name in done or (asked.only and name not in asked.only):
            continue
        new = measured(name, asked.seed + number % 3, asked.count)
        rows.append(dict(zip(COLUMNS, map(str, new), strict=True)))
        write(table, COLUMNS, [[row[column] for column in COLUMNS] for row in rows])
        write(asked.out / "doubts.csv", COUNTS, counted(rows))
        print(*new, sep=", ", flush=True)


def write(path: Path, columns: tuple[str, ...], rows: list[list[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([columns, *rows])


if __name__ == "__main__":
    main()
