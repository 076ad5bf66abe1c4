"""A stored detector scores as it did, keeps its promise, and serves one classifier alone."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import robust
from attacks import PGD, Streams, ThreatModel
from detectors import (
    DETECTORS,
    LID,
    Detector,
    KernelDensity,
    Mahalanobis,
    MaxSoftmax,
    QuantizedFeatures,
)
from robust.cases import open_cases
from robust.cases.phantoms import cases as phantom_cases
from robust.errors import InputError
from robust.guard.artifact import RECORD, TENSORS, StoredDetector
from robust.guard.fit import fit_detector, highest_allowed
from robust.guard.guard import Guard
from robust.models import Classifier, load_classifier
from robust.plan.load import make_plan
from robust.plan.spec import Plan
from tests.engine.nets import trained

PIXELS = 28
STRONG = "24/255"
"""An eps at which an attack on these networks leaves a trace in the features."""


@pytest.fixture(scope="module", autouse=True)
def drawn_once() -> Iterator[None]:
    """The same phantoms serve every test here: drawing them would take most of its time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(phantom_cases, "phantom", cache(phantom_cases.phantom))
        yield


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    save_file(trained(PIXELS).state_dict(), path)
    return path


def plan(weights: Path, network: str = "dropping", count: int = 120, **tables: Any) -> Plan:
    model = {"factory": f"tests.engine.nets:{network}", "weights": str(weights), "channels": 1}
    data = {"path": "phantom:chest_xray", "count": count, "pixels": PIXELS}
    return make_plan({"model": model, "data": data, "detection": {"passes": 4}} | tables)


def classifier(weights: Path, network: str = "dropping", **changes: Any) -> Classifier:
    made = {"channels": 1, "head": "softmax"} | changes
    return load_classifier(factory=f"tests.engine.nets:{network}", weights=weights, **made)


def phantoms(split: str = "test", count: int = 60) -> tuple[Tensor, Tensor]:
    cases = open_cases("phantom:chest_xray", split=split, count=count, pixels=PIXELS)
    return torch.stack([c.image for c in cases]), torch.tensor([c.label for c in cases])


def attacked(net: Classifier, x: Tensor, y: Tensor, eps: float) -> Tensor:
    """PGD images that fool the network, of cases that it reads correctly."""
    right = net(x).argmax(1) == y
    x, y = x[right], y[right]
    threat = ThreatModel("Linf", eps)
    streams = Streams.of(1, [str(i) for i in range(len(x))], "test", threat)
    x_adv = PGD(steps=10)(net, x, y, threat, streams).detach()
    return x_adv[net(x_adv).argmax(1) != y]


# Without pooling these features have 784 dimensions, too many for the gamma of a pooled layer.
BITS = QuantizedFeatures(gamma=0.02)
EVERY: list[Detector] = [kind() for kind in DETECTORS.values() if kind is not QuantizedFeatures]
EVERY += [BITS, Mahalanobis(step="auto"), Mahalanobis(step=0.002), LID(k=10, estimator="tle")]


@pytest.mark.parametrize("detector", EVERY, ids=repr)
def test_a_stored_detector_scores_to_the_last_bit_as_before(
    weights: Path, tmp_path: Path, detector: Detector
) -> None:
    stored = fit_detector(
        plan(weights), detector, attack="FGSM", eps=STRONG, out=tmp_path / "guard", device="cpu"
    )
    assert stored.record.teaching is not None
    assert (stored.record.teaching.taught > 0) == detector.has_head
    assert sorted(p.name for p in tmp_path.rglob("*")) == [RECORD, TENSORS, "guard"]
    net, (x, _) = classifier(weights), phantoms()
    before = Guard(net, stored, device="cpu")(x)
    after = Guard(net, tmp_path / "guard", device="cpu")(x)
    assert torch.equal(before.score, after.score)
    assert len(before.score.unique()) > 3, "a score that says something"
    assert torch.equal(before.flagged, after.flagged)
    assert torch.equal(after.flagged, after.score > stored.record.threshold)
    with torch.no_grad():
        assert torch.equal(after.prediction, net.eval()(x).argmax(1))


def test_the_guard_scores_what_the_detector_itself_does(weights: Path) -> None:
    """Not through any of the guard's own code: features by hand, the head's arithmetic by hand."""
    stored = fit_detector(plan(weights), "KernelDensity", attack="FGSM", eps=STRONG, device="cpu")
    net, (x, _) = classifier(weights).eval(), phantoms()
    with torch.no_grad():
        deep = net.network[:-1](x)
        said = net(x).argmax(1)
    learned, head = stored.detector.known(), stored.detector.head
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


@pytest.mark.parametrize("share", [0.01, 0.05, 0.1, 0.37])
@pytest.mark.parametrize("count", [100, 119, 120, 137])
def test_a_further_clean_image_exceeds_the_threshold_as_seldom_as_promised(
    count: int, share: float
) -> None:
    rng = np.random.default_rng(0)
    # Scores are uniform, so that what lies above a threshold is known exactly.
    above = [1 - highest_allowed(rng.random(count), share) for _ in range(4000)]
    error = 4 * float(np.std(above)) / np.sqrt(len(above))
    assert share - 1 / (count + 1) - error < np.mean(above) < share + error


def test_too_few_clean_images_for_a_promise() -> None:
    assert highest_allowed(np.arange(19.0), 0.05) == 18
    with pytest.raises(InputError, match=r"18 clean images .* 0.05 false alarms need 19 or more"):
        highest_allowed(np.arange(18.0), 0.05)


@pytest.mark.parametrize("name", ["KernelDensity", "LID", "MaxSoftmax"])
def test_fresh_clean_images_are_flagged_as_seldom_as_promised(weights: Path, name: str) -> None:
    share, fresh = 0.1, 600
    stored = fit_detector(
        plan(weights, count=400),
        name,
        attack="FGSM",
        eps=STRONG,
        false_alarms=share,
        device="cpu",
    )
    promise = stored.record.promise
    assert promise.images == (400 if name == "MaxSoftmax" else 160)
    assert promise.groups == promise.images // 2
    flagged = Guard(classifier(weights), stored, "cpu")(phantoms(count=fresh)[0]).flagged
    # Drawn twice: the images that set the threshold, and these.
    error = np.sqrt(share * (1 - share) * (1 / promise.images + 1 / fresh))
    assert abs(float(flagged.double().mean()) - share) < 3 * error


@pytest.mark.parametrize("detector", [KernelDensity(), Mahalanobis(), LID(), BITS], ids=repr)
def test_attacked_images_are_flagged_more_often_than_clean_ones(
    weights: Path, detector: Detector
) -> None:
    stored = fit_detector(plan(weights), detector, attack="PGD", eps=STRONG, device="cpu")
    net, (x, y) = classifier(weights).eval(), phantoms(count=120)
    x_adv = attacked(net, x, y, 24 / 255)
    assert len(x_adv) > 40
    guard = Guard(net, stored, "cpu")
    seen, alarms = guard(x_adv).flagged, guard(x).flagged
    assert float(seen.double().mean()) > 3 * float(alarms.double().mean())
    assert float(seen.double().mean()) > 0.15
    teaching = stored.record.teaching
    assert teaching is not None and teaching.met > 20
    # What the record says of images that it had not seen is what happens to these.
    assert teaching.flagged / teaching.met == pytest.approx(float(seen.double().mean()), abs=0.25)


def test_each_image_teaches_or_sets_the_threshold_and_no_patient_does_both(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taught: list[Tensor] = []
    measured: list[Tensor] = []
    learn_head, score = KernelDensity.learn_head, KernelDensity.combine

    def learn(self: KernelDensity, clean: Tensor, adversarial: Tensor) -> Any:
        taught.extend(clean)
        return learn_head(self, clean, adversarial)

    def combine(self: KernelDensity, statistics: Tensor) -> Tensor:
        measured.append(statistics)
        return score(self, statistics)

    monkeypatch.setattr(KernelDensity, "learn_head", learn)
    monkeypatch.setattr(KernelDensity, "combine", combine)
    fit_detector(plan(weights), KernelDensity(5.0), attack="FGSM", eps=STRONG, device="cpu")
    known = {float(row) for row in taught}
    clean = {float(row) for row in measured[0]}
    assert known and len(clean) > 40 and not known & clean


def test_another_classifier_is_refused(weights: Path) -> None:
    stored = fit_detector(plan(weights, "small"), "MaxSoftmax", device="cpu")
    own = classifier(weights, "small")
    assert len(Guard(own, stored, "cpu")(phantoms()[0]).score) == 60
    other = classifier(weights, "small")
    with torch.no_grad():
        next(other.parameters()).add_(1e-6)
    for wrong, said in (
        (other, "another classifier: the hash of its weights is"),
        (classifier(weights, "small", mean=0.5), r"its mean is \[0.0\], here it is \[0.5\]"),
        (classifier(weights, "small", threshold=0.4), "its threshold is 0.5, here it is 0.4"),
        (classifier(weights, "small", size=PIXELS), r"its size is None, here it is \[28, 28\]"),
        (classifier(weights, "smooth"), "the weights are the same, but the network makes"),
    ):
        with pytest.raises(InputError, match=said):
            Guard(wrong, stored, "cpu")
    Guard(classifier(weights, "small", head="auto"), stored, "cpu")  # it was recognised before
    with pytest.raises(InputError, match="a Classifier is needed"):
        Guard(trained(PIXELS), stored, "cpu")  # type: ignore[arg-type]


def _rewrite(**changes: Any) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        body = json.loads((folder / RECORD).read_text())
        (folder / RECORD).write_text(json.dumps(body | changes))

    return change


def _swap_tensors(folder: Path) -> None:
    tensors = load_file(folder / TENSORS)
    save_file({name: value + 1 for name, value in tensors.items()}, folder / TENSORS)


def _flip(folder: Path) -> None:
    content = bytearray((folder / TENSORS).read_bytes())
    content[-3] ^= 1
    (folder / TENSORS).write_bytes(content)


SPOILT: list[tuple[str, Callable[[Path], object], str]] = [
    ("threshold", _rewrite(threshold=99.0), "detector.json was changed after it was stored"),
    ("newer", _rewrite(version=2), r"a newer robust \(its format is 2, this one reads 1\)"),
    ("foreign", _rewrite(format="x"), "detector.json is not the record of a detector"),
    ("list", lambda f: (f / RECORD).write_text("[1, 2]"), "is not the record of a detector"),
    ("deep", lambda f: (f / RECORD).write_text("[" * 99999), "is not the record of a detector"),
    ("empty", lambda f: (f / RECORD).write_text(""), "is not the record of a detector"),
    ("pickle", lambda f: (f / RECORD).write_bytes(pickle.dumps({})), "is not the record"),
    ("no record", lambda f: (f / RECORD).unlink(), "holds no detector.json; name the folder"),
    ("swapped", _swap_tensors, "safetensors is not the file that was stored beside detector.json"),
    ("flipped", _flip, "is not the file that was stored"),
    ("torch", lambda f: torch.save({}, f / TENSORS), "is not the file that was stored"),
    ("no tensors", lambda f: (f / TENSORS).unlink(), "detector.safetensors cannot be read"),
]


@pytest.mark.parametrize(("spoil", "said"), [s[1:] for s in SPOILT], ids=[s[0] for s in SPOILT])
def test_a_spoilt_folder_is_refused_in_one_line(
    weights: Path, tmp_path: Path, spoil: Callable[[Path], object], said: str
) -> None:
    folder = tmp_path / "guard"
    fit_detector(plan(weights, "small"), "LID", device="cpu", out=folder)
    StoredDetector.load(folder)
    spoil(folder)
    with pytest.raises(InputError, match=said) as refused:
        StoredDetector.load(folder)
    assert "\n" not in str(refused.value)


def test_consistent_files_with_the_wrong_tensors_are_refused(weights: Path, tmp_path: Path) -> None:
    """Hashes that fit show that nothing slipped, not that somebody knew what he wrote."""
    stored = fit_detector(plan(weights, "small"), "LID", device="cpu")
    good = dict(stored.detector.known())
    spoilt: list[tuple[dict[str, Tensor], str]] = [
        ({k: v for k, v in good.items() if k != "scale"}, "scale"),
        ({k: v[..., :-1] if v.ndim == 2 else v for k, v in good.items()}, "size of tensor"),
    ]
    for number, (learned, said) in enumerate(spoilt):
        stored.detector.learned = {k: v.contiguous() for k, v in learned.items()}
        stored.save(tmp_path / str(number))
        with pytest.raises(InputError, match=f"the detector LID fails on images .*{said}"):
            Guard(classifier(weights, "small"), tmp_path / str(number), "cpu")


def test_a_folder_in_use_is_left_alone_and_a_failure_leaves_nothing(
    weights: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("x")
    with pytest.raises(InputError, match="mine exists and is not empty"):
        fit_detector(plan(weights), "LID", device="cpu", out=tmp_path / "mine")
    with pytest.raises(InputError, match="cannot be written"):
        fit_detector(
            plan(weights), "LID", device="cpu", out=tmp_path / "mine" / "notes.txt" / "guard"
        )
    with pytest.raises(InputError, match="nothing to learn from"):
        fit_detector(plan(weights), "LID", attack="FGSM", eps=0, device="cpu", out=tmp_path / "new")
    assert [p.name for p in tmp_path.rglob("*")] == ["mine", "notes.txt"]


def test_images_that_are_none(weights: Path) -> None:
    stored = fit_detector(plan(weights, "small"), "MaxSoftmax", device="cpu")
    guard = Guard(classifier(weights, "small"), stored, "cpu")
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


BAD_FITS: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("detector", {"detector": "LDI"}, {}, "unknown detector 'LDI'; did you mean LID"),
    ("attack", {"attack": "PDG"}, {}, "unknown attack 'PDG'; did you mean PGD"),
    ("eps alone", {"attack": None}, {}, "name the attack, or leave eps out"),
    ("needs", {"detector": "DeepFeatures", "attack": None}, {}, "name an attack and its eps"),
    ("eps", {"eps": "8"}, {}, "eps 8 is above 1"),
    ("eps text", {"eps": "one"}, {}, "eps 'one' is not a number"),
    ("no eps", {"eps": None}, {}, "at one eps, the plan has PGD at 0.5/255, PGD at 1/255"),
    ("weak", {"eps": "0"}, {}, r"PGD at 0/255 fooled the classifier on none .* of \d+ attacked"),
    ("split", {"split": "vall"}, {}, r"no split 'vall'; did you mean val\?.*\(--split names"),
    ("same", {"split": "train"}, {}, "detectors learn from train.*name another split"),
    ("reference", {}, {"detection": {"reference": "trian"}}, "'trian'; did you mean train?"),
    ("layer", {}, {"detection": {"layers": ["netwrk.3"]}}, "no layer 'netwrk.3'; nearest: "),
    ("share", {"false_alarms": 1.5}, {}, "between 0 and 1, not 1.5; write 0.05"),
    ("rare", {"false_alarms": 0.001}, {}, "0.001 false alarms need 999 or more"),
    (
        "k",
        {},
        {"detectors": [{"name": "LID", "k": 100}]},
        "detector LID: k = 100 neighbours out of a batch of 100 images",
    ),
    ("blind", {"detector": "QuantizedFeatures", "eps": STRONG}, {}, "every image the same score"),
    ("dropout", {"detector": "BayesianUncertainty"}, {}, "needs a network with dropout"),
    (
        "label",
        {"detector": "LID"},
        {"detectors": [{"name": "LID", "label": "a"}, {"name": "LID", "label": "b"}]},
        "the plan has several LID; name one by its label: a, b",
    ),
]


@pytest.mark.parametrize(
    ("call", "tables", "said"), [b[1:] for b in BAD_FITS], ids=[b[0] for b in BAD_FITS]
)
def test_a_fit_that_cannot_be(
    weights: Path, call: dict[str, Any], tables: dict[str, Any], said: str
) -> None:
    arguments = {"detector": "LID", "attack": "PGD", "eps": "4/255"} | call
    with pytest.raises(InputError, match=said) as refused:
        fit_detector(plan(weights, "small", **tables), device="cpu", **arguments)
    assert "\n" not in str(refused.value)


def test_too_few_patients(weights: Path) -> None:
    with pytest.raises(InputError, match="val has 4 groups; 5 or more are needed"):
        fit_detector(plan(weights, "small", count=8), MaxSoftmax(), device="cpu")


def test_the_plan_gives_fields_to_what_it_names(weights: Path) -> None:
    tables: dict[str, Any] = {
        "detectors": [{"name": "LID", "label": "narrow", "k": 7}],
        "attacks": [{"name": "PGD", "label": "long", "steps": 3, "eps": ["20/255"]}],
    }
    stored = fit_detector(plan(weights, **tables), "narrow", attack="long", device="cpu")
    assert stored.record.fields["k"] == 7 and stored.record.label == "narrow"
    teaching = stored.record.teaching
    assert teaching is not None and teaching.fields["steps"] == 3
    assert str(teaching) == "long at 20/255"


def test_the_public_names() -> None:
    assert robust.Guard is Guard and robust.fit_detector is fit_detector
