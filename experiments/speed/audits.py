"""A full audit against the straightforward script: foolbox, looped over attacks and eps.

Run: `python -m experiments.speed.audits [pneumonia|chest]` (two CPU cores, half an hour each).
`pneumonia`: the 624 test images of PneumoniaMNIST and its published CNN. `chest`: 100 chest X-rays
at 224 px through the ImageNet MobileNetV2, with a head fitted on its frozen features (logistic
regression on 400 train images). FGSM, BIM and PGD at several eps, both with 20 steps as long in
the mean; the audit's time includes reading, verifying, intervals and the report files.

Prints the ratio of times, for the small network of five rounds in turn, robust accuracy by both,
and for the chest network what the whole curve (4 attacks, 8 eps) costs in passes of its dearest
exact cell.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import foolbox
import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn
from torchvision.models import mobilenet_v2

import robust
from robust.cases import Cases
from robust.models import prepare, settle_head
from robust.records import Report
from robust.report import write_report

DATA = Path("../shared/data")
EPS = ("0.5/255", "1/255")
CURVE = ("0.25/255", "0.5/255", "0.75/255", "1/255", "1.5/255", "2/255", "3/255", "4/255")


def pneumonia() -> tuple[robust.Classifier, Cases, tuple[str, ...]]:
    from experiments.pneumoniamnist.network import PneumoniaCNN

    network = PneumoniaCNN()
    weights = DATA / "models" / "pneumoniamnist_cnn.pth"
    network.load_state_dict(torch.load(weights, weights_only=True))
    classifier = robust.Classifier(network, mean=0.5, std=0.5, channels=1, head="sigmoid")
    cases = robust.open_cases(
        DATA / "medmnist" / "pneumoniamnist.npz", classes=("normal", "pneumonia"), group="none"
    )
    return classifier, cases, ("1/255", "2/255", "4/255", "8/255")


def chest(count: int = 100) -> tuple[robust.Classifier, Cases, tuple[str, ...]]:
    """The head is fitted on frozen features of 400 train images."""
    network = mobilenet_v2()
    weights = DATA / "weights" / "mobilenet_v2_imagenet.pth"
    network.load_state_dict(torch.load(weights, weights_only=True))
    network.classifier = nn.Sequential(nn.Flatten())
    folder = DATA / "chest_xray"
    train = robust.open_cases(folder, split="train", group="group", label="label_name").sample(400)
    features = prepare(robust.Classifier(network, mean=0.5, std=0.5, channels=3, head="softmax"))
    x, y = _stacked(train)
    with torch.no_grad():
        deep = torch.cat([features.outputs(part) for part in torch.split(x, 32)])
    head = LogisticRegression(max_iter=2000).fit(deep.numpy(), y.numpy())
    linear = nn.Linear(deep.shape[1], 1)
    with torch.no_grad():
        linear.weight.copy_(torch.from_numpy(head.coef_))
        linear.bias.copy_(torch.from_numpy(head.intercept_))
    network.classifier = nn.Sequential(nn.Flatten(), linear)
    classifier = robust.Classifier(network, mean=0.5, std=0.5, channels=3, head="sigmoid")
    cases = robust.open_cases(folder, split="test", group="group", label="label_name")
    return classifier, cases.sample(count), EPS


def straightforward(classifier: robust.Classifier, cases: Cases, eps: tuple[str, ...]) -> Any:
    """What one writes in a notebook: all images in batches of 32, every attack, every eps."""
    model = prepare(classifier)
    x, y = _stacked(cases)
    settle_head(model, x[:16])
    wrapped = foolbox.PyTorchModel(model, bounds=(0, 1))
    attacks = {
        "FGSM": foolbox.attacks.LinfFastGradientAttack(),
        "BIM": foolbox.attacks.LinfBasicIterativeAttack(rel_stepsize=0.05, steps=20),
        "PGD": foolbox.attacks.LinfPGD(rel_stepsize=0.2, steps=20),
    }
    with torch.no_grad():
        right = torch.cat([model(part).argmax(1) for part in torch.split(x, 32)]) == y
    x, y = x[right], y[right]
    found = {}
    for name, attack in attacks.items():
        for radius in eps:
            fooled = []
            for part, labels in zip(torch.split(x, 32), torch.split(y, 32), strict=True):
                criterion = foolbox.criteria.Misclassification(labels)
                _, _, success = attack(wrapped, part, criterion, epsilons=_number(radius))
                fooled.append(success)
            found[name, radius] = 1 - float(torch.cat(fooled).double().mean())
    return found


def audited(
    classifier: robust.Classifier, cases: Cases, out: Path, **settings: Any
) -> tuple[Report, float]:
    began = time.perf_counter()
    report = robust.audit(classifier, cases, out=out, gallery=0, device="cpu", **settings)
    write_report(report, out)
    return report, time.perf_counter() - began


def main(names: list[str]) -> None:
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    for name in names or ["pneumonia", "chest"]:
        classifier, cases, eps = {"pneumonia": pneumonia, "chest": chest}[name]()
        with tempfile.TemporaryDirectory() as folder:
            ours = Path(folder)
            attacks = ["FGSM", "BIM", "PGD"]
            ratios = []
            for number in range(5 if name == "pneumonia" else 1):
                report, seconds = audited(
                    classifier, cases, ours / f"{number}", attacks=attacks, eps=list(eps)
                )
                began = time.perf_counter()
                theirs = straightforward(classifier, cases, eps)
                ratios.append((time.perf_counter() - began) / seconds)
            accuracy = report.clean.scores.accuracy
            print(
                f"\n{name}: {len(cases)} images, clean accuracy {accuracy and accuracy.value:.3f}"
            )
            print(f"speed: {report.timings.acceleration}")
            print("script / audit:", ", ".join(f"{ratio:.2f}" for ratio in ratios))
            print("robust accuracy %, audit | script")
            for attack in attacks:
                row = [(report.result(attack, _number(e)).scores, theirs[attack, e]) for e in eps]
                said = [
                    f"{100 * s.robust_accuracy.value:.1f} | {100 * t:.1f}"
                    for s, t in row
                    if s.robust_accuracy is not None
                ]
                print(f"{attack}: {', '.join(said)}")
            if name == "chest":
                four = [*attacks, "MarginPGD"]
                report, _ = audited(
                    classifier, cases, ours / "curve", attacks=four, eps=list(CURVE), cells="curve"
                )
                dearest = 41 * report.worst_cases[0].attacked
                made = report.timings.passes.made
                print(f"curve of 4 attacks and 8 eps / dearest exact cell: {made / dearest:.2f}")
                kept = [r.scores.robust_accuracy for r in report.worst_cases]
                print("curve, still right %:", [round(100 * k.value, 1) for k in kept if k])


def _number(eps: str) -> float:
    return float(eps.removesuffix("/255")) / 255


def _stacked(cases: Cases) -> tuple[Tensor, Tensor]:
    found = [cases[i] for i in range(len(cases))]
    return torch.stack([c.image for c in found]), torch.from_numpy(
        np.array([c.label for c in found])
    )


if __name__ == "__main__":
    main(sys.argv[1:])
