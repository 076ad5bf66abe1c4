"""The Lightning module: a classifier or segmenter with its loss, optimiser and metrics on val."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterable
from typing import Any

import lightning as L
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torchmetrics import MeanMetric

from attacks import PGD, Streams, ThreatModel
from attacks.streams import stream_seed
from robust.errors import InputError
from robust.models.adapter import Adapter
from robust.models.heads import layers_of_head
from robust.training.adversarial import adversarial_loss, frozen, warmed_up_eps
from robust.training.average import make_average, update_average
from robust.training.data import Batches, ImageBatch, Images, steps_per_epoch
from robust.training.frozen_backbone.features import (
    freeze_backbone,
    keeps_features,
    kept_features,
    train_head_alone,
)
from robust.training.lightning.processes import computed_on, end_when_told
from robust.training.objectives.attention import outside_share, require_masks
from robust.training.objectives.classification import ClassObjective
from robust.training.objectives.contract import Objective
from robust.training.objectives.segmentation import OutlineObjective
from robust.training.recipe import AugmentationSpec, Recipe, sides
from robust.training.schedule import learning_rate, make_optimiser

VAL_CASES, VAL_STEPS = 256, 10
"""Of the robust score on val, which chooses the epoch of adversarial training: cases, PGD steps."""

LOSS_CHECK_EVERY = 16
"""On a GPU the loss is checked every so many steps, since a check waits for the device."""

OBJECTIVES: tuple[type[Objective], ...] = (ClassObjective, OutlineObjective)

MetricRow = dict[str, float]


class Training(L.LightningModule):
    """A network in training. Checkpoints hold its weights, its history and the best epoch."""

    def __init__(self, classifier: Adapter, train: Images, val: Images, recipe: Recipe) -> None:
        super().__init__()
        self.classifier = classifier
        self.frozen_head = freeze_backbone(classifier) if recipe.training.freeze else None
        self.averaged = make_average(classifier) if recipe.training.average else None
        self.images, self.val_images, self.recipe = train, val, recipe
        self.history: list[MetricRow] = []
        self.best: dict[str, Tensor] = {}
        self.best_epoch = -1
        self.computed_on: list[dict[str, Any]] = []
        self.objective = objective_of(train, val, recipe)
        self.train_mean, self.val_mean = MeanMetric(), MeanMetric()
        self.robust_mean = MeanMetric()
        self._began = 0.0
        self._features: tuple[Tensor | None, Tensor | None] = (None, None)

    @property
    def evaluated(self) -> nn.Module:
        """The network that val evaluates: the averaged one where there is an average."""
        return self.classifier if self.averaged is None else self.averaged

    @property
    def per_epoch(self) -> int:
        """Steps in an epoch."""
        training = self.recipe.training
        return steps_per_epoch(training.repeats * len(self.images), training.batch)

    def train_dataloader(self) -> Iterable[ImageBatch]:
        """The augmented and shuffled batches of this epoch."""
        augmentation, window = self.recipe.augmentation, self.recipe.network.window
        axes = self.images[0].image.ndim - 1
        return self._batches(
            self.images,
            epoch=self.current_epoch,
            augmentation=None if augmentation == AugmentationSpec() else augmentation,
            crop=None if window is None else sides(window, axes),
            repeats=self.recipe.training.repeats,
            shuffle=True,
        )

    def val_dataloader(self) -> Iterable[ImageBatch]:
        """The batches of val, in order."""
        return self._batches(self.val_images)

    def _batches(self, images: Images, **options: Any) -> Batches:
        world, on_gpu = self.trainer.world_size, self.device.type == "cuda"
        # On a CPU the network itself needs every core.
        threads = max(1, min(16, (os.cpu_count() or 1) // world)) if on_gpu else 1
        training = self.recipe.training
        return Batches(
            images,
            training.batch,
            seed=training.seed,
            share=(self.global_rank, world),
            threads=threads,
            pin=on_gpu,
            **options,
        )

    def configure_optimizers(self) -> Any:
        """The optimiser of the recipe."""
        return make_optimiser(self.classifier, self.recipe.training)

    def on_train_start(self) -> None:
        """Note what this part of the training is computed on."""
        world = self.trainer.world_size
        if world > 1:
            end_when_told()
        on = computed_on(self.classifier, self.device, world, self.trainer.precision)
        if on not in self.computed_on:
            self.computed_on.append(on)
        if self.frozen_head is not None and keeps_features(self.recipe):
            self.classifier.eval()
            self._features = (
                kept_features(self.classifier, self.images, self.frozen_head),
                kept_features(self.classifier, self.val_images, self.frozen_head),
            )

    def on_train_epoch_start(self) -> None:
        """Seed the epoch, so that a resumed training repeats it."""
        self._began = time.perf_counter()
        # Dropout draws from the global generator: seeded here, so that an epoch can be repeated.
        seed = self.recipe.training.seed
        torch.manual_seed(stream_seed(seed, "epoch", self.current_epoch, self.global_rank))
        if self.frozen_head is None:
            self.classifier.train()
        else:
            train_head_alone(self.classifier, self.frozen_head)
        self.train_mean.reset()

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Set the learning rate of this step."""
        rate = learning_rate(self.recipe.training, self.global_step, self.per_epoch)
        for group in self.optimizers().param_groups:  # type: ignore[union-attr]
            group["lr"] = rate

    def training_step(self, batch: ImageBatch, batch_idx: int) -> Tensor:
        """The loss of a batch, on attacked images where the recipe says so."""
        x, y, rows, whole, masks = batch
        hard = self.recipe.adversarial
        x, y = displayed(x), self.objective.labels(y)
        learner = self.objective.learner(self.classifier)
        cases, weight = self._shares(y, whole)

        def mean(logits: Tensor, y: Tensor) -> Tensor:
            return self.objective.loss(logits, y) * weight

        features, _ = self._features
        attention = self.recipe.training.attention_weight
        if features is not None and self.frozen_head is not None:
            out = self.frozen_head(features[rows.to(features.device)])
            loss = mean(self.classifier.from_outputs(out), y)
        elif hard is None and attention:
            logits = learner(x.requires_grad_())
            share = outside_share(logits, x, y, require_masks(masks)).mean()
            loss = mean(logits, y) + attention * cases * share
        elif hard is None:
            loss = mean(learner(x), y)
        else:
            ids = [self.images.ids[int(row)] for row in rows]
            streams = Streams.of(self.recipe.training.seed, ids, "adversarial", self.current_epoch)
            eps = warmed_up_eps(hard.eps, hard.warmup, self.global_step / self.per_epoch)
            hard = hard.model_copy(update={"eps": eps})
            loss, _ = adversarial_loss(learner, x, y, hard, streams, mean, cases)
        if x.device.type == "cpu" or batch_idx % LOSS_CHECK_EVERY == 0:
            self._refuse_nan(loss)
        self.train_mean.update(loss.detach(), len(whole) / self.trainer.world_size)
        return loss

    def _shares(self, y: Tensor, whole: Tensor) -> tuple[float, Tensor | float]:
        """What part of a whole batch is here, by cases and by their weight; 1 is an even part.

        Gradients of processes are averaged. Where each process takes its own mean times its share,
        their average is the gradient of the mean over the whole batch.
        """
        world = self.trainer.world_size
        cases = world * len(y) / len(whole)
        here, everywhere = self.objective.weight(y), self.objective.weight(whole)
        if here is None or everywhere is None:
            return cases, cases
        return cases, world * here / everywhere

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Update the averaged weights."""
        if self.averaged is not None:
            decay = self.recipe.training.average
            update_average(self.averaged, self.classifier, decay, self.global_step)

    def on_validation_epoch_start(self) -> None:
        """Give all processes the batch statistics of the first."""
        if dist.is_available() and dist.is_initialized():
            # Each process has its own batch statistics: all take those of the first.
            for module in (self.classifier, self.averaged):
                for buffer in module.buffers() if module is not None else ():
                    dist.broadcast(buffer, 0)

    def validation_step(self, batch: ImageBatch, batch_idx: int) -> None:
        """Update the metrics on val."""
        _, features = self._features
        if features is not None:
            head = nn.Sequential(*layers_of_head(self.evaluated.network))  # type: ignore[arg-type]
            out = head(features[batch.rows.to(features.device)])
            self._count(self.classifier.from_outputs(out), self.objective.labels(batch.y))
            return
        parts = self.val_images.of_one_size(batch.rows)
        if len(parts) == 1:
            self._judge(batch.x, batch.y)
            return
        # Padding changes what normalisations and borders do, and an audit has none of it.
        for part in parts:
            x, y = (one.to(self.device) for one in self.val_images.batch(part))
            self._judge(x, y)

    def _judge(self, x: Tensor, y: Tensor) -> None:
        """Take images of one size, as in `ImageBatch`, into the metrics on val."""
        self._count(self.evaluated(displayed(x)), self.objective.labels(y))

    def _count(self, logits: Tensor, y: Tensor) -> None:
        logits = logits.float()
        self.val_mean.update(self.objective.val_loss(logits, y), len(y))
        self.objective.update(logits, y)

    def on_validation_epoch_end(self) -> None:
        """Measure the robust score on val, with adversarial training."""
        if self.recipe.adversarial is not None:
            self._attack_val(self.recipe.adversarial.eps)

    def _attack_val(self, eps: float) -> None:
        """The score on val under PGD at the full eps, with the same random numbers every time."""
        n, batch = len(self.val_images), self.recipe.training.batch
        count = min(VAL_CASES, n)
        rows = torch.tensor([i * n // count for i in range(count)])
        rows = rows[self.global_rank :: self.trainer.world_size]
        attack, threat = PGD(VAL_STEPS), ThreatModel("Linf", eps)
        self.robust_mean.reset()
        with torch.enable_grad(), frozen(self.evaluated):
            batches = torch.split(rows, batch)
            for some in itertools.chain(*map(self.val_images.of_one_size, batches)):
                x, y = (part.to(self.device) for part in self.val_images.batch(some))
                x, y = displayed(x), self.objective.labels(y)
                streams = Streams.of(0, [self.val_images.ids[int(i)] for i in some], "val")
                x_adv = attack(self.evaluated, x, y, threat, streams)
                with torch.no_grad():
                    self.robust_mean.update(self.objective.kept(self.evaluated(x_adv), y))

    def on_train_epoch_end(self) -> None:
        """Collect the metrics of the epoch."""
        loss, val_loss = self.train_mean.compute(), self.val_mean.compute()
        self._refuse_nan(loss + val_loss)
        row = {
            "epoch": float(self.current_epoch + 1),
            "lr": learning_rate(self.recipe.training, self.global_step - 1, self.per_epoch),
            "train_loss": float(loss),
            "val_loss": float(val_loss),
            **self.objective.compute(),
        }
        if self.recipe.adversarial is not None:
            row[self.objective.robust_score] = float(self.robust_mean.compute())
        row["seconds"] = time.perf_counter() - self._began
        self.val_mean.reset()
        self.objective.reset()
        self._record(row)
        for name in set(row) - {"epoch"}:
            self.log(name, row[name], rank_zero_only=True)

    def _record(self, row: MetricRow) -> None:
        """Record an epoch, keep its weights if it is the best, stop if patience has run out."""
        if not self.history or merit(row) > merit(self.history[self.best_epoch]):
            self.best_epoch = len(self.history)
            network: nn.Module = self.evaluated.network  # type: ignore[assignment]
            self.best = {
                name: value.detach().to("cpu", copy=True).contiguous()
                for name, value in network.state_dict().items()
            }
        self.history.append(row)
        self.trainer.should_stop = finished(self.recipe, self.history, self.best_epoch)

    def _refuse_nan(self, loss: Tensor) -> None:
        if not bool(torch.isfinite(loss)):
            raise InputError(
                f"the loss is not a number in epoch {self.current_epoch + 1}; "
                f"lower lr (it is {self.recipe.training.lr:g}) or lengthen the warmup"
            )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store the history and the best weights."""
        checkpoint["history"], checkpoint["best"] = self.history, self.best
        checkpoint["best_epoch"] = self.best_epoch
        checkpoint["computed_on"] = self.computed_on

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the history and the best weights."""
        self.history, self.best = list(checkpoint["history"]), dict(checkpoint["best"])
        self.best_epoch = checkpoint["best_epoch"]
        self.computed_on = list(checkpoint.get("computed_on", []))


def objective_of(train: Images, val: Images, recipe: Recipe) -> Objective:
    """The objective for the labels that the images have."""
    if train.cases.outlines is not None:
        return OutlineObjective()
    classes = len(train.cases.classes)
    return ClassObjective(classes, train.labels, val.labels, recipe.training)


def displayed(x: Tensor) -> Tensor:
    """Stored levels uint8 to displayed pixels in [0, 1]; channels of images are last in memory."""
    shown = x.float().div_(255)
    return shown.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else shown


def merit(row: MetricRow) -> tuple[float, ...]:
    """The order of epochs on val: the robust score if any, the clean one, then the smaller loss."""
    (clean,) = (row[one.score] for one in OBJECTIVES if one.score in row)
    robust = sum(row.get(one.robust_score, 0.0) for one in OBJECTIVES)
    return (robust, clean, -row["val_loss"])


def finished(recipe: Recipe, history: list[MetricRow], best_epoch: int) -> bool:
    """Whether a training with this history is finished."""
    patience = recipe.training.patience
    waited = len(history) - 1 - best_epoch
    return len(history) >= recipe.training.epochs or (patience > 0 and waited >= patience)
