"""Copies: images that show one picture, equal to the bit or nearly so, and sentences on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_NAMED = 3
"""Pairs of copies that a sentence names."""


@dataclass(frozen=True)
class CopyPair:
    """Two images that show one picture."""

    image: str
    """Identifier of the case; a pseudonym where a file name could name a patient."""
    copy: str
    """Identifier of the other one."""


@dataclass(frozen=True)
class CopiedImages:
    """Audited images that show the picture of another one: equal to the bit, or nearly so."""

    images: int = 0
    """Number of images that are a copy of another one, each picture's first aside. Near copies
    within one group are not counted."""
    identical: int = 0
    """How many of them are equal to the bit."""
    joined_groups: int = 0
    """How many fewer groups there are because images of several show one picture."""
    other_label: int = 0
    """Number of pairs of copies that have different labels."""
    pairs: tuple[CopyPair, ...] = ()
    """The first pairs."""


@dataclass(frozen=True)
class SplitCopies:
    """Images of one split that show a picture of another one, equal to the bit or nearly so."""

    split: str
    """Split that the images were left out of, or would have to be."""
    other: str
    """Split that shows the same pictures."""
    images: int
    """Number of images of `split` that are copies."""
    other_label: int = 0
    """How many of them have another label than the image that they are a copy of."""
    pairs: tuple[CopyPair, ...] = ()
    """The first pairs: an image of `split`, an image of `other`."""


def named_copies(pairs: Sequence[CopyPair]) -> str:
    """The first pairs, such as `train-3 and test-7`."""
    named = ", ".join(f"{pair.image} and {pair.copy}" for pair in pairs[:_NAMED])
    return named + (", ..." if len(pairs) > _NAMED else "")


def left_out_text(found: SplitCopies) -> str:
    """What was left out of a split because another one shows the same."""
    count = f"{found.images} {found.split} images are copies or near copies of {found.other} images"
    if found.images == 1:
        count = f"1 {found.split} image is a copy or near copy of a {found.other} image"
    were = "was" if found.images == 1 else "were"
    labels = f" ({found.other_label} with another label)" if found.other_label else ""
    return f"{count}{labels} and {were} left out: {named_copies(found.pairs)}"
