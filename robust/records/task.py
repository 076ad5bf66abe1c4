"""What an audited model does, and when a case counts as right: classification or segmentation."""

from __future__ import annotations

from dataclasses import dataclass

CLASSIFICATION = "classification"
SEGMENTATION = "segmentation"


@dataclass(frozen=True)
class AuditedTask:
    """The task of an audit, as a report names it; the fields below the name are segmentation's."""

    name: str = CLASSIFICATION
    """`classification` or `segmentation`."""
    structures: tuple[str, ...] = ()
    """Names of the structures that count, in order; the background is none."""
    overlapping: bool = False
    """Whether a pixel may belong to several structures."""
    dice: float = 0.7
    """A case is outlined well where its Dice, the mean over its structures, is at least this."""
    drop: float = 1.0
    """And where an attack has lowered that by no more than this."""
    tolerance: float = 1.0
    """Of surface Dice: how far apart two borders may lie and still agree, in `unit`."""
    change: float = 0.25
    """Of the goals grow and shrink: by what share of the true volume."""
    touch: str = "image"
    """Where the attacker may change pixels: `image`, `inside` or `outside` the structures."""
    unit: str = "pixels"
    """Of distances: `mm` where the spacing of all images is known, else `pixels`."""
    volumes: bool = False
    """Whether cases are volumes."""

    @property
    def is_segmentation(self) -> bool:
        """Whether the model outlines structures."""
        return self.name == SEGMENTATION
