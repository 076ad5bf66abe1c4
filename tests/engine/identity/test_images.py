"""Images of a run: a file that changed between two calls, and pixels that change within one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from robust.auditing import audit
from robust.cases import Cases, open_cases
from robust.cases.images import as_png
from robust.errors import InputError
from robust.progress import Progress
from tests.engine.nets import BRIEF, classifier


def write(path: Path, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (28, 28), dtype=np.uint8)
    path.write_bytes(as_png(pixels))


def folder(base: Path, count: int = 6) -> Path:
    for label in ("normal", "opacity"):
        (base / label).mkdir(parents=True)
        for i in range(count // 2):
            write(base / label / f"p{i}.png", 10 * len(label) + i)
    return base


def run(cases: Cases, out: Path, **more: Progress) -> None:
    audit(classifier(), cases, attacks=["FGSM"], eps=["4/255"], chunk=2, out=out, **BRIEF, **more)


def test_a_changed_file_is_named_and_nothing_of_it_is_stored(tmp_path: Path) -> None:
    data = folder(tmp_path / "in", 20)
    # The first files also make the pseudonyms: another one of those is another data set.
    run(open_cases(data, group="none"), tmp_path / "run")
    before = (tmp_path / "run" / "outcomes.csv").read_bytes()
    old = (data / "opacity" / "p9.png").read_bytes()
    new = bytearray(old)
    new[-20] ^= 1  # as long as before: only the content shows it
    (data / "opacity" / "p9.png").write_bytes(new)
    with pytest.raises(InputError, match=r"opacity/p9.png has changed since this run began"):
        run(open_cases(data, group="none"), tmp_path / "run")
    (data / "opacity" / "p9.png").write_bytes(old)
    run(open_cases(data, group="none"), tmp_path / "run")
    assert (tmp_path / "run" / "outcomes.csv").read_bytes() == before
    for path in (tmp_path / "run").iterdir():
        assert b"p9.png" not in path.read_bytes(), path.name


def test_an_npz_replaced_under_its_name_is_refused(tmp_path: Path) -> None:
    def save(seed: int) -> None:
        rng = np.random.default_rng(seed)
        labels = (np.arange(8) % 2)[:, None].astype("u1")
        images = rng.integers(0, 256, (8, 28, 28)).astype("u1")
        np.savez(tmp_path / "m.npz", test_images=images, test_labels=labels)

    save(0)
    run(open_cases(tmp_path / "m.npz", group="none"), tmp_path / "run")
    save(1)
    with pytest.raises(InputError, match=r"and 5 more have changed since this run began"):
        run(open_cases(tmp_path / "m.npz", group="none"), tmp_path / "run")


def test_pixels_that_change_during_the_audit_are_noticed(tmp_path: Path) -> None:
    data = folder(tmp_path / "in")

    def swap(done: float, total: float, label: str) -> None:
        if " at " in label:
            for i in range(3):
                write(data / "normal" / f"p{i}.png", 99 + i)
                write(data / "opacity" / f"p{i}.png", 199 + i)

    with pytest.raises(InputError, match=r"an image changed while the audit ran: .*\.png"):
        run(open_cases(data, group="none"), tmp_path / "run", progress=swap)
