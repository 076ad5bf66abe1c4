"""Checkpoints written by the trainers themselves: the loaded network gives the trained one's logits."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision.models
from torch import Tensor, nn

from robust.models import load_classifier

SMALL = ("timm:test_resnet",)
FULL = ("torchvision:resnet18", "torchvision:densenet121", "timm:deit_tiny_patch16_224")
OUTPUTS = 3
Write = Callable[[str, nn.Module, Path], nn.Module]
"""Trains a little, writes a checkpoint, and returns the network whose logits count."""


def build(name: str) -> nn.Module:
    library, _, rest = name.partition(":")
    with torch.random.fork_rng():
        torch.manual_seed(4)
        if library == "timm":
            made: nn.Module = timm.create_model(rest, num_classes=OUTPUTS)
        else:
            made = torchvision.models.get_model(rest, num_classes=OUTPUTS)
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None:
            module.running_mean.normal_(0, 0.1)
    return made


def other(name: str) -> nn.Module:
    """The same architecture with other weights."""
    made = build(name)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return made


def batch() -> tuple[Tensor, Tensor]:
    return torch.rand(2, 3, 64, 64), torch.tensor([0, 1])


def lightning_fit(name: str, network: nn.Module, path: Path) -> nn.Module:
    import lightning.pytorch as pl
    from torchmetrics.classification import MulticlassAccuracy

    size = 224 if "deit" in name else 64

    class Module(pl.LightningModule):
        def __init__(self, model: nn.Module, arch: str, num_classes: int) -> None:
            super().__init__()
            self.save_hyperparameters(ignore=["model"])
            self.model = model
            self.criterion = nn.CrossEntropyLoss(weight=torch.ones(OUTPUTS))
            self.val_acc = MulticlassAccuracy(OUTPUTS)

        def training_step(self, data: Any, index: int) -> Tensor:
            loss: Tensor = self.criterion(self.model(data[0]), data[1])
            return loss

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.AdamW(self.parameters(), 1e-4)

    images = torch.rand(4, 3, size, size)
    labels = torch.tensor([0, 1, 2, 0])
    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(images, labels), batch_size=2
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = pl.Trainer(
            max_steps=1, accelerator="cpu", logger=False, enable_progress_bar=False,
            enable_model_summary=False, enable_checkpointing=False, default_root_dir=path.parent,
        )  # fmt: skip
        trainer.fit(Module(network, name, OUTPUTS), loader)
        trainer.save_checkpoint(path)
    return network


def timm_saver(name: str, network: nn.Module, path: Path) -> nn.Module:
    """As timm's train.py: with the optimizer, its arguments and an average, which its loader takes."""
    from timm.utils import CheckpointSaver, ModelEmaV3

    average = ModelEmaV3(network, decay=0.9)
    average.module.load_state_dict(other(name).state_dict())
    optimizer = torch.optim.SGD(network.parameters(), 0.1, momentum=0.9)
    args = argparse.Namespace(model=name, lr=0.1, mean=None)
    saver = CheckpointSaver(
        network, optimizer, args, average, checkpoint_dir=str(path.parent), max_history=1
    )
    saver.save_checkpoint(0, metric=0.5)
    (path.parent / "last.pth.tar").rename(path)
    wanted = build(name)
    from timm.models import load_checkpoint

    load_checkpoint(wanted, str(path))
    return wanted


def data_parallel(name: str, network: nn.Module, path: Path) -> nn.Module:
    optimizer = torch.optim.Adam(network.parameters())
    state = nn.DataParallel(network).state_dict()
    torch.save({"epoch": 1, "state_dict": state, "optimizer": optimizer.state_dict()}, path)
    return network


def compiled(name: str, network: nn.Module, path: Path) -> nn.Module:
    torch.save(torch.compile(network).state_dict(), path)
    return network


def half(name: str, network: nn.Module, path: Path) -> nn.Module:
    torch.save({"model": network.half().state_dict()}, path)
    return network.float()


def bfloat16(name: str, network: nn.Module, path: Path) -> nn.Module:
    torch.save(network.to(torch.bfloat16).state_dict(), path)
    return network.float()


def legacy(name: str, network: nn.Module, path: Path) -> nn.Module:
    torch.save(network.state_dict(), path, _use_new_zipfile_serialization=False)
    return network


def torchvision_average(name: str, network: nn.Module, path: Path) -> nn.Module:
    """As torchvision's reference training: `model`, `model_ema` behind `module.`, `args`."""
    average = torch.optim.swa_utils.AveragedModel(network, use_buffers=True)
    average.update_parameters(other(name))
    average.update_parameters(other(name))
    content = {"model": network.state_dict(), "model_ema": average.state_dict(), "epoch": 1}
    torch.save({**content, "args": argparse.Namespace(data_path="/data")}, path)
    return average.module


def of_its_own(name: str, network: nn.Module, path: Path) -> nn.Module:
    """A wrapper with a backbone, and its loss beside it."""
    wrapper = nn.ModuleDict({"backbone": network, "criterion": nn.BCEWithLogitsLoss()})
    state = {**wrapper.state_dict(), "criterion.pos_weight": torch.tensor([2.0])}
    torch.save({"best_model": state, "best_acc": torch.tensor(0.9)}, path)
    return network


TRAINERS: dict[str, Write] = {
    one.__name__: one
    for one in (
        *(lightning_fit, timm_saver, data_parallel, compiled, half, bfloat16, legacy),
        *(torchvision_average, of_its_own),
    )
}


LENGTHY = ("lightning_fit", "compiled")
"""They import or compile for seconds."""


def check(name: str, trainer: str, folder: Path) -> None:
    """Every logit of the loaded network is that of the network behind the file, to the bit."""
    path = folder / ("last.ckpt" if trainer == "lightning_fit" else "c.pth.tar")
    wanted = TRAINERS[trainer](name, build(name), path).eval()
    found = load_classifier(name, weights=path, head="softmax", fit="squash")
    assert found.size is not None
    x = torch.rand(2, 3, *found.size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = wanted((x - found.mean) / found.std)
        torch.testing.assert_close(found(x), expected, rtol=0, atol=0)
    assert expected.std() > 0
    notes = "; ".join(found.origin.notes)
    assert ("average" in notes) == (trainer in ("timm_saver", "torchvision_average"))


@pytest.mark.parametrize(
    "trainer", [pytest.param(t, marks=[pytest.mark.slow] * (t in LENGTHY)) for t in TRAINERS]
)
@pytest.mark.parametrize("name", SMALL)
def test_a_trainers_checkpoint(tmp_path: Path, name: str, trainer: str) -> None:
    check(name, trainer, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("trainer", TRAINERS)
@pytest.mark.parametrize("name", FULL)
def test_a_trainers_checkpoint_at_full_size(tmp_path: Path, name: str, trainer: str) -> None:
    check(name, trainer, tmp_path)


@pytest.mark.slow
def test_what_lightning_says_of_its_training_is_a_hint(tmp_path: Path) -> None:
    lightning_fit("test_resnet", build("timm:test_resnet"), tmp_path / "last.ckpt")
    found = load_classifier("timm:test_resnet", weights=tmp_path / "last.ckpt", fit="squash")
    notes = "; ".join(found.origin.notes)
    assert f"num_classes {OUTPUTS}" in notes and "arch test_resnet" in notes
    assert "criterion.weight" in notes
