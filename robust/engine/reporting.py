"""A finished run to its Report: rows, doubts, and what is needed to repeat it."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
from collections import Counter
from typing import Any

import torch

from robust.engine.checks import Evidence, find_doubts
from robust.engine.job import Job
from robust.engine.plan import Plan
from robust.engine.store import Store
from robust.engine.summary import Summary
from robust.models.weights import weights_hash
from robust.records import Report

SEEN = ("torch", "torchvision", "timm", "numpy", "scipy", "scikit-learn", "pillow", "pandas")


def make_report(plan: Plan, job: Job, store: Store, table: str, seconds: float) -> Report:
    """`table` is the hash of outcomes.csv, `seconds` the time that this call took."""
    cases, classifier = job.runner.cases, job.runner.classifier
    good = [c for c in store.clean() if c.broken is None]
    looked_at = [cases[c.row].image for c in good[:16]]
    summary = Summary(store, cases, job.cells, looked_at[0].numel(), plan.audit.seed)
    clean, rows = summary.clean_row(), summary.cell_rows()
    failures = Counter(
        o.failure for cell in job.cells for o in store.outcomes(cell.key) if o.failure
    )
    grey = sum(
        len(i) == 3 and bool((i[0] == i[1]).all() and (i[0] == i[2]).all()) for i in looked_at
    )
    broken = len(cases) - len(good)
    declared = plan.model.head if plan.model else classifier.head
    evidence = Evidence(
        cases=summary.cases,
        broken=broken,
        groups=summary.groups,
        head=classifier.head,
        declared_head=declared,
        colour_of_grey=grey,
        clean=clean,
        rows=rows,
        failures=failures,
    )
    counts = Counter(entry.label for entry in summary.cases.entries)
    pixels = hashlib.sha256("".join(c.pixels for c in good).encode()).hexdigest()
    source = plan.model.model_dump(exclude_none=True) if plan.model else {"given": "in Python"}
    return Report(
        title=plan.title,
        clean=clean,
        rows=tuple(rows),
        worst_cases=tuple(summary.worst_rows(plan.audit.norm)),
        difficulty=tuple(summary.difficulty(rows)),
        flags=find_doubts(evidence),
        plan=plan.model_dump(mode="json"),
        model={
            "source": source,
            "weights_sha256": weights_hash(classifier),
            **classifier.describe(),
        },
        data={
            "source": cases.source,
            "phantom": cases.phantom,
            "split": cases.split,
            "cases": len(good),
            "skipped_broken": broken,
            "groups": summary.groups,
            "grouped": cases.grouped,
            "classes": {name: counts[i] for i, name in enumerate(cases.classes)},
            "findings": [cases.classes[i] for i in cases.findings],
            "index_sha256": cases.fingerprint(),
            "pixels_sha256": pixels,
        },
        environment=_environment(job.runner.device),
        table_sha256=table,
        timings={"seconds": round(seconds, 3), "by_cell": store.seconds()},
    )


def _environment(device: torch.device) -> dict[str, Any]:
    return {
        "robust": importlib.metadata.version("robust-audit"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        **{name: importlib.metadata.version(name) for name in SEEN},
    }
