"""Errors of every network on corrupted and on attacked test images, case by case.

Run: `python -m experiments.augmentation.measure [--only MODALITY ...]` after
`experiments.augmentation.networks`. Every kind of the modality at severities 1, 3 and 5 is drawn
once and shown to all networks; APGD attacks each network at 1/255 in L-inf on the same cases.
Writes `runs/augmentation/MODALITY.npz`, which `experiments.augmentation.tables` reads.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from attacks import APGD, Streams, ThreatModel
from experiments.augmentation.networks import ARMS, MODALITIES, SEEDS, folder_of, recipe_of
from robust.cases import Cases
from robust.cases.case import sample_rows
from robust.corruptions.registry import corruptions_of
from robust.models import Adapter, prepare
from robust.models.trained import load_trained
from robust.training.splits import open_training_splits

RUNS = Path("runs/augmentation")
SEVERITIES = (1, 3, 5)
EPS = 1 / 255
CASES, ATTACKED = 400, 150
"""Test cases, and those of them that are attacked, drawn by class and group."""
STEPS = 20
BATCH = 64
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Measured:
    """Errors (0 or 1) of the networks of a modality on its test cases."""

    networks: tuple[tuple[str, int], ...]
    """Arm and seed."""
    looks: tuple[tuple[str, int], ...]
    """Kind and severity; `none` at 0 are clean images, `APGD` at 0 attacked ones."""
    errors: np.ndarray
    """`(networks, looks, cases)`; NaN for a case that was not attacked."""
    labels: np.ndarray
    groups: tuple[str, ...]
    """A number for each patient, lesion or eye's owner."""

    def of(self, arm: str, seed: int, kind: str, severity: int) -> np.ndarray:
        """Errors `(cases,)` of one network in one look."""
        here = self.networks.index((arm, seed)), self.looks.index((kind, severity))
        found: np.ndarray = self.errors[here]
        return found

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        names = json.dumps({"networks": self.networks, "looks": self.looks})
        groups = np.unique(self.groups, return_inverse=True)[1]
        np.savez(path, names=names, errors=self.errors, labels=self.labels, groups=groups)

    @classmethod
    def load(cls, path: Path) -> Measured:
        with np.load(path) as file:
            names = json.loads(str(file["names"]))
            networks, looks = (tuple(map(tuple, names[key])) for key in ("networks", "looks"))
            groups = tuple(map(str, file["groups"]))
            return cls(networks, looks, file["errors"], file["labels"], groups)


def path_of(modality: str) -> Path:
    return RUNS / f"{modality.split()[0]}.npz"


def loaded(modality: str) -> dict[tuple[str, int], Adapter]:
    """The networks that are finished, by arm and seed: those seeds of which every arm is."""
    found: dict[tuple[str, int], Adapter] = {}
    for seed in SEEDS:
        folders = {arm: folder_of(modality, arm, seed) for arm in ARMS}
        if all((folder / "card.md").exists() for folder in folders.values()):
            for arm, folder in folders.items():
                found[arm, seed] = prepare(load_trained(folder), CPU)
    return found


@torch.no_grad()
def wrong(network: Adapter, x: Tensor, y: Tensor) -> Tensor:
    """Which images are misread, `(n,)` float."""
    read = torch.cat([network(part).argmax(1) for part in x.split(BATCH)])
    return (read != y).float()


def attacked(network: Adapter, x: Tensor, y: Tensor, ids: list[str]) -> Tensor:
    """Errors under APGD, also on what is wrong without attack."""
    errors = wrong(network, x, y)
    right = errors == 0
    streams = Streams.of(0, [one for one, kept in zip(ids, right.tolist()) if kept], "APGD")
    attack, threat = APGD(steps=STEPS), ThreatModel("Linf", EPS)
    x_adv = attack(network, x[right], y[right], threat, streams)
    assert (x_adv - x[right]).abs().max() <= EPS + 1e-6
    errors[right] = wrong(network, x_adv, y[right])
    return errors


def measured(modality: str) -> Measured:
    networks = loaded(modality)
    cases = test_cases(modality)
    ids = [entry.id for entry in cases.entries]
    x = torch.stack([cases[row].image for row in range(len(cases))])
    y = torch.tensor([entry.label for entry in cases.entries])
    found: dict[tuple[str, int], np.ndarray] = {}

    def look(kind: str, severity: int, images: Tensor) -> None:
        seen = [wrong(network, images, y) for network in networks.values()]
        found[kind, severity] = torch.stack(seen).numpy()

    look("none", 0, x)
    for kind in corruptions_of(modality):
        for severity in SEVERITIES:
            streams = Streams.of(0, ids, "corruption", kind.name, severity)
            look(kind.name, severity, kind(x, severity, streams))
    rows = sorted(sample_rows(cases.entries, list(range(len(cases))), ATTACKED, 0))
    errors = np.full((len(networks), len(cases)), np.nan, np.float32)
    for place, network in enumerate(networks.values()):
        errors[place, rows] = attacked(network, x[rows], y[rows], [ids[row] for row in rows])
    found["APGD", 0] = errors
    return Measured(
        tuple(networks),
        tuple(found),
        np.stack(list(found.values()), 1),
        y.numpy(),
        tuple(entry.group for entry in cases.entries),
    )


def test_cases(modality: str) -> Cases:
    """Of the test split that the networks were judged on, at their size."""
    test = open_training_splits(recipe_of(modality, "plain", 0)).test
    assert test is not None
    return test.select(sorted(sample_rows(test.entries, list(range(len(test))), CASES, 0)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=list(MODALITIES), metavar="MODALITY")
    for modality in parser.parse_args().only:
        began = time.process_time()
        result = measured(modality)
        result.save(path_of(modality))
        print(
            f"{modality}: {len(result.networks)} networks, {len(result.labels)} cases, "
            f"{time.process_time() - began:.0f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
