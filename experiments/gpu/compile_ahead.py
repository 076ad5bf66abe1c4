"""Compiles one network as the contest will run it, so that the contest finds it on disk."""

from __future__ import annotations

import sys

from experiments.gpu.speed import LONG
from robust.benchmark.workloads import from_architecture
from robust.models import full_precision
from robust.models.acceleration.accelerate import make_fast_models

if __name__ == "__main__":
    for outputs in (2, 10):
        load = from_architecture(sys.argv[1], 224, 256, "cuda", outputs=outputs)
        with full_precision():
            models = make_fast_models(load.classifier, load.x[:16], passes=LONG, rows=256)
        print(models.acceleration)
