"""Training of segmenters: what is minimised, which epoch is kept, hardening, folders, refusals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from robust.cases import Cases, open_cases
from robust.cases.case import StoredImage, stored_as
from robust.cases.masks.stored import StoredMask
from robust.errors import InputError
from robust.metrics.outlines.kept import KeptScores
from robust.metrics.outlines.scores import kept_scores
from robust.models.segmentation.loading import load_segmenter
from robust.models.segmentation.segmenter import Segmenter
from robust.training.fit import FitResult, fit
from robust.training.module import displayed
from robust.training.network import make_untrained
from robust.training.objectives.segmentation import OutlineObjective, case_dice
from robust.training.recipe import RECIPES, Recipe, load_recipe, make_recipe
from robust.training.train import Trained, train_model
from tests.training.tiny import equal, rows

pytest.importorskip("monai")

SMALL = {"channels": [8, 16, 32], "strides": [2, 2], "num_res_units": 1}


def recipe(**tables: dict[str, Any]) -> Recipe:
    """A U-Net of a few thousand weights on phantoms of 32 pixels."""
    network = {
        "architecture": "monai:UNet",
        "settings": SMALL,
        "pretrained": False,
        "channels": 1,
        "mean": 0.5,
        "std": 0.25,
        **tables.pop("network", {}),
    }
    training = {"epochs": 2, "batch": 8, "lr": 5e-3, **tables.pop("training", {})}
    data = {"path": "phantom:lungs", "count": 12, "pixels": 32, **tables.pop("data", {})}
    return make_recipe({"network": network, "training": training, "data": data, **tables})


def opened(how: Recipe, split: str) -> Cases:
    assert how.data is not None
    return open_cases(how.data.path, **{**how.data.options(), "split": split})


def run(folder: Path, how: Recipe, *callbacks: Callback) -> FitResult:
    train, val = opened(how, "train"), opened(how, "val")
    model = make_untrained(how, train)
    return fit(
        model, train, val, how, folder, device="cpu", progress=False, callbacks=list(callbacks)
    )


class Kill(Callback):
    """Ends the training in its second epoch."""

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *args: Any) -> None:
        if trainer.current_epoch == 1:
            raise KeyboardInterrupt


def test_lungs_are_learnt_and_the_best_epoch_is_that_of_the_largest_dice(tmp_path: Path) -> None:
    fitted = run(tmp_path, recipe(training={"epochs": 8}, data={"count": 24}))
    dice = [row["val_dice"] for row in fitted.history]
    assert max(dice) > 0.75 and max(dice) > dice[0]
    assert fitted.best_epoch == 1 + int(np.argmax(dice))
    losses = [row["train_loss"] for row in fitted.history]
    assert losses[-1] < 0.7 * losses[0]


def test_a_training_that_was_killed_ends_with_the_same_weights(tmp_path: Path) -> None:
    how = recipe(
        data={"count": 8},
        augmentation={"rotation": 20, "brightness": 0.2},
        training={"epochs": 2, "average": 0.9, "repeats": 2},
    )
    whole = run(tmp_path / "whole", how)
    with pytest.raises(BaseException):  # noqa: B017  (an interrupt, however it is passed on)
        run(tmp_path / "killed", how, Kill())
    again = run(tmp_path / "killed", how)
    assert equal(whole.state, again.state) and rows(whole) == rows(again)


@pytest.mark.parametrize("overlapping", [False, True])
def test_the_loss_is_monai_s_dice_and_cross_entropy(overlapping: bool) -> None:
    from monai.losses.dice import DiceLoss

    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4, 3, 9, 7, generator=generator)
    objective = OutlineObjective()
    common: dict[str, Any] = {"smooth_nr": 1.0, "smooth_dr": 1.0}
    if overlapping:
        y = torch.randint(0, 2, (4, 3, 9, 7), generator=generator, dtype=torch.uint8)
        theirs = DiceLoss(sigmoid=True, **common)(logits, y.float())
        theirs = theirs + F.binary_cross_entropy_with_logits(logits, y.float())
    else:
        y = torch.randint(0, 3, (4, 9, 7), generator=generator, dtype=torch.uint8)
        dice = DiceLoss(softmax=True, to_onehot_y=True, include_background=False, **common)
        theirs = dice(logits, y[:, None]) + F.cross_entropy(logits, y.long())
    ours = objective.loss(logits, objective.labels(y))
    assert float(ours) == pytest.approx(float(theirs), rel=1e-5)


def test_pixels_that_are_not_outlined_have_no_gradient() -> None:
    objective = OutlineObjective()
    logits = torch.randn(2, 3, 6, 6, requires_grad=True)
    y = torch.ones(2, 6, 6, dtype=torch.uint8)
    y[:, :3] = 255
    objective.loss(logits, objective.labels(y)).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert not logits.grad[:, :, :3].any() and bool(logits.grad[:, :, 3:].any())


@pytest.mark.parametrize("overlapping", [False, True])
def test_dice_of_a_case_is_that_of_an_audit(overlapping: bool) -> None:
    """Also where structures are missing, invented, or neither there nor predicted."""
    random = np.random.default_rng(0)
    shape = (3, 6, 5) if overlapping else (6, 5)
    numbers = (0, 1, 2) if overlapping else (1, 2)
    for _ in range(60):
        there, found = (random.integers(0, 2 if overlapping else 3, shape) for _ in range(2))
        for mask in (there, found):  # often without one of the structures
            gone = random.integers(0, 4)
            if overlapping and gone < 3:
                mask[gone] = 0
            elif not overlapping:
                mask[mask == gone] = 0
        y = torch.from_numpy(there)[None]
        if overlapping:
            logits = torch.from_numpy(found * 2.0 - 1)[None]
        else:
            logits = F.one_hot(torch.from_numpy(found), 3).permute(2, 0, 1)[None]
        kept = kept_scores(
            found.astype(np.uint8),
            there.astype(np.uint8),
            structures=numbers,
            overlapping=overlapping,
            spacing=None,
            tolerance=1.0,
        )
        ours = float(case_dice(logits.double(), y))
        assert ours == pytest.approx(float(KeptScores(kept[None]).case_dice[0]), abs=1e-9)


def test_windows_are_what_a_network_learns_from_and_val_slides_them(tmp_path: Path) -> None:
    seen: list[tuple[int, ...]] = []

    class Look(Callback):
        def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, index: int) -> None:
            seen.append(tuple(batch.x.shape))

    how = recipe(
        data={"path": "phantom:vessels", "pixels": 48, "count": 8},
        network={"channels": 3, "window": 16},
        training={"batch": 4},
    )
    fitted = run(tmp_path, how, Look())
    assert set(seen) == {(4, 3, 16, 16)}
    model = make_untrained(how, opened(how, "train"))
    model.network.load_state_dict(fitted.state)
    model.eval()
    val = opened(how, "val")
    x = displayed(torch.stack([(case.image * 255).round().to(torch.uint8) for case in val]))
    y = torch.stack([case.mask.long() for case in val])  # type: ignore[union-attr]
    best = fitted.history[fitted.best_epoch - 1]["val_dice"]
    assert float(case_dice(model(x), y).mean()) == pytest.approx(best, abs=1e-5)


def volumes_of_two_sizes(split: str) -> Cases:
    """Phantoms of an organ, some of which lack their last slices and rows."""
    cases = open_cases("phantom:organ", split=split, count=8, pixels=28)
    read, read_mask = cases.read, cases.read_mask
    assert read_mask is not None

    def cut(location: tuple[str, bool, int]) -> StoredImage:
        found: Any = read(location)
        pixels = found.pixels[:11, :, :23] if location[2] % 2 else found.pixels
        return StoredImage(pixels, stored_as(pixels), found.grid)

    def cut_mask(location: tuple[str, bool, int], space: tuple[int, ...]) -> StoredMask:
        found = read_mask(location, (14, 28, 28))
        values = np.ascontiguousarray(found.values[: space[0], :, : space[2]])
        return StoredMask(values, found.grid)

    return replace(cases, read=cut, read_mask=cut_mask)


def test_volumes_of_different_sizes_are_learnt_whole(tmp_path: Path) -> None:
    how = recipe(
        data={"path": "phantom:organ"},
        network={"spatial_dims": 3, "multiple_of": 4, "mean": 0.0, "std": 1.0},
        training={"epochs": 6, "batch": 4, "lr": 1e-2},
        augmentation={
            "rotation": 10,
            "contrast": 0.1,
            "augment": "modality",
            "modality": "MRI",
        },
    )
    train, val = volumes_of_two_sizes("train"), volumes_of_two_sizes("val")
    assert len({case.image.shape for case in train}) == 2
    model = make_untrained(how, train)
    fitted = fit(model, train, val, how, tmp_path, device="cpu", progress=False)
    losses = [row["val_loss"] for row in fitted.history]
    assert losses[-1] < 0.9 * losses[0]
    # Each volume of val is judged as an audit sees it, not padded to the size of others.
    model.network.load_state_dict(fitted.state)
    dice = [
        case_dice(model((case.image[None] * 255).round() / 255), case.mask[None].long())  # type: ignore[index]
        for case in val
    ]
    best = fitted.history[fitted.best_epoch - 1]["val_dice"]
    assert float(torch.cat(dice).mean()) == pytest.approx(best, abs=1e-5)


@pytest.mark.parametrize("method", ["pgd-at", "trades"])
def test_hardened_training_is_chosen_by_dice_under_attack(tmp_path: Path, method: str) -> None:
    hard = {"method": method, "eps": "4/255", "steps": 2}
    fitted = run(tmp_path, recipe(data={"count": 8}, adversarial=hard))
    robust = [row["val_robust_dice"] for row in fitted.history]
    assert fitted.best_epoch == 1 + int(np.argmax(robust))
    assert all(row["val_robust_dice"] <= row["val_dice"] for row in fitted.history)


def spoiled_chests() -> Recipe:
    """Masks that overlap, and images that are corrupted."""
    corrupted = {"augment": "modality", "modality": "chest X-ray"}
    return recipe(data={"path": "phantom:opacity", "count": 16}, augmentation=corrupted)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    how = spoiled_chests()
    return train_model(how, tmp_path_factory.mktemp("t") / "m", device="cpu", progress=False)


def test_a_folder_holds_all_that_rebuilds_the_segmenter(trained: Trained) -> None:
    names = {path.name for path in trained.folder.iterdir()}
    assert {"model.json", "model.safetensors", "card.md", "plan.toml", "curves.png"} <= names
    loaded = load_segmenter(folder=trained.folder)
    assert loaded.head == "multilabel"
    assert loaded.output_names == ("left lung", "right lung", "opacity")
    test = open_cases("phantom:opacity", split="test", count=16, pixels=32)
    with torch.no_grad():
        logits = loaded(torch.stack([case.image for case in test]))
    dice = case_dice(logits.double(), torch.stack([case.mask.long() for case in test]))  # type: ignore[union-attr]
    assert trained.metrics["test"].dice is not None
    assert trained.metrics["test"].dice.value == pytest.approx(float(dice.mean()), abs=1e-6)
    card = (trained.folder / "card.md").read_text()
    assert "outlines left lung, right lung, opacity, which may overlap" in card
    assert "| opacity: Dice |" in card and "chosen for its Dice on val" in card
    assert "AUC" not in card and "recall" not in card
    assert "corrupted with probability 0.5 as chest X-ray images are" in card
    assert "severity from 1 to 3: pixelate, " in card and "jpeg2000" in card


def test_the_same_call_returns_a_finished_folder(trained: Trained) -> None:
    how = spoiled_chests()
    again = train_model(how, trained.folder, device="cpu", progress=False)
    assert again.already_finished and again.metrics == trained.metrics
    assert again.classes == trained.classes


@pytest.mark.slow
def test_an_audit_takes_the_folder_as_it_is(trained: Trained) -> None:
    from robust.auditing import audit_plan
    from robust.plan.load import load_plan

    plan = load_plan(trained.folder)
    small = plan.model_copy(
        update={
            "attacks": tuple(attack for attack in plan.attacks if attack.name == "FGSM"),
            "audit": plan.audit.model_copy(update={"eps": (4 / 255,)}),
        }
    )
    report = audit_plan(small, device="cpu")
    assert report.task.structures == ("left lung", "right lung", "opacity")
    assert report.clean.scores.dice == trained.metrics["test"].dice


@pytest.mark.parametrize(
    "name", [n for n in RECIPES if n in ("lesion", "lungs", "vessels", "volume")]
)
def test_a_recipe_that_comes_with_the_package_builds_a_segmenter(name: str) -> None:
    how = load_recipe(name)
    data = {"lungs": "lungs", "vessels": "vessels", "lesion": "lesion", "volume": "organ"}[name]
    cases = open_cases(f"phantom:{data}", count=2, pixels=32)
    model = make_untrained(how, cases)
    assert isinstance(model, Segmenter)
    case = cases[0]
    with torch.no_grad():
        logits: Tensor = model.eval()(case.image[None])
    assert logits.shape == (1, len(cases.classes), *case.image.shape[1:])


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ({"network": {"head": "ma2021"}}, "head does not apply, since the data have masks"),
        ({"network": {"fit": "crop"}}, "fit does not apply, since the data have masks"),
        ({"network": {"pretrained": True}}, "starts from random weights, --random, or from a file"),
        ({"network": {"architecture": "monai:Unet"}}, "did you mean monai:UNet|did you mean UNet"),
        ({"network": {"settings": {"chanels": [8]}}}, "no setting 'chanels'"),
        ({"training": {"label_smoothing": 0.1}}, "label_smoothing is for classes"),
        (
            {
                "data": {"path": "phantom:opacity"},
                "adversarial": {"method": "trades", "eps": "1/255"},
            },
            "TRADES needs classes that exclude each other",
        ),
        ({"data": {"path": "phantom:organ"}}, "the network takes images, and the cases are volume"),
        ({"network": {"window": [8, 8, 8]}}, "window"),
        (
            {"data": {"path": "phantom:chest_xray"}},
            "settings does not apply, since the data have classes",
        ),
    ],
)
def test_what_is_refused_in_one_line(
    tables: dict[str, dict[str, Any]], said: str, tmp_path: Path
) -> None:
    few = {**tables, "data": {"count": 4, **tables.get("data", {})}}
    with pytest.raises(InputError, match=said) as refused:
        train_model(recipe(**few), tmp_path / "m", device="cpu", progress=False)
    assert len(str(refused.value).splitlines()) == 1
