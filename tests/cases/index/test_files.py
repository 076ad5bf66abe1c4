"""Image files below a folder: every suffix that is read, and a count of what is left out."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from PIL import Image

from robust.cases import open_cases
from robust.errors import InputError

READ = {
    ".png": "PNG",
    ".PNG": "PNG",
    ".jpg": "JPEG",
    ".JPG.jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".pjpeg": "JPEG",
    ".mpo": "MPO",
    ".tif": "TIFF",
    ".bmp": "BMP",
    ".webp": "WEBP",
    ".gif": "GIF",
}


def write_each(folder: Path) -> None:
    folder.mkdir(parents=True)
    for i, (suffix, kind) in enumerate(READ.items()):
        Image.new("RGB", (6, 5), (9 * i, 90, 200)).save(folder / f"{i}{suffix}", format=kind)


def test_every_suffix_of_a_format_that_is_read(tmp_path: Path) -> None:
    write_each(tmp_path / "ill")
    write_each(tmp_path / "well")
    cases = open_cases(tmp_path, group="none")
    assert len(cases) == 2 * len(READ)
    assert {case.image.shape for case in cases} == {(3, 5, 6)}
    assert not cases.notes.left_out


def test_other_files_with_images_are_counted_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_each(tmp_path / "ill")
    write_each(tmp_path / "well")
    Image.new("L", (4, 4)).save(tmp_path / "loose.png")
    for name in ("a.heic", "b.HEIC", "c.jp2", "d.nii.gz", "e.npy"):
        (tmp_path / "ill" / name).write_bytes(b"0")
    (tmp_path / "well" / "0.png").rename(tmp_path / "well" / "0.png~")
    (tmp_path / "well" / "1.PNG").rename(tmp_path / "well" / "scan")
    for name in ("Thumbs.db", "desktop.ini", "notes.txt", "t.csv", "._x.png", ".DS_Store", "a.xml"):
        (tmp_path / "well" / name).write_bytes(b"\xff\xd8\xff" if name[0] in "T." else b"text")
    with caplog.at_level(logging.WARNING):
        cases = open_cases(tmp_path, group="none")
    wanted = {".heic": 2, ".jp2": 1, ".nii.gz": 1, ".npy": 1, ".png~": 1, "without suffix": 1}
    wanted |= {"beside the class folders": 1}
    assert cases.notes.left_out == wanted
    assert len(cases) == 2 * len(READ) - 2
    assert "8 files with images left out (2 .heic, 1 .jp2, 1 .nii.gz," in caplog.text


def test_a_folder_of_other_formats_alone_says_so(tmp_path: Path) -> None:
    for name in ("x/a.heic", "y/b.heic"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"0")
    with pytest.raises(
        InputError, match=r"no images under .*2 files with images left out \(2 \.heic"
    ):
        open_cases(tmp_path, group="none")
