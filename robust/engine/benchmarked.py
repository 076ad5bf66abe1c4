"""What `robust bench` runs on: a plan's cases that are right when clean, or random images."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from robust.engine.auditing import open_plan
from robust.engine.looking import read_batches
from robust.engine.plan import load_plan
from robust.errors import InputError
from robust.models import (
    Classifier,
    choose_device,
    full_precision,
    prepare,
    random_classifier,
    settle_head,
)


def from_plan(path: Path, limit: int, device: str) -> tuple[Classifier, Tensor, Tensor]:
    """The plan's classifier, prepared, and the first cases of one shape that it reads correctly."""
    classifier, cases = open_plan(load_plan(path), device)
    ready = prepare(classifier, choose_device(device))
    like = torch.empty(0, device=ready.mean.device, dtype=_dtype(ready))
    images: list[Tensor] = []
    labels: list[Tensor] = []
    for _, found, x in read_batches(cases, range(len(cases)), like, skip_broken=True):
        settle_head(ready, x)
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
        raise InputError("not one case is right when clean; there is nothing to attack")
    return ready, x, y


def from_architecture(
    name: str, size: int, limit: int, device: str
) -> tuple[Classifier, Tensor, Tensor]:
    """A network with random weights, random images, and what it makes of them as labels."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        ready = prepare(random_classifier(name), choose_device(device))
    draw = torch.Generator().manual_seed(0)
    x = torch.rand(limit, 3, size, size, generator=draw).to(ready.mean.device)
    with torch.no_grad(), full_precision():
        logits = torch.cat([ready(x[i : i + 16]) for i in range(0, limit, 16)])
    # Half of the images on either side of the boundary: else a random network calls all the same,
    # and no attack that is honest about the time it takes would ever find anything.
    lead = logits[:, 1] - logits[:, 0]
    ready.threshold = min(max(float(lead.median().sigmoid()), 1e-6), 1 - 1e-6)
    with torch.no_grad(), full_precision():
        y = torch.cat([ready(x[i : i + 16]).argmax(1) for i in range(0, limit, 16)])
    return ready, x, y


def _dtype(classifier: Classifier) -> torch.dtype:
    kinds = {p.dtype for p in classifier.parameters()}
    return torch.float64 if torch.float64 in kinds else torch.float32
