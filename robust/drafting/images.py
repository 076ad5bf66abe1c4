"""Looks at a sample of a data set's images: kinds, sizes, depth, colour."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from robust.cases import Cases
from robust.errors import InputError
from robust.report.text.format import counted

SAMPLE = 24
"""Images that are read."""
TWELVE_BITS = 4096
"""Values of a 12-bit image."""


@dataclass(frozen=True)
class ImageFacts:
    """What the images of a sample are."""

    sampled: int
    sizes: tuple[tuple[int, ...], ...]
    """Height and width of each; of a volume all three sides."""
    bits: tuple[int, ...]
    """Of a stored value, each that occurs."""
    grey: int
    """Images of one channel."""
    grey_in_colour: int
    """Images of three equal channels."""
    twelve_bits: int
    """Images stored at 16 bits with values below 4096."""
    suffixes: tuple[tuple[str, int], ...]
    """Of all files, the most frequent first."""
    problem: str = ""
    """The first image that could not be read."""

    def text(self) -> str:
        """A sentence."""
        kinds = ", ".join(f"{name or 'no suffix'} {count}" for name, count in self.suffixes[:4])
        kinds = f"Files: {kinds}. " if kinds else ""
        if not self.sampled:
            return kinds.strip()
        sides = " x ".join(_range(sorted(set(of_axis))) for of_axis in zip(*self.sizes))
        colour = self.sampled - self.grey - self.grey_in_colour
        channels = [
            f"{count} {what}"
            for count, what in (
                (colour, "in colour"),
                (self.grey, "grey"),
                (self.grey_in_colour, "grey in a colour file"),
            )
            if count
        ]
        depth = " and ".join(map(str, self.bits))
        return (
            f"{kinds}Of {counted(self.sampled, 'image')}: {sides} pixels, {depth} bits, "
            f"{', '.join(channels)}."
        )


def look_at_images(cases: Cases) -> ImageFacts:
    """What a few images, evenly over the cases, are."""
    sizes, bits, problem = [], set(), ""
    grey = grey_in_colour = twelve = 0
    for row in range(len(cases))[:: max(1, len(cases) // SAMPLE)][:SAMPLE]:
        try:
            pixels = cases.stored_image(row).pixels
        except InputError as error:
            problem = problem or str(error)
            continue
        sizes.append(tuple(map(int, pixels.shape[: 3 if pixels.ndim == 4 else 2])))
        bits.add(8 * pixels.dtype.itemsize)
        grey += pixels.ndim == 2 or pixels.shape[-1] == 1
        grey_in_colour += bool(pixels.ndim == 3 and (pixels == pixels[:, :, :1]).all())
        in_file = isinstance(cases.entries[row].location, Path)  # DICOM says its bits itself
        twelve += bool(in_file and pixels.dtype.itemsize == 2 and pixels.max() < TWELVE_BITS)
    return ImageFacts(
        sampled=len(sizes),
        sizes=tuple(sizes),
        bits=tuple(sorted(bits)),
        grey=grey,
        grey_in_colour=grey_in_colour,
        twelve_bits=twelve,
        suffixes=_suffixes([entry.location for entry in cases.entries]),
        problem=problem,
    )


def _suffixes(locations: Sequence[object]) -> tuple[tuple[str, int], ...]:
    paths = [getattr(one, "path", one) for one in locations]
    counts = Counter(
        ".nii.gz" if path.name.lower().endswith(".nii.gz") else path.suffix.lower()
        for path in paths
        if isinstance(path, Path)
    )
    return tuple(counts.most_common())


def _range(values: Sequence[int]) -> str:
    return str(values[0]) if len(values) == 1 else f"{values[0]} to {values[-1]}"
