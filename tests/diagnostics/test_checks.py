"""Each check raises its own warning on its own defect, and a sound run raises none."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robust.cases.case import CaseNotes, Cases, Entry
from robust.detection import selection
from robust.diagnostics import gradient_masking, model, run
from robust.diagnostics.answer_form import AnswerForm
from robust.diagnostics.checks import CHECKS, find_flags
from robust.diagnostics.collect import claim_of
from robust.diagnostics.evidence import Claim, CleanOutlines, Evidence, Stuck
from robust.engine.provenance import Provenance
from robust.plan.load import make_plan
from robust.plan.spec import Plan
from robust.records import (
    FLAG_TEXTS,
    FLAGS,
    AttackResult,
    CellAgain,
    CertifiedAccuracy,
    ComputedAgain,
    CopiedImages,
    Detection,
    DetectorScore,
    Estimate,
    ImageSet,
    NullControl,
    ReferenceSet,
    Scores,
    Twin,
)
from robust.records.estimate import TOO_FEW
from robust.records.flags import voiding
from robust.records.stages.probe import Gradients, LineSearch, Probed, Search


def rate(value: float) -> Estimate:
    return Estimate(value, value - 0.05, value + 0.05, 100, 50)


def row(attack: str, success: float, **more: Any) -> AttackResult:
    scores = Scores(accuracy=rate(1 - success), success=rate(success))
    return AttackResult(attack, "Linf", 1 / 255, "exact", scores, attacked=90, **more)


def sound() -> Evidence:
    entries = tuple(Entry(str(i), i // 2 % 2, str(i // 2), {}, None) for i in range(100))
    cases = Cases("folder", ("normal", "ill"), entries, lambda _: np.zeros((2, 2), np.uint8), (1,))
    return Evidence(
        cases=cases,
        broken=0,
        groups=50,
        head="softmax",
        declared_head="auto",
        grey_in_colour=0,
        clean=AttackResult("clean", "", 0.0, "clean", Scores(accuracy=rate(0.9))),
        rows=(row("Noise", 0.01, baseline=True), row("PGD", 0.8)),
        failures=Counter(),
        probe=probed(),
    )


def probed(**more: Any) -> Probed:
    """Sixteen sound cases, but for what is given."""
    plain: dict[str, Any] = {
        "cases": 16,
        "passes": 100,
        "seconds": 1.0,
        "repeat": 0.0,
        "neighbours": 1e-6,
        "training": (),
        "gradients": Gradients(16, judged=16),
        "boundless": 0,
        "search": Search("Linf", 1 / 255, 16, 1, 40, 3, 1, 300),
        "lines": LineSearch("Linf", 1 / 255, 90, 20, 2, 2),
    }
    return Probed(**{**plain, **more})


def probing(**more: Any) -> Callable[[Evidence], Evidence]:
    return lambda e: replace(e, probe=probed(**more))


def certified(**more: Any) -> CertifiedAccuracy:
    """A proof of 50 cases for certain, but for what is given."""
    sure: dict[str, Any] = {
        "certificate": "IntervalBounds",
        "text": "IntervalBounds()",
        "norm": "Linf",
        "function": "network",
        "deterministic": True,
        "alpha": None,
        "clean": rate(0.9),
        "abstained": None,
        "median_radius": None,
        "cap": None,
        "radii": (0.0,),
        "certified": (rate(0.5),),
        "points": (),
        "attack": "PGD",
        "compared": 50,
        "crossings": 0,
        "allowed": 0,
    }
    return CertifiedAccuracy(**{**sure, **more})


def test_crossings_of_a_proof_by_draws_raise_a_warning_only_beyond_chance() -> None:
    drawn = certified(deterministic=False, alpha=0.001, crossings=2, allowed=2)
    assert not find_flags(replace(sound(), certificates=(drawn, certified())))
    (flag,) = find_flags(replace(sound(), certificates=(replace(drawn, crossings=3),)))
    assert flag.observed == (
        "IntervalBounds: attacks tried 50 proven cases, and in 3 of them found adversarial images "
        "nearer than the proven radius; chance explains at most 2"
    )
    assert voiding((flag,), "attacks") == flag


def with_device(cases: Cases) -> Cases:
    entries = tuple(replace(e, metadata={"device": str(e.label)}) for e in cases.entries)
    return replace(cases, entries=entries)


def again(verdicts: int) -> ComputedAgain:
    """A chunk of which another worker found two cases otherwise, in some digit."""
    return ComputedAgain(1, ("A", "B"), (CellAgain("PGD", "Linf", 0.01, 8, 2, verdicts, 0.0, 1.0),))


def test_outputs_within_one_that_are_read_as_logits_raise_a_warning() -> None:
    (flag,) = find_flags(replace(sound(), within_one=True))
    assert flag.name == "probabilities instead of logits" and "(softmax)" in flag.observed


def test_workers_that_differ_in_digits_alone_raise_none() -> None:
    assert not find_flags(replace(sound(), again=again(verdicts=0)))


def detection(null: float, successes: int, alarm: bool) -> Detection:
    """One detector on one attack; its null control lies at `null`."""
    auc = Estimate(null, null - 0.01, null + 0.01, 100, 50)
    return Detection(
        detectors={"KD": "KernelDensity()"},
        layers=("deep",),
        reference=ReferenceSet("train", 100, 50, 0),
        cases=100,
        groups=50,
        correct_cases=100,
        folds=5,
        key_attack=0,
        image_sets=(ImageSet("attack", "PGD", "Linf", 1 / 255, successes),),
        detector_scores=(),
        null_controls=(NullControl("KD", 0, auc, 1e-6 if alarm else 0.3, alarm),),
    )


def selected() -> Detection:
    """The same without an alarm; on its attack the detector sees which cases fall."""
    found = detection(0.5, 80, False)
    paired, every, control = (Estimate(v, v - 0.04, v + 0.04, 90, 50) for v in (0.53, 0.88, 0.94))
    score = DetectorScore("KD", 0, 0, paired, every, control, {}, False, True)
    return replace(found, detector_scores=(score,))


def test_selection_is_told_with_all_three_figures() -> None:
    (flag,) = find_flags(replace(sound(), detection=selected()))
    assert flag.observed == (
        "KD: on PGD at 1/255, KD reaches a paired AUC of 0.53 [0.49, 0.57]; against all clean "
        "images 0.88 [0.84, 0.92], and without any attack the cases that fall against the others "
        "0.94 [0.90, 0.98]"
    )


def test_a_sound_run_raises_none() -> None:
    assert find_flags(sound()) == ()
    assert find_flags(replace(sound(), detection=detection(0.52, 80, False))) == ()


def test_an_alarm_comes_first() -> None:
    e = replace(sound(), unfinished=20, detection=detection(0.9, 10, True))
    names = [flag.name for flag in find_flags(e)]
    assert names[0] == "a null control raised an alarm" and len(names) == 3


def outlined(attack: str, dice: float, well: float = 0.9) -> AttackResult:
    scores = Scores(accuracy=rate(well), success=rate(1 - well), dice=rate(dice))
    return AttackResult(attack, "Linf", 1 / 255, "exact", scores, attacked=90)


def outlining(
    e: Evidence, true: Sequence[float] = (40.0,) * 100, found: Sequence[float] | None = None
) -> Evidence:
    """The same run of a segmenter with one structure, which is there and found."""
    volumes = np.array(true)[:, None], np.array(true if found is None else found)[:, None]
    return replace(e, outlines=CleanOutlines(("lung",), *volumes))


DEFECTS: dict[str, Callable[[Evidence], Evidence]] = {
    "clean accuracy below the claim": lambda e: replace(e, claim=Claim(accuracy=0.98)),
    "random outputs": probing(repeat=0.1, neighbours=0.1),
    "outputs depend on the batch": probing(neighbours=0.01),
    "parts in training mode": probing(training=("Dropout",)),
    "no gradients": lambda e: replace(e, differentiable=False),
    "gradients replaced": lambda e: replace(e, replaced=("round",)),
    "gradients vanish": probing(gradients=Gradients(16, vanishing=4, judged=12)),
    "gradients mislead": probing(gradients=Gradients(16, judged=16, misleading=8)),
    "input is rounded": probing(gradients=Gradients(16, judged=16, steps=16)),
    "gradients point away from the boundary": probing(
        lines=LineSearch("Linf", 1 / 255, 90, 20, 0, 3)
    ),
    "adversarial regions narrower than a step": probing(
        lines=LineSearch("Linf", 1 / 255, 90, 20, 3, 0)
    ),
    "black box beats white box": probing(search=Search("Linf", 1 / 255, 16, 0, 40, 3, 4, 300)),
    "more steps still help": probing(search=Search("Linf", 1 / 255, 16, 4, 40, 3, 0, 300)),
    "attacks fail without bounds": probing(boundless=5),
    "accuracy rises with eps": lambda e: replace(
        e,
        rows=(row("PGD", 0.8), replace(row("PGD", 0.6), eps=2 / 255)),
        iterative=frozenset({"PGD"}),
    ),
    "the objective does not rise": lambda e: replace(
        e, stuck=[Stuck("PGD", "Linf", 1 / 255, 20, 90)]
    ),
    "labels in place of scores": lambda e: replace(e, declared_labels=True),
    "scores of the best classes alone": lambda e: replace(e, form=AnswerForm(kept=2, classes=5)),
    "scores are rounded": lambda e: replace(e, form=AnswerForm(digits=2)),
    "clipped outputs": lambda e: replace(e, clipped=(20, 100)),
    "few clean images outlined well": lambda e: replace(
        outlining(e), clean=outlined("clean", 0.4, well=0.2)
    ),
    "one step as strong as many": lambda e: replace(
        outlining(e),
        clean=outlined("clean", 0.9),
        rows=(outlined("FGSM", 0.602), outlined("PGD", 0.6)),
        iterative=frozenset({"PGD"}),
    ),
    "another window in the attack": lambda e: replace(
        e, windows=("the whole image", "[64, 64] pixels, overlap 0.5, gaussian weights")
    ),
    "structures missing from masks": lambda e: outlining(e, true=[40.0] * 60 + [0.0] * 40),
    "gaps in masks": lambda e: outlining(e, true=[40.0] * 98 + [0.0] * 2, found=[40.0] * 100),
    "steps too short to cross the ball": lambda e: replace(e, short_reach={"PGD": 1.0}),
    "a column gives the label away": lambda e: replace(e, cases=with_device(e.cases)),
    "too few cases for the claim": lambda e: replace(e, groups_needed={"robust accuracy": 60}),
    "run cut short": lambda e: replace(e, unfinished=20),
    "the deployed version reads otherwise": lambda e: replace(
        e, twin=Twin("ONNX", "", rate(0.97), rate(0.9), rate(0.88))
    ),
    "synthetic images": lambda e: replace(e, cases=replace(e.cases, phantom=True)),
    "no groups": lambda e: replace(e, cases=replace(e.cases, grouped=False)),
    "few groups": lambda e: replace(e, groups=29),
    "broken files": lambda e: replace(e, broken=1),
    "missing class": lambda e: replace(
        e, cases=replace(e.cases, classes=("normal", "ill", "other"))
    ),
    "probabilities instead of logits": lambda e: replace(e, head="probabilities"),
    "grey images in colour files": lambda e: replace(e, grey_in_colour=16),
    "clean accuracy no better than a constant": lambda e: replace(
        e, clean=replace(e.clean, scores=Scores(accuracy=rate(0.5)))
    ),
    "constant predictions": lambda e: replace(e, predicted={0: 98, 1: 2}),
    "certificate crossed": lambda e: replace(e, certificates=(certified(crossings=1),)),
    "workers disagree": lambda e: replace(e, again=again(verdicts=1)),
    "attacks without a verdict": lambda e: replace(e, failures=Counter({"IndexError: x": 3})),
    "cross-entropy saturates": lambda e: replace(
        e, saturated=[Stuck("PGD", "Linf", 1 / 255, 4, 90)]
    ),
    "no better than noise": lambda e: replace(
        e, rows=(row("uniform", 0.3, baseline=True), row("PGD", 0.3))
    ),
    "a null control raised an alarm": lambda e: replace(e, detection=detection(0.9, 80, True)),
    "which cases fall explains detection": lambda e: replace(e, detection=selected()),
    "few attacked images for detectors": lambda e: replace(e, detection=detection(0.5, 29, False)),
    "copies of images": lambda e: replace(e, copies=CopiedImages(images=2)),
    "classes in another order": lambda e: replace(
        e, clean=replace(e.clean, confusion=((2, 48), (47, 3)))
    ),
    "images use a part of their range": lambda e: replace(e, brightest=4095 / 65535),
    "image files left out": lambda e: replace(e, notes=CaseNotes(left_out={".heic": 2})),
    "groups differ in spelling alone": lambda e: replace(e, notes=CaseNotes(groups_alike=2)),
    "groups finer than file names": lambda e: replace(
        e, notes=CaseNotes(finer_than_names=(20, 40))
    ),
    "the same attack twice": lambda e: replace(
        e, rows=(*e.rows, row("MarginPGD", 0.8, same_as="PGD"))
    ),
}


def test_every_check_has_its_texts_and_its_defect() -> None:
    assert tuple(CHECKS) == FLAGS
    assert set(DEFECTS) == set(CHECKS) and len(set(CHECKS.values())) == len(CHECKS)
    for name, check in CHECKS.items():
        assert (check.__doc__ or "").startswith("Raised if "), name


def test_a_flag_says_whether_only_the_probe_can_raise_it() -> None:
    for name, check in CHECKS.items():
        assert FLAG_TEXTS[name].probed is ("e.probe" in inspect.getsource(check)), name


def test_what_a_stage_would_have_raised_is_not_known_before_it_ran() -> None:
    (flag,) = find_flags(replace(sound(), missing_stages=("probe", "gallery")))
    assert flag.name == "run cut short"
    assert flag.observed == "not finished: the probe, example images"


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("few groups", TOO_FEW),
        ("which cases fall explains detection", f"{100 * selection.SIGNIFICANCE:g} %"),
        ("few attacked images for detectors", TOO_FEW),
        ("too few cases for the claim", run.WIDE),
        ("clean accuracy below the claim", model.CLAIM_TOLERANCE),
        ("random outputs", model.OUTPUT_TOLERANCE),
        ("outputs depend on the batch", model.OUTPUT_TOLERANCE),
        ("clipped outputs", f"{100 * model.CLIPPED:g} %"),
        ("clipped outputs", gradient_masking.MIN_CASES),
        ("gradients vanish", gradient_masking.MIN_CASES),
        ("cross-entropy saturates", gradient_masking.MIN_CASES),
        ("gradients point away from the boundary", gradient_masking.MIN_CASES),
        ("adversarial regions narrower than a step", gradient_masking.MIN_CASES),
    ],
)
def test_the_text_names_the_limit_of_the_check(name: str, limit: object) -> None:
    assert f" {limit} " in f"{FLAG_TEXTS[name].raised_if} ".replace(",", " ")


@pytest.mark.parametrize("name", list(DEFECTS))
def test_a_defect_raises_its_own_flag_alone(name: str) -> None:
    flags = find_flags(DEFECTS[name](sound()))
    assert [flag.name for flag in flags] == [name]
    assert flags == (FLAG_TEXTS[name].flag(flags[0].observed),) and flags[0].observed


def test_a_grey_image_in_a_colour_file_is_noticed(tmp_path: Path) -> None:
    from PIL import Image

    from robust.auditing import audit
    from robust.cases import open_cases
    from robust.models import Classifier
    from tests.engine.nets import trained

    rng = np.random.default_rng(0)
    for name in ("normal", "opacity"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for i in range(4):
            grey = rng.integers(0, 256, (28, 28), dtype=np.uint8)
            Image.fromarray(grey).convert("RGB").save(tmp_path / "images" / name / f"{i}.png")
    options: dict[str, Any] = {"attacks": ["FGSM"], "eps": ["1/255"], "doubts": {"probe": False}}
    for grey in (False, True):
        cases = open_cases(tmp_path / "images", group="none", grey=grey)
        report = audit(Classifier(trained(28), channels=1), cases, **options)
        names = {flag.name for flag in report.flags}
        assert ("grey images in colour files" in names) is not grey


def test_a_claim_is_the_plans_or_else_that_of_the_folder_of_a_trained_model() -> None:
    card = {"accuracy": 0.9, "auc": 0.95}
    half = Provenance(Plan(), {"threshold": 0.5, "claimed": card}, {})
    assert claim_of(half) == Claim(0.9, 0.95, "its model card")
    moved = replace(half, model={"threshold": 0.3, "claimed": card})
    assert claim_of(moved) == Claim(None, 0.95, "its model card")
    said = replace(half, plan=make_plan({"doubts": {"claimed_auc": 0.8}}))
    assert claim_of(said) == Claim(None, 0.8)
    assert claim_of(Provenance(Plan(), {"threshold": 0.5}, {})).accuracy is None
