"""Where an attacker may touch: a box of the image, or a mask; inside or outside."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from robust.cases.case import NOT_OUTLINED, Case
from robust.errors import InputError
from robust.plan.spec import AuditSpec


def touch_of(spec: AuditSpec) -> str:
    """Where a plan lets the attacker touch; a box alone means its inside."""
    return "inside" if spec.box is not None and spec.touch == "image" else spec.touch


def box_region(x: Tensor, box: Sequence[float], touch: str) -> Tensor:
    """Pixels of images `x (n, c, *space)` in the box, or outside: `(n, 1, *space)` bool.

    InputError where the box, or what lies outside it, holds no pixel.
    """
    left, top, right, bottom = box
    height, width = x.shape[-2:]
    rows = (torch.arange(height, device=x.device) + 0.5) / height
    columns = (torch.arange(width, device=x.device) + 0.5) / width
    inside = ((rows >= top) & (rows < bottom))[:, None] & ((columns >= left) & (columns < right))
    region = inside if touch == "inside" else ~inside
    if not bool(region.any()):
        raise InputError(
            f"[audit] box = {list(box)}: no pixel of an image of {height} x {width} lies {touch} "
            f"it; choose another box"
        )
    return region.expand(len(x), 1, *x.shape[2:])


def mask_region(cases: Sequence[Case], x: Tensor, touch: str) -> Tensor:
    """Pixels in the region that the data name for each case, or outside; InputError."""
    found = []
    for case in cases:
        if case.mask is None:
            raise InputError(
                f"{case.id} has no region; name the column of masks: region = ... in [data]"
            )
        if tuple(case.mask.shape[-(x.ndim - 2) :]) != tuple(x.shape[2:]):
            raise InputError(
                f"{case.id}: the region is {tuple(case.mask.shape)}, the image {tuple(x.shape[2:])}"
            )
        inside = (case.mask > 0) & (case.mask != NOT_OUTLINED)
        inside = inside.any(0) if inside.ndim == x.ndim - 1 else inside
        found.append(inside if touch == "inside" else ~inside)
    return torch.stack(found)[:, None].to(x.device)
