"""`[segmentation]`: when an outline counts as good, and what an attacker wants of it."""

from __future__ import annotations

from pydantic import Field

from robust.plan.table import PlanTable


class SegmentationSpec(PlanTable):
    """`[segmentation]`: when an outline is good; for models that outline structures."""

    dice: float = Field(default=0.7, gt=0, lt=1)
    """A case is outlined well where its Dice, the mean over its structures, is at least this. Only
    such cases are attacked, and one that an attack pushes below has fallen."""
    drop: float = Field(default=1.0, gt=0, le=1)
    """A case has fallen, too, where an attack lowers its Dice by more than this. Default: 1, which
    never decides."""
    tolerance: float = Field(default=1.0, ge=0)
    """Of surface Dice: how far apart two borders may lie and still agree, in millimetres, or in
    pixels where no spacing is known."""
    structures: tuple[str, ...] = ()
    """Names of the structures that count. Default: all but the background."""
    change: float = Field(default=0.25, gt=0)
    """Of the goals `grow` and `shrink`: by what share of its true volume a structure changes."""
