"""Model, data, attacks and metric as MAITE's protocols want them, with the numbers of an audit."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import robust
from attacks import PGD, Streams, ThreatModel
from attacks.contract import AttackTraits
from robust.cases import Cases, open_cases
from robust.demo import network
from robust.errors import InputError
from robust.maite import MaiteAccuracy, MaiteAttack, MaiteDataset, MaiteLoader, MaiteModel
from robust.records import Estimate

maite = pytest.importorskip("maite")
from maite import tasks  # noqa: E402
from maite.protocols import image_classification as ic  # noqa: E402

EPS = "2/255"


@pytest.fixture(scope="module")
def cases() -> Cases:
    return open_cases("phantom:chest_xray", count=24, pixels=28)


@pytest.fixture(scope="module")
def classifier(cases: Cases) -> robust.Classifier:
    """A linear network, fitted to the cases, which attacks can sway."""
    torch.manual_seed(0)
    x = torch.stack([case.image for case in cases])
    y = torch.tensor([case.label for case in cases])
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(28 * 28, 2))
    search = torch.optim.Adam(net.parameters(), 1e-2)
    for _ in range(60):
        search.zero_grad()
        torch.nn.functional.cross_entropy(net((x - 0.5) / 0.25), y).backward()
        search.step()
    with torch.no_grad():  # so that a quarter of the opacities is misread without attack
        logits = net((x - 0.5) / 0.25)
        net[1].bias[0] += (logits[:, 1] - logits[:, 0])[y == 1].quantile(0.25)
    return robust.Classifier(net, channels=1, mean=0.5, std=0.25)


@pytest.fixture(scope="module")
def model(classifier: robust.Classifier, cases: Cases) -> MaiteModel:
    return MaiteModel(classifier, cases, device="cpu")


def test_all_have_the_form_of_the_protocols(model: MaiteModel, cases: Cases) -> None:
    attack = MaiteAttack(model, "PGD", EPS)
    assert isinstance(model, ic.Model)
    assert isinstance(MaiteDataset(cases), ic.Dataset)
    assert isinstance(MaiteDataset(cases), ic.FieldwiseDataset)
    assert isinstance(MaiteLoader(cases), ic.DataLoader)
    assert isinstance(attack, ic.Augmentation)
    assert isinstance(MaiteAccuracy(), ic.Metric)
    assert not isinstance(MaiteLoader(cases), ic.Model)  # so a wrong form would be seen
    for one in (model, MaiteDataset(cases), attack, MaiteAccuracy()):
        assert isinstance(one.metadata["id"], str)
    assert attack.metadata["id"] == "PGD, Linf, eps 2/255"


def test_maites_own_checks_of_shapes_and_types_pass(model: MaiteModel, cases: Cases) -> None:
    pytest.importorskip("beartype")
    from maite.spotcheck import SpotcheckError, spotcheck_component

    dataset = spotcheck_component(ic.Dataset)(MaiteDataset(cases))
    batch = [list(part) for part in zip(*(dataset[i] for i in range(4)), strict=True)]
    checked = spotcheck_component(ic.Model)(model)
    attack = spotcheck_component(ic.Augmentation)(MaiteAttack(model, "FGSM", EPS))
    images, targets, metadata = attack(tuple(batch))
    metric = spotcheck_component(ic.Metric)(MaiteAccuracy())
    metric.update(checked(images), targets, metadata)
    assert metric.compute()["cases"] == 4
    (loaded, *_) = spotcheck_component(ic.DataLoader)(MaiteLoader(cases[:4], 4))
    assert len(loaded[0]) == 4
    with pytest.raises(SpotcheckError):  # so it has something to say
        spotcheck_component(ic.Metric)(MaiteAccuracy()).update([3], targets, metadata)


def test_a_datum_is_the_case(cases: Cases) -> None:
    dataset = MaiteDataset(cases, id="ours")
    assert dataset.metadata == {"id": "ours", "index2label": {0: "normal", 1: "opacity"}}
    for i, (image, target, metadata) in enumerate(dataset[i] for i in range(len(dataset))):
        case = cases[i]
        assert np.array_equal(image, case.image.numpy()) and image.dtype == np.float32
        assert target.argmax() == case.label and target.sum() == 1
        assert metadata == {"id": case.id, "group": case.group, "subgroups": dict(case.metadata)}
    assert len(list(dataset)) == len(cases)  # type: ignore[call-overload]


@pytest.mark.parametrize("size", [1, 7, 24, 100])
def test_the_loader_gives_each_case_once_in_order(cases: Cases, size: int) -> None:
    loader = MaiteLoader(cases, size)
    batches = list(loader)
    assert len(batches) == len(loader) == math.ceil(len(cases) / size)
    ids = [one["id"] for _, _, metadata in batches for one in metadata]
    assert ids == [entry.id for entry in cases.entries]
    assert all(len(a) == len(b) == len(c) <= size for a, b, c in batches)


def plain(one: Estimate) -> dict[str, Any]:
    """As the metric has it."""
    return {
        "accuracy": one.value,
        "low": one.low,
        "high": one.high,
        "cases": one.cases,
        "groups": one.groups,
    }


def test_the_numbers_are_those_of_an_audit(
    classifier: robust.Classifier, model: MaiteModel, cases: Cases
) -> None:
    report = robust.audit(
        classifier,
        cases,
        attacks=[PGD(steps=5), "FGSM"],
        eps=[EPS],
        precision="float32",
        device="cpu",
        doubts={"probe": False},
    )
    clean, _, _ = tasks.evaluate(
        model=model, metric=MaiteAccuracy(), dataset=MaiteDataset(cases), batch_size=5
    )
    want = report.clean.scores.accuracy
    assert want is not None and 0.5 < want.value < 1
    assert clean == plain(want)
    found = {}
    for row in report.rows:
        made: Any = {"PGD": PGD(steps=5), "FGSM": "FGSM"}[row.attack]
        attack = MaiteAttack(model, made, EPS)
        attacked, predictions, data = tasks.evaluate(
            model=model,
            metric=MaiteAccuracy(),
            dataloader=MaiteLoader(cases, 7),
            augmentation=attack,
            return_preds=True,
            return_augmented_data=True,
        )
        under, expected = row.scores.accuracy, row.scores.robust_accuracy
        assert under is not None and expected is not None
        assert attacked == {
            **plain(under),
            **{f"robust_{name}": value for name, value in plain(expected).items()},
        }
        found[row.attack] = attacked["accuracy"]
        fallen = sum(one["success"] for _, _, told in data for one in told)
        right = round(want.value * len(cases))
        assert right - fallen == round(under.value * len(cases))
        assert [len(batch) for batch in predictions] == [7, 7, 7, 3]
    assert min(found.values()) < want.value  # else nothing was shown


def test_images_are_those_of_the_attack_and_no_batch_size_changes_them(
    model: MaiteModel, cases: Cases
) -> None:
    images = {}
    for size in (1, 24):
        _, data = tasks.predict(
            model=model,
            dataset=MaiteDataset(cases),
            batch_size=size,
            augmentation=MaiteAttack(model, "PGD", EPS, steps=3, seed=5),
            return_augmented_data=True,
        )
        for batch in data:
            for image, _, told in zip(*batch, strict=True):
                images.setdefault(told["id"], []).append((image, told))
    attack, threat = PGD(steps=3), ThreatModel("Linf", 2 / 255)
    assert {len(both) for both in images.values()} == {2}
    attacked = 0
    for case in cases:
        (one, told), (other, _) = images[case.id]
        assert np.allclose(one, other, atol=1e-6)
        x = case.image[None]
        if told["attacked"]:
            attacked += 1
            streams = Streams.of(5, [case.id], attack.stream_key, threat.stream_key)
            expected = attack(model.classifier, x, torch.tensor([case.label]), threat, streams)
            assert np.array_equal(one, expected[0].numpy())
            assert told["distance"] == pytest.approx(float(abs(one - x[0].numpy()).max()))
            assert told["distance"] <= 2 / 255 + 2e-7
        else:
            assert np.array_equal(one, x[0].numpy()) and told["distance"] is None
    assert 0 < attacked < len(cases)


def test_a_minimum_norm_attack_needs_no_eps(model: MaiteModel, cases: Cases) -> None:
    attack = MaiteAttack(model, "FMN", norm="L2", steps=20)
    assert attack.metadata["id"] == "FMN, L2, no bound"
    (batch,) = MaiteLoader(cases[:6], 6)
    _, _, told = attack(batch)
    assert all(one["success"] for one in told if one["attacked"])


def test_images_of_several_shapes_keep_their_places() -> None:
    model = MaiteModel(
        robust.Classifier(network(), channels=3, size=28, head="softmax"), device="cpu"
    )
    batch = [np.full((1, side, side), side / 64, np.float32) for side in (28, 40, 28, 56)]
    every = model(batch)
    assert len(every) == 4
    for one, image in zip(every, batch, strict=True):
        assert np.allclose(one, model([image])[0], atol=1e-5)
    assert "index2label" not in model.metadata


def test_what_is_no_displayed_image_is_refused(model: MaiteModel) -> None:
    for wrong, said in (
        (np.zeros((28, 28), np.float32), "an image is"),
        (np.zeros((1, 28, 28), np.uint8), "pixels are uint8; give displayed pixels in"),
        (np.full((1, 28, 28), 1.5), "pixels reach from 1.5 to 1.5"),
        (np.full((1, 28, 28), np.nan), "pixels reach from nan"),
    ):
        with pytest.raises(InputError, match=said):
            model([wrong])


def test_what_does_not_fit_is_refused_before_anything_runs(
    model: MaiteModel, classifier: robust.Classifier
) -> None:
    with pytest.raises(InputError, match="head is auto"):
        MaiteModel(classifier)
    with pytest.raises(InputError, match="no classifier"):
        MaiteModel(torch.nn.Linear(2, 2))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="unknown attack 'PDG'"):
        MaiteAttack(model, "PDG", EPS)
    with pytest.raises(InputError, match="needs a finite eps"):
        MaiteAttack(model, "PGD")
    with pytest.raises(InputError, match="write '2/255'"):
        MaiteAttack(model, "PGD", 2)
    with pytest.raises(InputError, match="dense logits"):
        MaiteAttack(model, "SegPGD", EPS)
    with pytest.raises(InputError, match="has its fields already"):
        MaiteAttack(model, PGD(), EPS, steps=3)
    with pytest.raises(InputError, match="batch_size must be 1"):
        MaiteLoader(open_cases("phantom:chest_xray", count=2, pixels=28), 0)
    with pytest.raises(InputError, match="no protocol for outlines"):
        MaiteDataset(open_cases("phantom:lungs", count=2, pixels=28))


class Crashing:
    """Fails on every batch."""

    norms, minimum_norm, knowledge = ("Linf",), False, "none"
    traits, passes, stream_key = AttackTraits(), 1, "Crashing"

    def __call__(self, *_: Any) -> torch.Tensor:
        raise RuntimeError("no luck")


def test_an_attack_that_crashes_is_not_one_that_was_withstood(
    model: MaiteModel, cases: Cases
) -> None:
    (batch,) = MaiteLoader(cases[:6], 6)
    crashing: Any = Crashing()
    with pytest.raises(InputError, match=r"failed on case .*: RuntimeError: no luck"):
        MaiteAttack(model, crashing, EPS)(batch)


def test_the_metric_needs_groups(model: MaiteModel) -> None:
    metric = MaiteAccuracy()
    told: Any = [{"id": 3}]
    with pytest.raises(InputError, match="case 3 has no group"):
        metric.update([[1, 0]], [[1, 0]], told)
    alone = MaiteAccuracy(grouped=False)
    for _ in range(2):
        alone.reset()
        for right in (1, 1, 1, 0, 1, 1):
            alone.update([[right, 1 - right]], [[1, 0]], told)
        found = alone.compute()
        assert found["accuracy"] == pytest.approx(5 / 6)
        assert (found["cases"], found["groups"]) == (6, 6)
        assert found["low"] is not None and 0.1 < found["low"] < 5 / 6
    with pytest.raises(InputError, match="no batch"):
        MaiteAccuracy().compute()


def test_no_file_name_reaches_the_metadata(tmp_path: Path) -> None:
    for name in ("normal", "opacity"):
        (tmp_path / name).mkdir()
        for i in range(2):
            Image.new("L", (28, 28), 40 * i).save(tmp_path / name / f"Jane Doe {i}.png")
    cases = open_cases(tmp_path, group="none")
    dataset = MaiteDataset(cases)
    told = [dataset.metadata, *(dataset.get_metadata(i) for i in range(len(cases)))]
    assert len(told) == 5 and "Jane" not in repr(told) and str(tmp_path) not in repr(told)
