"""Workloads of `robust bench`: a plan's correctly classified cases, or synthetic images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from robust.cases import open_cases
from robust.engine.batch import first_images, read_batches
from robust.engine.inputs import open_plan
from robust.errors import InputError
from robust.models import Classifier, choose_device, full_precision, prepare, random_classifier
from robust.models.gradients.gradient_free import has_gradients
from robust.models.preparation import image_template, require_classifier
from robust.plan.load import load_plan

BATCH = 64
"""Images in one forward pass."""


@dataclass(frozen=True)
class Workload:
    """What every library attacks."""

    classifier: Classifier
    """Prepared."""
    x: Tensor
    """`(n, c, h, w)`."""
    y: Tensor
    """`(n,)`, as the classifier predicts it."""


def from_plan(path: Path, limit: int, device: str, *, allow_code: bool = False) -> Workload:
    """The plan's classifier, and the first cases of one shape that it classifies correctly."""
    classifier, cases = open_plan(load_plan(path, allow_code=allow_code), device)
    if not has_gradients(classifier):
        raise InputError(
            "robust bench times attacks that follow gradients, and this model gives none; name "
            "another model"
        )
    every = range(len(cases))
    ready = prepare(classifier, choose_device(device), images=first_images(cases, every, BATCH))
    images: list[Tensor] = []
    labels: list[Tensor] = []
    for _, found, x in read_batches(
        cases, every, image_template(ready), size=BATCH, skip_broken=True
    ):
        y = torch.tensor([case.label for case in found], device=x.device)
        with torch.no_grad(), full_precision():
            right = ready(x).argmax(1) == y
        if not images or x.shape[1:] == images[0].shape[1:]:
            images.append(x[right])
            labels.append(y[right])
        if sum(map(len, images)) >= limit:
            break
    x, y = torch.cat(images)[:limit], torch.cat(labels)[:limit]
    if not len(x):
        raise InputError("no case is classified correctly; there is nothing to attack")
    return Workload(require_classifier(ready), x, y)


def from_architecture(
    name: str, size: int, limit: int, device: str, *, outputs: int = 2
) -> Workload:
    """A network with random weights and synthetic images, labelled as it predicts them.

    With random weights all images get the same label, by logits that differ in their last digits.
    Batch norm is therefore set to these images, and the logits of each class are shifted to mean 0
    and scaled to deviation 1. Of two classes the lead of the second is, and its median is 0: then
    half of the images lie on either side, well apart.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        classifier = random_classifier(name, outputs)
    phantoms = open_cases("phantom:chest_xray", count=max(limit, 2), pixels=size)
    where = choose_device(device)
    x = torch.stack([case.image.expand(3, -1, -1) for case in phantoms[:limit]]).to(where)
    _set_norms(classifier.to(where), x)
    logits = _logits(prepare(classifier, where), x)
    spread = nn.Linear(outputs, outputs)
    with torch.no_grad():
        if outputs == 2:
            lead = logits[:, 1] - logits[:, 0]
            scale = 1 / float(lead.std().clamp_min(1e-12)) if limit > 1 else 1.0
            spread.weight.copy_(scale * torch.eye(2))
            spread.bias.copy_(torch.tensor([0.0, -scale * float(lead.median())]))
        else:
            scales = 1 / logits.std(0).clamp_min(1e-12)
            spread.weight.copy_(torch.diag(scales))
            spread.bias.copy_(-scales * logits.mean(0))
    classifier.network = nn.Sequential(classifier.network, spread)
    ready = prepare(classifier, where)
    return Workload(ready, x, _logits(ready, x).argmax(1))


def _set_norms(classifier: Classifier, x: Tensor) -> None:
    """The running statistics of batch norm, from these images."""
    norms = [m for m in classifier.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    _logits(classifier, x)
    for norm in norms:
        norm.eval()


def _logits(ready: Classifier, x: Tensor) -> Tensor:
    with torch.no_grad(), full_precision():
        return torch.cat([ready(part) for part in torch.split(x, 16)])
