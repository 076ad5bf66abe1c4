"""The image files below a folder, and how many files with images are left out, by suffix."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from robust.cases.formats import READ, is_dicom, is_image, is_left_image
from robust.cases.walk import walk_files


def image_files(
    root: Path, left_out: Counter[str], once: dict[str, Path] | None = None
) -> Iterator[Path]:
    """The image files below a folder, as `walk_files`; `left_out` counts others by suffix."""
    for path in walk_files(root, once):
        if is_image(path) or is_dicom(path):
            yield path
        elif is_left_image(path):
            left_out[_suffix(path)] += 1


def unread_text(left_out: Mapping[str, int]) -> str:
    """`3 files with images left out (2 .heic, 1 .jp2)`."""
    count = sum(left_out.values())
    kinds = ", ".join(f"{n} {suffix}" for suffix, n in sorted(left_out.items()))
    return f"{count} {'file' if count == 1 else 'files'} with images left out ({kinds})"


def unread_remedy() -> str:
    """What to do about files that were left out."""
    return f"{READ} are read by their suffix: save or rename them, or remove them"


def _suffix(path: Path) -> str:
    return (
        ".nii.gz"
        if path.name.lower().endswith(".nii.gz")
        else path.suffix.lower()[:12] or ("without suffix")
    )
