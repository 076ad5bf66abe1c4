"""`fit`: trains a network in place with Lightning, and continues an interrupted training."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor

from robust.cases import Cases
from robust.errors import InputError
from robust.files import private_files
from robust.models import choose_device, settle_head
from robust.models.acceleration.memory import keep_freed_memory
from robust.models.adapter import Adapter
from robust.models.weights import load_strictly
from robust.training.checkpoints import CheckpointWriter, claim, newest_checkpoint
from robust.training.data import Images, smallest_batch
from robust.training.lightning.output import EpochBar, silence_lightning, without_host_name
from robust.training.lightning.processes import SpawnedDDP, explained_ends, settle_devices
from robust.training.module import MetricRow, Training, displayed, finished
from robust.training.objectives.attention import require_masks
from robust.training.recipe import Recipe

PRECISIONS: dict[str, Any] = {
    "float32": "32-true",
    "bfloat16": "bf16-mixed",
    "float16": "16-mixed",
}


@dataclass(frozen=True)
class FitResult:
    """The best weights of a training, and its history."""

    state: dict[str, Tensor]
    """Weights of the adapter's network in its best epoch on val, on the CPU."""
    history: list[dict[str, float]]
    """One row per epoch: epoch, lr, train_loss, val_loss, val_auc, val_accuracy, seconds, and with
    adversarial training val_robust_accuracy. Of outlines val_dice and val_robust_dice."""
    best_epoch: int
    """Counted from 1, as in the history."""
    epochs: int
    """Epochs trained: fewer than the recipe's where patience ended it."""
    computed_on: list[dict[str, Any]]
    """Device, number of devices and precision: one row, more where it went on elsewhere."""


def fit(
    classifier: Adapter,
    train: Cases,
    val: Cases,
    recipe: Recipe,
    folder: Path,
    *,
    device: str = "auto",
    devices: int | None = None,
    progress: bool = True,
    callbacks: Sequence[Callback] = (),
) -> FitResult:
    """Train the adapter's network in place; it ends with its best weights, in evaluation mode.

    `folder/checkpoints` holds the last two finished epochs: a call that finds some continues from
    there with the random numbers of an uninterrupted training, and on a CPU ends with the same
    weights. `folder/logs` holds epochs.csv and the files of TensorBoard. `devices` defaults to
    every GPU, or one process on a CPU; several share out each step's batch, and loss, gradient and
    metrics are those of the whole batch. Raises InputError.
    """
    target = choose_device(device)
    batch = recipe.training.batch
    smallest = min(smallest_batch(len(train), batch), smallest_batch(len(val), batch))
    devices = settle_devices(target, devices, smallest // 2)
    _check(classifier, train, val, recipe, target)
    checkpoints, logs = folder / "checkpoints", folder / "logs"
    claim(
        checkpoints,
        {
            "recipe": recipe.digest(),
            "train split": train.fingerprint(),
            "val split": val.fingerprint(),
        },
    )
    checkpoint = newest_checkpoint(checkpoints)
    if checkpoint is not None:
        load_strictly(classifier.network, checkpoint[1]["best"], f"a checkpoint in {checkpoints}")
    if checkpoint is None or not finished(
        recipe, checkpoint[1]["history"], checkpoint[1]["best_epoch"]
    ):
        _train(
            Training(classifier, Images(train, classifier), Images(val, classifier), recipe),
            _trainer(
                recipe,
                target,
                devices,
                [
                    CheckpointWriter(checkpoints, logs),
                    *([EpochBar()] if progress else []),
                    *callbacks,
                ],
                logs,
            ),
            checkpoint[0] if checkpoint else None,
        )
        checkpoint = newest_checkpoint(checkpoints)
        if checkpoint is None:
            raise InputError(f"{checkpoints} lost its checkpoints during training; start again")
        load_strictly(classifier.network, checkpoint[1]["best"], f"a checkpoint in {checkpoints}")
    classifier.to("cpu").eval()
    return _result(checkpoint[1])


def _result(checkpoint: dict[str, Any]) -> FitResult:
    history: list[MetricRow] = checkpoint["history"]
    return FitResult(
        checkpoint["best"],
        history,
        checkpoint["best_epoch"] + 1,
        len(history),
        list(checkpoint.get("computed_on", [])),
    )


def _check(
    classifier: Adapter,
    train: Cases,
    val: Cases,
    recipe: Recipe,
    target: torch.device,
) -> None:
    """InputError for what would otherwise fail in the middle of training."""
    if train.classes != val.classes:
        raise InputError(
            f"train has the classes {', '.join(train.classes)}, val {', '.join(val.classes)}; "
            f"name the classes in [data]"
        )
    if train.outlines != val.outlines:
        raise InputError("train has masks and val has none, or of another kind; give both the same")
    if train.outlines is None:
        _check_classes(train, val)
        if recipe.training.attention_weight and any(one.mask is None for one in train.entries):
            require_masks(None)
    elif recipe.training.attention_weight:
        raise InputError(
            "[training] attention_weight is for classes, the data have masks; remove it"
        )
    elif recipe.training.label_smoothing:
        raise InputError(
            "[training] label_smoothing is for classes, the data have masks; remove it"
        )
    hard = recipe.adversarial
    if train.outlines == "overlapping" and hard is not None and hard.method == "trades":
        raise InputError("TRADES needs classes that exclude each other; use --adversarial pgd-at")
    if recipe.training.precision == "float16" and target.type != "cuda":
        raise InputError("precision float16 needs a GPU; use auto, float32 or bfloat16")
    _check_network(classifier, train)


def _check_classes(train: Cases, val: Cases) -> None:
    """InputError where a split has cases of one class alone."""
    for name, cases in (("train", train), ("val", val)):
        present = {entry.label for entry in cases.entries}
        if len(present) < 2:
            raise InputError(
                f"{name} has cases of {len(present)} class{'' if len(present) == 1 else 'es'} "
                f"only ({len(cases)} cases); training needs at least two"
            )


@torch.no_grad()
def _check_network(classifier: Adapter, train: Cases) -> None:
    """Settle the head; InputError where its number of classes is not that of the cases."""
    images = Images(train, classifier)
    x = displayed(images.batch(torch.tensor([0, len(images) // 2]))[0])
    classifier.eval()
    if classifier.head == "auto" and classifier.outputs(x).shape[1] == 1:
        classifier.head = "sigmoid"  # untrained, one output may lie in [0, 1] by chance
    settle_head(classifier, x)
    outputs = classifier(x).shape[1]
    if outputs != len(train.classes):
        raise InputError(
            f"the network has {outputs} classes, the data {len(train.classes)} "
            f"({', '.join(train.classes)}); give it a head that fits"
        )


def _trainer(
    recipe: Recipe, target: torch.device, devices: int, callbacks: list[Callback], logs: Path
) -> L.Trainer:
    accelerator_devices: Any = devices
    if target.type == "cuda" and devices == 1:
        accelerator_devices = [target.index or 0]
    strategy: Any = SpawnedDDP(target) if devices > 1 else "auto"
    with silence_lightning():
        return L.Trainer(
            accelerator={"cuda": "gpu"}.get(target.type, target.type),
            devices=accelerator_devices,
            strategy=strategy,
            precision=precision(recipe, target),
            max_epochs=recipe.training.epochs,
            callbacks=callbacks,
            logger=TensorBoardLogger(logs.parent, name=logs.name, version=""),
            plugins=[LightningEnvironment()],
            default_root_dir=logs.parent,
            reload_dataloaders_every_n_epochs=1,
            use_distributed_sampler=False,
            sync_batchnorm=devices > 1 and target.type == "cuda",
            num_sanity_val_steps=0,
            log_every_n_steps=1,
            enable_progress_bar=False,
            enable_model_summary=False,
            inference_mode=False,
        )


def precision(recipe: Recipe, target: torch.device) -> Any:
    """Lightning's name of the precision. `auto` is bfloat16, mixed, on GPUs that compute in it.

    Adversarial training uses float32: near 0.5, bfloat16 has steps of 1/256, attacks finer ones.
    """
    name = recipe.training.precision
    if name != "auto":
        return PRECISIONS[name]
    has_bfloat16 = target.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return PRECISIONS["bfloat16" if has_bfloat16 and recipe.adversarial is None else "float32"]


def _train(module: Training, trainer: L.Trainer, start: Path | None) -> None:
    on_gpu = trainer.strategy.root_device.type == "cuda"
    if module.classifier.spatial_dims != 3:
        module.classifier.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    gpus = range(torch.cuda.device_count()) if on_gpu else []
    memory = keep_freed_memory(trainer.strategy.root_device)
    with ExitStack() as stack:
        for context in (silence_lightning(), private_files(), without_host_name(), memory):
            stack.enter_context(context)
        stack.enter_context(explained_ends(trainer))
        stack.enter_context(torch.random.fork_rng(gpus))
        trainer.fit(module, ckpt_path=start, weights_only=True)
