"""Errors on corrupted images whose truth is known by construction; resumed runs; wrong input."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from attacks.streams import Streams
from robust.auditing import audit
from robust.corruptions import predictions
from robust.corruptions.run import (
    check_corruptions,
    corruption_passes,
    modality_of,
)
from robust.engine.run_memory import CORRUPTED
from robust.errors import InputError
from robust.models import BlackBox, Classifier
from robust.plan.spec import CorruptionsSpec, ModelSpec
from robust.records import Report
from tests.corruptions.play import (
    STEP,
    Brighter,
    Dust,
    MeanGrey,
    Turned,
    corrupted,
    grey_cases,
    images_and_labels,
    mean_grey,
    session,
)
from tests.tasks.drawn import drawn, pointwise

KINDS = (Brighter(), Turned(), Dust())


def balanced(wrong: Tensor, y: Tensor) -> float:
    return float(np.mean([wrong[y == k].double().mean() for k in (0, 1)]))


def test_a_reader_of_the_mean_errs_as_its_brightness_says(monkeypatch: pytest.MonkeyPatch) -> None:
    cases = grey_cases()
    x, y = images_and_labels(cases)
    means = x.double().mean((1, 2, 3))
    with session(cases) as ready:
        found = corrupted(ready, KINDS, monkeypatch)
    assert (found.clean.cases, found.clean.groups) == (60, 30)
    clean = balanced((means > 0.5).long() != y, y)
    assert 0.05 < clean < 0.4 and found.clean.value == pytest.approx(clean, abs=1e-12)
    by_severity = []
    for severity in range(1, 6):
        score = found.at("brighter", severity)
        wanted = balanced((means + STEP * severity > 0.5).long() != y, y)
        assert score.error.value == pytest.approx(wanted, abs=1e-12)
        assert score.error.low < score.error.value < score.error.high  # type: ignore[operator]
        assert score.median_l2.value == pytest.approx(STEP * severity * 12, rel=1e-5)
        assert score.median_linf.value == pytest.approx(STEP * severity, rel=1e-5)
        by_severity.append(wanted)
        assert found.at("turned", severity).error == found.clean
    brighter, turned, _ = found.kinds
    assert brighter.error.value == pytest.approx(np.mean(by_severity), abs=1e-12)
    assert (turned.error, turned.family, turned.definition) == (found.clean, "colour", "this test")
    kinds = np.mean([kind.error.value for kind in found.kinds])
    assert found.mean.value == pytest.approx(kinds, abs=1e-12)
    assert (found.reference, found.be, brighter.be, brighter.rbe) == ("", None, None, None)


def test_a_sample_is_drawn_right_or_wrong_and_keeps_the_streams(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Noise of a case is that of its id alone, whatever else is drawn."""
    cases = grey_cases()
    with session(cases) as ready:
        sample = predictions.CorruptedSample.of(ready, 20, 0)
        found = corrupted(ready, [Dust()], monkeypatch, cases=20, severities=(3,))
    assert found.clean.cases == 20 == len(sample.rows)
    chosen = cases.select(sample.rows)
    y = images_and_labels(chosen)[1]
    assert 5 <= int(y.sum()) <= 9  # as many as among all
    wrong = []
    for case in [chosen[i] for i in range(20)]:
        streams = Streams.of(0, [case.id], "corruption", "dust", 3)
        z = Dust()(case.image[None], 3, streams).double().mean()
        wrong.append(int(z > 0.5) != case.label)
    assert found.at("dust", 3).error.value == balanced(torch.tensor(wrong), y)


def test_attacks_of_the_same_size_hurt_as_those_that_were_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On the reader of the mean FGSM is the strongest attack: it moves the mean by eps."""
    cases = grey_cases()
    x, y = images_and_labels(cases)
    means = x.double().mean((1, 2, 3))
    eps = [STEP, 2 * STEP]
    with session(cases, audit={"eps": eps}) as ready:
        found = corrupted(ready, [Brighter(), Faint()], monkeypatch, severities=(1, 2, 3))
    assert all(found.at("faint", severity).attacked is None for severity in (1, 2, 3))
    away = torch.where(y == 1, means, 1 - means)
    for severity in (1, 2, 3):
        reach = min(severity, 2) * STEP
        score = found.at("brighter", severity)
        assert score.attacked is not None
        # The same L2 distance to rounding: brighter first makes FGSM's image, or its opposite.
        shown = balanced(away - reach < 0.5, y), balanced(away - reach + STEP < 0.5, y)
        assert score.attacked.value in (pytest.approx(shown[0]), pytest.approx(shown[1]))
        assert score.attacked.value >= found.clean.value
    third = found.at("brighter", 3).attacked
    assert third is not None and third.value == pytest.approx(balanced(away - 2 * STEP < 0.5, y))


@dataclasses.dataclass(frozen=True)
class Faint(Brighter):
    """Below every attack."""

    name: str = "faint"

    def __call__(self, x: Tensor, severity: int, streams: Streams) -> Tensor:
        return x + 1e-4


def test_cases_that_a_goal_leaves_alone_keep_their_clean_prediction(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cases = dataclasses.replace(grey_cases(), findings=(1,))
    x, y = images_and_labels(cases)
    means = x.double().mean((1, 2, 3))
    with session(cases, audit={"eps": [2 * STEP], "goal": "miss"}) as ready:
        found = corrupted(ready, [Brighter()], monkeypatch, severities=(5,))
    attacked = found.at("brighter", 5).attacked
    missed = torch.where(y == 1, means - 2 * STEP, means)
    assert attacked is not None
    assert attacked.value == pytest.approx(balanced((missed > 0.5).long() != y, y))


def test_a_model_that_is_its_own_reference_has_be_1_and_rbe_1(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Turned upside down nothing is lost: there is no rBE of that kind."""
    with session(grey_cases(), reference=Classifier(MeanGrey(), channels=1)) as ready:
        found = corrupted(ready, KINDS, monkeypatch)
    assert found.reference.startswith("MeanGrey, weights ")
    assert (found.reference_clean, found.reference_mean) == (found.clean, found.mean)
    assert [one.be for one in found.kinds] == [1.0, 1.0, 1.0] and found.be == 1.0
    brighter, turned, _ = found.kinds
    assert (brighter.rbe, turned.rbe, found.rbe) == (1.0, None, 1.0)
    assert all(one.reference == one.error for one in found.scores)


def test_be_and_rbe_against_another_model(monkeypatch: pytest.MonkeyPatch) -> None:
    cases = grey_cases()
    x, y = images_and_labels(cases)
    means = x.double().mean((1, 2, 3))

    def errors(limit: float, step: float) -> float:
        return balanced((means + step > limit).long() != y, y)

    with session(cases, reference=mean_grey(0.45)) as ready:
        found = corrupted(ready, [Brighter(), Turned()], monkeypatch, severities=(1, 4))
    mine, its = (np.mean([errors(t, STEP), errors(t, 4 * STEP)]) for t in (0.5, 0.45))
    clean, its_clean = errors(0.5, 0), errors(0.45, 0)
    kind, turned = found.kinds
    assert found.reference_clean is not None
    assert found.reference_clean.value == pytest.approx(its_clean)
    assert kind.be == pytest.approx(mine / its)
    assert kind.rbe == pytest.approx((mine - clean) / (its - its_clean))
    assert turned.be == pytest.approx(clean / its_clean)
    assert found.be == pytest.approx((mine / its + clean / its_clean) / 2)
    assert found.rbe == kind.rbe


@dataclasses.dataclass
class Stops:
    """Ends the process's work, as a kill does, after so many calls."""

    calls: int

    def __call__(self, done: float, total: float, text: str) -> None:
        self.calls -= 1
        if self.calls < 0:
            raise KeyboardInterrupt


def test_a_run_that_was_killed_goes_on_and_ends_in_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases, reference = grey_cases(), mean_grey(0.45)
    with session(cases, reference=reference) as ready:
        whole = corrupted(ready, KINDS, monkeypatch)
    for stop in (3, 20):
        with session(cases, reference=reference, folder=tmp_path) as ready:
            killed = dataclasses.replace(ready, progress=Stops(stop))
            with pytest.raises(KeyboardInterrupt):
                corrupted(killed, KINDS, monkeypatch)
            assert ready.store.get(CORRUPTED.of("brighter", 1, 0)) is not None
    seen: list[tuple[int, ...]] = []
    with session(cases, reference=reference, folder=tmp_path) as ready:
        made = ready.runner.logits
        monkeypatch.setattr(ready.runner, "logits", lambda x: (seen.append(x.shape), made(x))[1])
        assert corrupted(ready, KINDS, monkeypatch) == whole
    assert len(seen) == 30 - 20  # 2 batches of 15 looks; what was finished is not asked again


def test_outlines_have_1_less_the_mean_dice(monkeypatch: pytest.MonkeyPatch) -> None:
    """At .16 brighter a pixel of the background is read as organ, and one of the organ as lesion."""
    with session(drawn(6), pointwise(), audit={"eps": [0.06]}) as ready:
        found = corrupted(ready, [Brighter()], monkeypatch, severities=(1, 5))
        dice = [case.mask for case in ready.cases]
    assert (found.clean.value, found.clean.cases) == (0.0, 6)
    mild, severe = found.scores
    assert mild.error.value == 0.0 and mild.error.high is not None
    wanted = []
    for mask in dice:
        assert mask is not None
        said = torch.where(mask == 0, 1, 2)
        each = []
        for number in (1, 2):
            both = ((said == number) & (mask == number)).sum()
            size = (said == number).sum() + (mask == number).sum()
            each += [float(2 * both / size)] if size else []
        wanted.append(1 - np.mean(each))
    assert severe.error.value == pytest.approx(np.mean(wanted), abs=1e-6)


class Blind(nn.Module):
    """NaN for bright images."""

    def forward(self, x: Tensor) -> Tensor:
        z = x.mean((1, 2, 3))
        return torch.stack([z, 0.5 - torch.where(x.amax((1, 2, 3)) > 0.99, torch.nan, z)], 1)


class Wide(nn.Module):
    """Five classes."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((1, 2, 3))[:, None].expand(-1, 5)


@pytest.mark.parametrize(
    ("model", "reference", "said"),
    [
        (Blind(), None, "the model, brighter at 5: .*NaN or infinite"),
        (MeanGrey(), Blind(), "the reference of corruptions, brighter at 5: .*NaN or infinite"),
        (MeanGrey(), Wide(), "the reference of corruptions, clean images: .*has 5 outputs"),
    ],
)
def test_models_that_do_not_answer_are_refused_in_one_line(
    model: nn.Module, reference: nn.Module | None, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = None if reference is None else Classifier(reference, channels=1, head="softmax")
    audited = Classifier(model, channels=1, head="softmax")
    with (
        session(grey_cases(16), audited, reference=other) as ready,
        pytest.raises(InputError, match=said) as error,
    ):
        corrupted(ready, [Brighter()], monkeypatch, severities=(5,))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("spec", "noun", "said"),
    [
        ({"modality": "chest xray"}, "images", "chest X-ray"),
        ({}, "images", "the data are called 'images': name one of chest X-ray, fundus"),
        ({}, "CT and MRI volumes", "needs a modality"),
        ({"severities": ()}, "chest X-rays", "severities is empty"),
        ({"severities": (2, 2)}, "chest X-rays", "names a severity twice"),
        ({"kinds": ("brightness_upp",)}, "chest X-rays", "brightness_up"),
    ],
)
def test_wrong_input_is_one_line(spec: dict[str, object], noun: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as error:
        check_corruptions(CorruptionsSpec.model_validate(spec), noun)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("noun", "modality"),
    [
        ("chest X-rays", "chest X-ray"),
        ("synthetic fundus photographs", "fundus"),
        ("dermoscopy images", "dermoscopy"),
        ("synthetic CT volumes", "CT"),
        ("OCT scans", "OCT"),
    ],
)
def test_the_modality_follows_from_what_data_are_called(noun: str, modality: str) -> None:
    assert modality_of(CorruptionsSpec(), noun) == modality
    assert modality_of(CorruptionsSpec(modality="MRI"), noun) == "MRI"


def test_passes_are_told_beforehand() -> None:
    kinds = ("brightness_up", "brightness_down")
    spec = CorruptionsSpec(kinds=kinds, severities=(1, 3), cases=50, modality="chest X-ray")
    assert corruption_passes(spec, 80) == 4 * 50
    both = spec.model_copy(update={"reference": ModelSpec(factory="a:b"), "modality": None})
    assert corruption_passes(both, 30) == (8 + 1) * 30
    assert corruption_passes(None, 30) == 0


BRIEF = {"doubts": {"probe": False}, "gallery": 0, "device": "cpu", "eps": [STEP]}


def test_an_audit_reports_what_the_kinds_of_its_modality_do() -> None:
    x, y = images_and_labels(cases := grey_cases(24))
    report = audit(
        mean_grey(),
        cases,
        attacks=["FGSM"],
        corruptions={"modality": "chest X-ray", "kinds": ["brightness_up"], "severities": [5]},
        corruption_reference=mean_grey(0.45),
        **BRIEF,
    )
    found = report.corruptions
    assert found is not None and Report.from_json(report.to_json()) == report
    means = (1.5 * x.double()).clamp(0, 1).mean((1, 2, 3))  # by half, as MedMNIST-C defines it
    wanted = [balanced((means > limit).long() != y, y) for limit in (0.5, 0.45)]
    assert found.mean.value == pytest.approx(wanted[0], abs=1e-12)
    assert found.kinds[0].be == pytest.approx(wanted[0] / wanted[1])


def test_a_black_box_that_answers_labels_has_errors_and_no_calibration() -> None:
    def answer(images: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
        return (images.mean((1, 2, 3)) > 0.5).astype(int)

    report = audit(
        BlackBox(answer, answers="labels", outputs=2),
        cases := grey_cases(16),
        attacks=["Noise"],
        corruptions={"modality": "chest X-ray", "kinds": ["brightness_up"], "severities": [1, 5]},
        **BRIEF,
    )
    assert report.corruptions is not None and report.corruptions.clean.cases == len(cases)
    assert report.clean.scores.ece is None and report.clean.scores.brier is None
    with pytest.raises(ValueError, match="has no ece"):
        _ = report.clean.ece
