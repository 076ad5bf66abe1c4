"""A guard scores as its detector does, takes any images, and serves one classifier alone."""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import robust
from detectors._hooks import hooked
from robust.errors import InputError
from robust.guard import Guard, GuardArtifact, fit_detector
from robust.guard.artifact import ClassifierFingerprint
from robust.guard.guard import check_fingerprint
from robust.models import prepare, weights_hash
from robust.plan.spec import ModelSpec
from tests.engine.nets import trained
from tests.guard.fits import PIXELS, STRONG, classifier, phantoms, plan

READERS = ("Mahalanobis", "BayesianUncertainty")
"""One that reads every layer, one that drops units with hooks of its own."""


def test_the_guard_scores_what_the_detector_itself_does(weights: Path) -> None:
    """Not through any of the guard's own code: features by hand, the head's arithmetic by hand."""
    stored = fit_detector(plan(weights), "KernelDensity", attack="FGSM", eps=STRONG, device="cpu")
    net, (x, _) = classifier(weights).eval(), phantoms()
    with torch.no_grad():
        deep = net.network[:-1](x)
        said = net(x).argmax(1)
    learned, head = stored.fitted.learned, stored.fitted.head
    assert head is not None
    h = float(learned["bandwidth"])
    expected = []
    for one, label in zip(deep.double(), said.tolist(), strict=True):
        points = learned[f"class {label}"].double()
        kernel = -(points - one).square().sum(1) / (2 * h * h)
        norm = points.shape[1] * np.log(h * np.sqrt(2 * np.pi)) + np.log(len(points))
        density = float(kernel.logsumexp(0)) - norm
        z = (density - float(head["centre"])) / float(head["scale"])
        expected.append(z * float(head["weight"]) + float(head["bias"]))
    score = Guard(net, stored, device="cpu")(x).score
    assert torch.allclose(score, torch.tensor(expected, dtype=torch.float64), rtol=1e-3, atol=1e-3)


def test_another_classifier_is_refused(weights: Path, max_softmax: GuardArtifact) -> None:
    own = classifier(weights, "small")
    assert len(Guard(own, max_softmax, "cpu")(phantoms()[0]).score) == 60
    other = classifier(weights, "small")
    with torch.no_grad():
        next(other.parameters()).add_(1e-6)
    for wrong, said in (
        (other, "another classifier: the hash of its weights is"),
        (classifier(weights, "small", mean=0.5), r"its mean is \[0.0\], here it is \[0.5\]"),
        (classifier(weights, "small", threshold=0.4), "its threshold is 0.5, here it is 0.4"),
        (classifier(weights, "small", size=PIXELS), r"its size is None, here it is \[28, 28\]"),
        (classifier(weights, "smooth"), "the weights are the same, but the outputs differ"),
    ):
        with pytest.raises(InputError, match=said):
            Guard(wrong, max_softmax, "cpu")
    Guard(classifier(weights, "small", head="auto"), max_softmax, "cpu")  # it was recognised before
    with pytest.raises(InputError, match="is no classifier"):
        Guard(trained(PIXELS), max_softmax, "cpu")  # type: ignore[arg-type]


def test_images_that_are_none(weights: Path, max_softmax: GuardArtifact) -> None:
    guard = Guard(classifier(weights, "small"), max_softmax, "cpu")
    good = phantoms(count=4)[0]
    hole = good.clone()
    hole[2, 0, 3, 3] = torch.nan
    for wrong, said in (
        (good[0], r"must be \(n, c, h, w\), not \(1, 28, 28\)"),
        (good * 255, r"image 0 has pixels outside \[0, 1\]"),
        (hole, "image 2 has pixels outside"),
        ((good * 255).byte(), "image 0 holds torch.uint8; divide it by 255"),
        ([good[0], good[0, 0]], "image 1 must be a tensor"),
        ([good[0], "x.png"], "image 1 must be a tensor .* not str"),
        (good[:, :, :20], r"fails on images of shape \(1, 20, 28\)"),
    ):
        with pytest.raises(InputError, match=said):
            guard(wrong)  # type: ignore[arg-type]
    assert len(guard(good[:0]).score) == len(guard([]).score) == 0
    # As a list, and in the middle of others, an image is the same.
    assert torch.allclose(guard(list(good)).score, guard(good).score)
    assert torch.allclose(guard(good[2:3]).score, guard(good).score[2:3], atol=1e-6)


def test_images_of_several_shapes_come_back_in_order(weights: Path) -> None:
    tables: dict[str, Any] = {
        "model": {
            "factory": "tests.engine.nets:small",
            "weights": str(weights),
            "channels": 1,
            "size": PIXELS,
        }
    }
    guard = Guard(
        classifier(weights, "small", size=PIXELS),
        fit_detector(plan(weights, **tables), "MaxSoftmax", device="cpu"),
        "cpu",
    )
    x = phantoms(count=6)[0]
    larger = torch.nn.functional.interpolate(x, (56, 56))
    mixed = [x[0], larger[1], x[2], larger[3], x[4], larger[5]]
    apart = torch.where(torch.arange(6) % 2 == 0, guard(x).score, guard(larger).score)
    assert torch.allclose(guard(mixed).score, apart, atol=1e-6)


def hooks_of(guard: Guard) -> int:
    modules = guard._reader.extract.model.modules()
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in modules)


def test_two_guards_serve_eight_threads_exactly(weights: Path) -> None:
    """One network each of two guards, and the plain network beside them: as one after another."""
    net = classifier(weights)
    made = [fit_detector(plan(weights), name, device="cpu") for name in READERS]
    guards = [Guard(net, artifact, "cpu") for artifact in made]
    parts = phantoms()[0].split(8)[:7]
    alone = [[guard(part).score for part in parts] for guard in guards]
    logits = [net(part) for part in parts]
    before = torch.backends.cudnn.deterministic

    def work(thread: int) -> list[bool]:
        same = []
        for turn in range(6):
            at = (thread + turn) % len(parts)
            for guard, wanted in zip(guards, alone, strict=True):
                same.append(torch.equal(guard(parts[at]).score, wanted[at]))
            same.append(torch.equal(net(parts[at]), logits[at]))
            with pytest.raises(InputError):  # one that fails leaves no hook
                guards[turn % 2](parts[at][:, :, :20])
        return same

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(8) as pool:
            found = [same for each in pool.map(work, range(8)) for same in each]
    finally:
        torch.set_num_threads(threads)
    assert all(found) and len(found) == 8 * 6 * 3
    assert [hooks_of(guard) for guard in guards] == [0, 0]
    assert torch.backends.cudnn.deterministic == before


def test_a_copy_made_while_hooks_are_registered_does_not_fire_them() -> None:
    network = torch.nn.Sequential(torch.nn.Linear(2, 2))
    seen: list[object] = []
    with hooked(after=[(network[0], lambda *args: seen.append(args))]):
        network(torch.zeros(1, 2))
        copied = copy.deepcopy(network)
    copied(torch.zeros(1, 2))
    network(torch.zeros(1, 2))
    assert len(seen) == 1 and not network[0]._forward_hooks


def test_the_public_names() -> None:
    assert robust.Guard is Guard and robust.fit_detector is fit_detector


def test_a_classifier_that_was_described_before_it_could_crop(weights: Path) -> None:
    """Older detectors do not state `crop_pct` and `output_key`: whole images, one tensor."""
    ready = prepare(classifier(weights))
    described = ready.describe()
    older = {k: v for k, v in described.items() if k not in ("crop_pct", "output_key")}
    fingerprint = ClassifierFingerprint(
        weights_sha256=weights_hash(ready),
        description=older,
        classes=("normal", "finding"),
        image_shape=(1, PIXELS, PIXELS),
        probe_logits=(0.0,),
        model=ModelSpec(factory="tests.engine.nets:dropping"),
    )
    check_fingerprint(fingerprint, ready)
    ready.crop_pct = 0.9
    with pytest.raises(InputError, match=r"its crop_pct is 1\.0, here it is 0\.9"):
        check_fingerprint(fingerprint, ready)
