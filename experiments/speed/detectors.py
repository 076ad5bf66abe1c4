"""What detectors cost: beside the forward pass that they read, and beside the usual ways.

Run: `python -m experiments.speed.detectors` (two CPU cores, three minutes; a GPU where there is
one). A ResNet-18 at 224 px with random weights, five layers, 5,000 reference cases and a batch of
32; dropout passes and the input step apart. Everything is measured in turn, the median of several
rounds, and given as a ratio.

1. The forward pass alone, against the pass with hooks and the scores of all detectors: expected at
   most 1.10.
2. The way of the authors of LID and of most notebooks since: a forward pass for each layer and
   each detector, scipy's distances, numpy row by row, scikit-learn's densities, trees and vectors.
   ART's way: the same with its `get_activations`, which reads one layer a pass (where ART is
   installed, `make peers`). Expected at least 10. The statistics are compared: they are the same.
"""

from __future__ import annotations

import importlib.util
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.spatial.distance import cdist
from sklearn.covariance import EmpiricalCovariance
from sklearn.ensemble import RandomForestClassifier
from sklearn.neighbors import KernelDensity as SklearnDensity
from sklearn.svm import SVC
from torch import Tensor, nn
from torchvision.models import resnet18

from detectors import (
    LID,
    DeepFeatures,
    Detector,
    Energy,
    Extractor,
    FeatureReader,
    Features,
    FittedDetector,
    KernelDensity,
    Mahalanobis,
    MaxSoftmax,
    QuantizedFeatures,
    Reference,
    find_layers,
)
from detectors.features import INPUT, pool

REFERENCE, SIDE, BATCH, ROUNDS = 5000, 500, 16, 3
Array = np.ndarray[Any, np.dtype[np.float64]]


def main() -> None:
    torch.manual_seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = resnet18(num_classes=2).to(device).eval().requires_grad_(False)
    x = torch.rand(BATCH, 3, 224, 224, device=device)
    layers = find_layers(model, x)
    look = FeatureReader(Extractor(model, layers))
    with torch.no_grad():
        like = look(x)
    world = World(like)
    made = [
        world.fitted(detector)
        for detector in (
            *(KernelDensity(5.0), LID(), Mahalanobis(), DeepFeatures()),
            *(QuantizedFeatures(), MaxSoftmax(), Energy()),
        )
    ]

    def ours() -> list[Tensor]:
        with torch.no_grad():
            features = look(x)
            return [detector.score(features).cpu() for detector in made]

    def forward() -> Tensor:
        with torch.no_grad():
            return model(x).cpu()

    def scores() -> list[Tensor]:
        with torch.no_grad():
            return [detector.score(like).cpu() for detector in made]

    usual = Usual(model, layers, world, x)
    ways: dict[str, Callable[[], Any]] = {"forward": forward, "ours": ours, "scores": scores}
    ways["layer by layer"] = usual
    if importlib.util.find_spec("art"):
        ways["ART, layer by layer"] = Usual(model, layers, world, x, art=True)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(ROUNDS + 1):
        for name, way in ways.items():
            began = time.perf_counter()
            way()
            if number:  # the first round warms up
                seconds[name].append(time.perf_counter() - began)
    middle = {name: statistics.median(found) for name, found in seconds.items()}
    print(f"{device}, torch {torch.__version__}, {torch.get_num_threads()} thread(s), {layers}")
    print(f"pass with all detectors / forward pass alone: {middle['ours'] / middle['forward']:.3f}")
    print(
        f"scores of all detectors / forward pass alone: {middle['scores'] / middle['forward']:.3f}"
    )
    for name in list(ways)[3:]:
        print(f"{name} / ours: {middle[name] / middle['ours']:.1f}")
    same(made, look, x, usual)


class World:
    """A reference, clean and attacked images with the shapes that the network gives."""

    def __init__(self, like: Features) -> None:
        draw = torch.Generator().manual_seed(0)
        device = like.logits.device

        def features(count: int, shift: float) -> Features:
            def normal(width: int) -> Tensor:
                return (torch.randn(count, width, generator=draw) + shift).to(device)

            layers = {name: normal(value.shape[1]) for name, value in like.layers.items()}
            return Features(normal(like.logits.shape[1]), layers)

        self.labels = (torch.arange(REFERENCE) % 2).to(device)
        self.reference = Reference(features(REFERENCE, 0.0), self.labels)
        self.sides = features(SIDE, 0.0), features(SIDE, 0.3)

    def fitted(self, detector: Detector) -> FittedDetector:
        """With all that the detector can learn."""
        found = detector.fit(self.reference)
        return found.with_head(*map(found.statistics, self.sides)) if detector.has_head else found


class Usual:
    """Layer by layer, detector by detector, with the libraries that everyone takes."""

    def __init__(
        self, model: nn.Module, layers: tuple[str, ...], world: World, x: Tensor, art: bool = False
    ) -> None:
        self.model, self.layers, self.x = model, layers, x
        self.passes = _art_passes(model, x) if art else self._torch_passes
        lid = LID()
        learned = lid.learn(world.reference)
        self.points = [learned[f"layer {name}"].double().cpu().numpy() for name in layers]
        known = {k: v.double().cpu().numpy() for k, v in world.reference.features.layers.items()}
        labels = world.labels.cpu().numpy()
        deep = known[layers[-1]]
        # One leaf: with its default tree scikit-learn's densities are up to 3e-4 off the sum here.
        self.densities = [
            SklearnDensity(bandwidth=5.0, leaf_size=REFERENCE).fit(deep[labels == c])
            for c in (0, 1)
        ]
        self.classes, self.tied = [], []
        for name in layers:
            means = np.stack([known[name][labels == c].mean(0) for c in (0, 1)])
            self.classes.append(means)
            spread = known[name] - means[labels]
            self.tied.append(EmpiricalCovariance(assume_centered=True).fit(spread))
        sides = world.sides
        rows = np.concatenate([side.deep.double().cpu().numpy() for side in sides])
        truth = np.arange(len(rows)) >= SIDE
        self.forest = RandomForestClassifier(30, class_weight="balanced").fit(rows, truth)
        self.mean = deep.mean(0)
        self.machine = SVC(gamma=2.8, class_weight="balanced").fit(rows > self.mean, truth)

    def __call__(self) -> dict[str, Array]:
        """Each detector by itself, as its own script would run."""
        logits = self.model(self.x).cpu().numpy()
        lids = [_lid(self.passes(n), p) for n, p in zip(self.layers, self.points, strict=True)]
        nearest = [
            np.min([tied.mahalanobis(own - mean) for mean in means], axis=0) / 2
            for own, means, tied in zip(map(self.passes, self.layers), self.classes, self.tied)
        ]
        deep = self.passes(self.layers[-1])
        predicted = logits.argmax(1)
        density = np.array(
            [self.densities[c].score_samples(row[None])[0] for row, c in zip(deep, predicted)]
        )
        self.forest.predict_proba(self.passes(self.layers[-1]))
        self.machine.decision_function(self.passes(self.layers[-1]) > self.mean)
        self.model(self.x).softmax(1).amax(1).cpu()
        self.model(self.x).logsumexp(1).cpu()
        return {"LID": np.stack(lids, 1), "Mahalanobis": np.stack(nearest, 1), "KD": density}

    def _torch_passes(self, name: str) -> Array:
        module = self.model.get_submodule(name.removesuffix(INPUT))
        found: list[Tensor] = []
        if name.endswith(INPUT):
            handle = module.register_forward_pre_hook(lambda _, args: found.append(args[0]))
        else:
            handle = module.register_forward_hook(lambda _, args, out: found.append(out))
        with torch.no_grad():
            self.model(self.x)
        handle.remove()
        return pool(found[0], self.x).double().cpu().numpy()


def _lid(x: Array, points: Array, k: int = 20) -> Array:
    """Row by row, as released."""
    distances = np.apply_along_axis(np.sort, 1, cdist(x, points))[:, :k]
    return np.apply_along_axis(lambda v: -k / np.sum(np.log(v / v[-1])), 1, distances)


def _art_passes(model: nn.Module, x: Tensor) -> Callable[[str], Array]:
    from art.estimators.classification import PyTorchClassifier

    classifier = PyTorchClassifier(
        model, nn.CrossEntropyLoss(), (3, 224, 224), 2, device_type=x.device.type
    )
    images = x.cpu().numpy()

    def passes(name: str) -> Array:
        # What goes into the head of a ResNet is what comes out of its pooling.
        layer = "avgpool" if name.endswith(INPUT) else name
        found = classifier.get_activations(images, layer, batch_size=BATCH)
        return pool(torch.from_numpy(found), x).double().numpy()

    return passes


def same(made: list[FittedDetector], look: FeatureReader, x: Tensor, usual: Usual) -> None:
    """The largest relative difference between the statistics of both ways, at float64."""
    with torch.no_grad():
        single = look(x)
        layers = {name: value.double() for name, value in single.layers.items()}
        features = Features(single.logits.double(), layers)
        theirs = usual()
        for detector, name in zip(made, ("KD", "LID", "Mahalanobis")):
            own = detector.statistics(features).double().cpu().numpy().reshape(theirs[name].shape)
            print(f"{name}: largest relative difference {np.abs(own / theirs[name] - 1).max():.1e}")


if __name__ == "__main__":
    main()
