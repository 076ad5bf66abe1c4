"""Images of 3,000 x 3,000 pixels, resized inside the classifier: the attack lives on the file.

Run: `python -m experiments.storage.large` (about three minutes and 4 GB on one core). Phantoms of
600 px are enlarged, stored as DICOM of 12 bits, and attacked through a small network that was
trained at 28 px and resizes inside itself, differentiably; stored are all 9 million pixels.
"""

from __future__ import annotations

import csv
import resource
import tempfile
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

import robust
from experiments.storage.wrap import dataset
from robust.cases import Case
from robust.units import eps_text

PIXELS, BITS, COUNT = 3000, 12, 6


def network() -> nn.Module:
    """Trained on phantoms at 28 px."""
    cases = robust.open_cases("phantom:chest_xray", split="train", count=200, pixels=28)
    x = torch.stack([case.image for case in cases])
    y = torch.tensor([case.label for case in cases])
    torch.manual_seed(0)
    model = nn.Sequential(
        *(nn.Conv2d(1, 8, 3, stride=2, padding=1), nn.ReLU()),
        *(nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.ReLU()),
        *(nn.Flatten(), nn.LazyLinear(2)),
    )
    model(x[:1])
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(60):
        loss = F.cross_entropy(model(x), y)
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
    return model.eval()


def wrap(folder: Path) -> Path:
    """The large images as files, with their `cases.csv`."""
    rows = []
    for number, case in enumerate(
        robust.open_cases("phantom:chest_xray", split="test", count=COUNT, pixels=600)
    ):
        image = F.interpolate(case.image[None], (PIXELS, PIXELS), mode="bilinear")[0].clamp(0, 1)
        large = Case(case.id, case.label, case.group, image)
        dataset(large, BITS).save_as(folder / f"{number}.dcm", enforce_file_format=True)
        rows.append([f"{number}.dcm", case.label, case.group, "test"])
    with (folder / "cases.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["file", "label", "group", "split"], *rows])
    return folder


def main() -> None:
    classifier = robust.Classifier(network(), channels=1, size=(28, 28))
    with tempfile.TemporaryDirectory() as place:
        cases = robust.open_cases(wrap(Path(place)))
        began = time.perf_counter()
        report = robust.audit(
            classifier,
            cases,
            attacks=["FGSM", "PGD"],
            eps=["2/255", "8/255"],
            doubts={"probe": False},
            gallery=0,
        )
        seconds = time.perf_counter() - began
    for one in report.survival:
        ways = {
            "computed": one.computed,
            "stored": one.quantised,
            "rounded knowingly": one.adversarially_rounded,
        }
        shares = ", ".join(f"{name} {share.value:.2f}" for name, share in ways.items())
        size = f"{eps_text(one.eps)}, {one.eps_levels:g} of {one.file_levels} levels"
        print(f"{size}: of {one.computed.cases} cases fooled {shares}")
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{seconds:.0f} s, {most:.1f} GB at most")


if __name__ == "__main__":
    main()
