"""The package medmnistc as an oracle, asked through a process in an environment of its own.

It pins an old scikit-image and needs ImageMagick:

    apt-get install libmagickwand-6.q16-6
    python -m venv oracle && oracle/bin/pip install medmnistc==0.1.0 "numpy<2.3"
    export ROBUST_MEDMNISTC=$PWD/oracle/bin/python
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

VARIABLE = "ROBUST_MEDMNISTC"
"""Environment variable that names the Python of that environment."""

Pixels = NDArray[np.uint8]


class MedMNISTC:
    """The package, as a context."""

    def __init__(self, python: str = "") -> None:
        worker = Path(__file__).with_name("medmnistc_worker.py")
        self._folder = tempfile.TemporaryDirectory()
        self._process = subprocess.Popen(
            [python or os.environ[VARIABLE], "-W", "ignore", str(worker)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1"},
        )

    def __enter__(self) -> MedMNISTC:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._process.communicate()
        self._folder.cleanup()

    def corrupted(
        self, data_set: str, kind: str, severity: int, images: Pixels, seed: int = 0
    ) -> Pixels:
        """Images `(n, h, w)` or `(n, h, w, 3)` at a severity from 1 to 5."""
        return self.timed(data_set, kind, severity, images, seed, 1)[0]

    def timed(
        self, data_set: str, kind: str, severity: int, images: Pixels, seed: int, repeats: int
    ) -> tuple[Pixels, float]:
        """The images, and the seconds for all of them, the least of the repeats."""
        given, out = Path(self._folder.name, "given.npy"), Path(self._folder.name, "out.npy")
        np.save(given, images)
        request = {"set": data_set, "kind": kind, "severity": severity, "seed": seed}
        request |= {"images": str(given), "out": str(out), "repeats": repeats}
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"medmnistc failed on {data_set}, {kind}, severity {severity}")
        done: Pixels = np.load(out)
        return done, min(json.loads(line)["seconds"])


def angles(seed: int, count: int) -> NDArray[np.float64]:
    """The directions of motion blur that the package draws after a seed, in degrees."""
    return np.random.RandomState(seed).uniform(-45, 45, count)
