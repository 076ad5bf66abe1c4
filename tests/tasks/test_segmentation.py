"""Segmentation as a task: labels, who is attacked, what for, when a case has fallen."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from attacks.losses import IGNORE, margin
from robust.auditing import audit
from robust.cases import Cases
from robust.cases.case import NOT_OUTLINED, Case
from robust.errors import InputError
from robust.metrics.outlines.kept import KeptScores
from robust.models import Classifier, Segmenter
from robust.plan.load import make_plan
from robust.records import AuditedTask
from robust.tasks.contract import Batch
from robust.tasks.make import task_of
from robust.tasks.segmentation import Segmentation
from tests.engine.nets import trained
from tests.tasks.drawn import NAMES, drawn, pointwise

SPACE = (6, 8)


def task(
    goal: str = "error",
    *,
    counts: tuple[str, ...] = NAMES,
    overlapping: bool = False,
    **record: Any,
) -> Segmentation:
    """Of an organ and a lesion, or of one of them."""
    classes = NAMES if overlapping else ("background", *NAMES)
    numbers = tuple(classes.index(name) for name in counts)
    made = AuditedTask("segmentation", counts, overlapping, **record)
    return Segmentation(made, goal, classes, numbers)


def case(mask: Any, name: str = "a", **fields: Any) -> Case:
    """A grey case with this mask."""
    mask = torch.as_tensor(mask, dtype=torch.uint8)
    image = torch.full((1, *mask.shape[-2:]), 0.5)
    return Case(name, 0, name, image, mask=mask, **fields)


def answer(numbers: Tensor, classes: int = 3) -> Tensor:
    """Logits that predict class numbers `(n, *space)`, or 0 and 1 `(n, k, *space)`."""
    if numbers.ndim == 4:
        return 6.0 * numbers - 3.0
    return 3.0 * torch.nn.functional.one_hot(numbers, classes).movedim(-1, 1).float()


def batch_of(which: Segmentation, cases: list[Case], clean: Tensor | None = None) -> Batch:
    """The cases as the engine hands them on; the clean prediction is the mask."""
    x = torch.stack([one.image for one in cases])
    y = which.labels(cases, x)
    seen = answer(y.clamp_min(0)) if clean is None else clean
    kept = torch.from_numpy(which.keep(seen, cases))
    return Batch(tuple(range(len(cases))), tuple(cases), x, y, kept)


def organ_and_lesion() -> Tensor:
    """An organ of 12 pixels around a lesion of 4, in 6 x 8 pixels."""
    mask = torch.zeros(SPACE, dtype=torch.uint8)
    mask[1:5, 2:6] = 1
    mask[2:4, 3:5] = 2
    return mask


def test_labels_mark_what_does_not_count() -> None:
    mask = organ_and_lesion()
    mask[0] = NOT_OUTLINED
    one = case(mask)
    y = task().labels([one], one.image)
    assert y.dtype == torch.int64 and y.shape == (1, *SPACE)
    assert bool((y[0, 0] == IGNORE).all()) and torch.equal(y[0, 1:], mask[1:].long())
    y = task(counts=("organ",)).labels([one], one.image)[0]
    assert bool((y[mask == 2] == IGNORE).all()) and bool((y[mask == 1] == 1).all())


def test_labels_of_overlapping_structures() -> None:
    layers = torch.stack([organ_and_lesion() > 0, organ_and_lesion() > 1]).to(torch.uint8)
    layers[1, 0] = NOT_OUTLINED
    one = case(layers)
    y = task(overlapping=True).labels([one], one.image)
    assert y.shape == (1, 2, *SPACE) and bool((y[0, 1, 0] == IGNORE).all())
    assert torch.equal(y[0, 0], layers[0].long())
    y = task(overlapping=True, counts=("lesion",)).labels([one], one.image)
    assert bool((y[0, 0] == IGNORE).all()) and torch.equal(y[0, 1, 1:], layers[1, 1:].long())


def masks_of_every_kind() -> list[Tensor]:
    """Both structures; an organ alone; a lesion alone; nothing."""
    both = organ_and_lesion()
    return [both, (both > 0).to(torch.uint8), 2 * (both == 2).to(torch.uint8), 0 * both]


@pytest.mark.parametrize(
    ("goal", "eligible"),
    [
        ("error", [True, True, True, True]),
        ("miss", [True, True, True, False]),
        ("grow", [True, True, True, False]),
        ("shrink", [True, True, True, False]),
        ("false alarm", [False, True, True, True]),
    ],
)
def test_who_is_attacked(goal: str, eligible: list[bool]) -> None:
    which, cases = task(goal), [case(mask) for mask in masks_of_every_kind()]
    kept = batch_of(which, cases).kept.numpy()
    assert which.eligible(kept, cases).tolist() == eligible
    assert which.right(kept, cases).all()
    # A model that finds nothing has nothing that could vanish, and what it invents is there.
    blind = which.keep(answer(torch.zeros(4, *SPACE, dtype=torch.long)), cases)
    assert which.right(blind, cases).tolist() == [False, False, False, True]
    if goal in ("miss", "grow", "shrink"):
        assert not which.eligible(blind, cases).any()


def test_a_mask_to_reach_is_needed_where_it_is_the_goal() -> None:
    which = task("mask")
    aimed = case(organ_and_lesion(), target_mask=torch.zeros(SPACE, dtype=torch.uint8))
    cases = [aimed, case(organ_and_lesion())]
    kept = which.keep(answer(torch.stack([organ_and_lesion()] * 2).long()), cases)
    assert which.eligible(kept, cases).tolist() == [True, False]
    with pytest.raises(InputError, match="needs the mask to reach, and a has none"):
        which.check(answer(torch.zeros(1, *SPACE, dtype=torch.long)), cases[1:])


def test_error_is_won_below_the_dice_of_the_plan_or_by_a_deep_fall() -> None:
    mask = case(organ_and_lesion())
    worse = organ_and_lesion().long()[None]
    worse[0, 2, 3] = 1  # the lesion has 3 of 4 pixels: Dice 6/7, the organ 24/25
    dice = (6 / 7 + 24 / 25) / 2
    for limits, reached in (
        ({"dice": dice - 1e-3}, False),
        ({"dice": dice}, False),
        ({"dice": dice + 1e-3}, True),
        ({"dice": 0.1, "drop": 1 - dice + 1e-3}, False),
        ({"dice": 0.1, "drop": 1 - dice - 1e-3}, True),
    ):
        which = task(**limits)
        batch = batch_of(which, [mask])
        assert which.targets(batch) is None
        assert which.success(answer(worse), batch).tolist() == [reached]
        assert not which.success(answer(batch.y), batch).any()
        assert not which.success(answer(worse) * torch.nan, batch).any()


def test_miss_is_won_where_every_structure_has_vanished() -> None:
    which, cases = task("miss"), [case(mask) for mask in masks_of_every_kind()[:3]]
    batch = batch_of(which, cases)
    target = which.targets(batch)
    assert target is not None and not target.any()
    assert which.success(answer(target), batch).all()
    half = batch.y.clone()
    half[half == 2] = 0
    assert which.success(answer(half), batch).tolist() == [False, False, True]
    # What was not there may be predicted: only what was there has to vanish.
    assert which.success(answer((batch.y[:1] == 0) * 0 + 2), batch.take([1])).all()


def test_false_alarm_is_won_by_one_pixel_of_what_is_absent() -> None:
    which, cases = task("false alarm"), [case(mask) for mask in masks_of_every_kind()[1:]]
    batch = batch_of(which, cases)
    target = which.targets(batch)
    assert target is not None
    for y, wish, invented in zip(batch.y, target, (2, 1, 1)):
        assert bool((wish[y == 0] == invented).all())
        assert bool((wish[y != 0] == IGNORE).all()), "what is there is no matter of the attacker"
    assert not which.success(answer(batch.y), batch).any()
    one = batch.y.clone()
    one[:, 0, 0] = torch.tensor([2, 1, 1])
    assert which.success(answer(one), batch).all()


@pytest.mark.parametrize("goal", ["grow", "shrink"])
@pytest.mark.parametrize("overlapping", [False, True])
def test_the_mask_that_grows_or_shrinks_reaches_the_goal(goal: str, overlapping: bool) -> None:
    masks = masks_of_every_kind()[:3]
    if overlapping:
        masks = [torch.stack([mask > 0, mask > 1]).to(torch.uint8) for mask in masks]
    which = task(goal, counts=("organ",), overlapping=overlapping)
    cases = [case(masks[0]), case(masks[1])]
    batch = batch_of(which, cases)
    target = which.targets(batch)
    assert target is not None
    assert which.success(answer(target.clamp_min(0)), batch).all()
    assert not which.success(answer(batch.y.clamp_min(0)), batch).any()
    # One pixel of 12 or 16 is not a quarter.
    little = batch.y.clamp_min(0).clone()
    (little[:, 0] if overlapping else little)[:, 1, 1 if goal == "grow" else 2] = goal == "grow"
    assert not which.success(answer(little), batch).any()


def test_a_given_mask_is_won_as_well_as_the_plan_calls_good() -> None:
    which = task("mask", dice=0.8)
    wish = organ_and_lesion().roll(2, 1)
    wish[0] = NOT_OUTLINED
    batch = batch_of(which, [case(organ_and_lesion(), target_mask=wish)])
    target = which.targets(batch)
    assert target is not None and bool((target[0, 0] == IGNORE).all())
    assert not which.success(answer(batch.y), batch).any()
    reached = target.clamp_min(0)
    assert which.success(answer(reached), batch).all()
    assert float(margin(answer(reached), batch.y, target)) == 0
    kept = KeptScores(which.keep(answer(reached), batch.cases))
    assert kept.target_agreement.tolist() == [1.0]
    far = reached.clone()
    far[reached == 2] = 1  # the organ keeps Dice 24/28, the lesion has none
    assert not which.success(answer(far), batch).any()


@pytest.mark.parametrize("overlapping", [False, True])
@pytest.mark.parametrize("counts", [NAMES, ("lesion",), ("organ",)])
def test_success_is_what_the_kept_dice_says(overlapping: bool, counts: tuple[str, ...]) -> None:
    """Two implementations, one on tensors and one on arrays, on random masks with gaps."""
    generator = torch.Generator().manual_seed(len(counts) + overlapping)
    which = task(counts=counts, overlapping=overlapping, dice=0.5, drop=0.3)
    shape = (200, 2, *SPACE) if overlapping else (200, *SPACE)

    def random(most: int) -> Tensor:
        found = torch.randint(0, most, shape, generator=generator)
        rare = torch.rand(len(found), *[1] * (len(shape) - 1), generator=generator)
        return found * (torch.rand(shape, generator=generator) < rare**2)

    most = 2 if overlapping else 3
    truth, seen, clean = random(most), random(most), random(most)
    truth[::5] = 0
    seen[::7] = truth[::7]
    gaps = torch.rand(shape, generator=generator) < 0.1
    cases = [case(one) for one in truth.masked_fill(gaps, NOT_OUTLINED)]
    batch = batch_of(which, cases, answer(clean))
    now = KeptScores(which.keep(answer(seen), cases)).case_dice
    before = KeptScores(batch.kept.numpy()).case_dice
    fallen = which.success(answer(seen), batch).numpy()
    assert (fallen == ~which.standard.met(now, before)).all()
    assert 20 < fallen.sum() < 190 and (now == 1).sum() > 10
    assert (which.outlines(batch).sum((2, 3)) == which._volumes(seen, batch.y)[1]).all()


def test_accuracy_of_pixels_is_that_of_the_structures_that_count() -> None:
    layers = torch.stack([organ_and_lesion() > 0, organ_and_lesion() > 1]).to(torch.uint8)
    wrong = layers[None].long().clone()
    wrong[0, 0] = 1 - wrong[0, 0]
    for counts, accuracy in ((("lesion",), 1.0), (("organ",), 0.0), (NAMES, 0.5)):
        which = task(counts=counts, overlapping=True)
        kept = KeptScores(which.keep(answer(wrong), [case(layers)]))
        assert kept.pixel_accuracy.tolist() == [accuracy]


def test_nothing_outlined_and_nothing_counted_can_be_compared_when_a_run_goes_on() -> None:
    unknown = torch.full(SPACE, NOT_OUTLINED, dtype=torch.uint8)
    kept = batch_of(task(), [case(unknown), case(0 * unknown)]).kept.numpy()
    assert np.isfinite(task().compared(kept)).all()


def test_where_the_attacker_may_touch() -> None:
    cases = [case(mask) for mask in masks_of_every_kind()]
    for touch in ("inside", "outside"):
        which = task(touch=touch)
        region = which.region(batch_of(which, cases))
        assert region is not None and region.shape == (4, 1, *SPACE)
        inside = torch.stack([mask > 0 for mask in masks_of_every_kind()])[:, None]
        assert torch.equal(region, inside if touch == "inside" else ~inside)
    which = task()
    assert which.region(batch_of(which, cases)) is None


def test_the_record_of_a_plan() -> None:
    plan = make_plan(
        {"segmentation": {"dice": 0.8, "structures": ["lesion"]}, "audit": {"goal": "grow"}}, "plan"
    )
    made = task_of(plan, drawn(2, volumes=True, spacing=(3.0, 1.0, 1.0)))
    assert isinstance(made, Segmentation) and made.numbers == (2,) and made.goal == "grow"
    assert made.record == AuditedTask(
        "segmentation", ("lesion",), dice=0.8, unit="mm", volumes=True
    )
    assert task_of(make_plan({}, "plan"), drawn(2)).record.unit == "pixels"


def smaller(cases: Cases) -> Any:
    """Every mask lacks a column."""
    return [dataclasses.replace(one, mask=one.mask[..., 1:]) for one in cases]  # type: ignore[index]


def half_measured(cases: Cases) -> Any:
    """The spacing of every second image is known."""
    return [
        dataclasses.replace(one, spacing=(1.0, 1.0) if i % 2 == 0 else None)
        for i, one in enumerate(cases)
    ]


def same(cases: Cases) -> Any:
    return cases


def hurt(value: float) -> Callable[[], Segmenter]:
    """The network with a bias that is no number."""

    def made() -> Segmenter:
        model = pointwise()
        with torch.no_grad():
            model.network.bias[0] = value
        return model

    return made


@pytest.mark.parametrize(
    ("change", "model", "settings", "says"),
    [
        (smaller, pointwise, {}, "has the shape"),
        (half_measured, pointwise, {}, "give the millimetres of all: spacing"),
        (same, hurt(float("nan")), {}, "NaN or infinite logits on"),
        (same, lambda: pointwise(True), {}, "head"),
        (same, lambda: Segmenter(torch.nn.Conv2d(1, 5, 1), channels=1), {}, "5 outputs"),
        (same, lambda: Classifier(trained(28), channels=1), {}, "answers a class for each image"),
        (same, pointwise, {"attacks": ["FAB"]}, "attacks one class for an image"),
        (same, pointwise, {"detectors": ["MaxSoftmax"], "reference": drawn(4)}, "detectors"),
        (same, pointwise, {"twin": pointwise()}, "twin"),
        (same, pointwise, {"scenarios": {"patch": [0.1]}}, "patch"),
        (same, pointwise, {"scenarios": {"queries": [100]}}, "queries"),
        (same, pointwise, {"scenarios": {"universal": [2]}, "touch": "inside"}, "universal"),
        (same, pointwise, {"target": "organ"}, "use goal = 'mask'"),
        (same, pointwise, {"goal": "mask"}, "needs the mask to reach"),
        (same, pointwise, {"segmentation": {"structures": ["lesions"]}}, "did you mean"),
        (same, lambda: pointwise(threshold=0.3), {}, "two classes"),
    ],
)
def test_what_does_not_fit_is_said_in_one_line_before_any_attack(
    change: Callable[[Cases], Any],
    model: Callable[[], Any],
    settings: dict[str, Any],
    says: str,
) -> None:
    chosen = {"attacks": ["FGSM"], "eps": [0.1], "gallery": 0, **settings}
    with pytest.raises(InputError, match=says) as raised:
        audit(model(), change(drawn(4)), **chosen)
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 400
