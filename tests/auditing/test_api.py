"""A report on a run that was cut short, made from a directory in which nothing is written."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file

from robust.auditing import audit, audit_plan, unfinished_report
from robust.errors import InputError
from robust.plan.load import make_plan
from tests.engine.nets import classifier, phantoms, trained


def state(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {p.name: (p.stat().st_mtime_ns, p.read_bytes()) for p in folder.iterdir()}


class StopAt:
    """Interrupts FGSM in a chunk, counted from 1."""

    def __init__(self, chunk: int) -> None:
        self.left = chunk

    def __call__(self, done: float, total: float, label: str) -> None:
        self.left -= label.startswith("FGSM")
        if not self.left:
            raise KeyboardInterrupt


def test_the_report_of_a_read_only_run(tmp_path: Path) -> None:
    save_file(trained(28).state_dict(), tmp_path / "w.safetensors")
    model: dict[str, Any] = {"factory": "tests.engine.nets:small", "channels": 1, "head": "softmax"}
    plan = make_plan(
        {
            "model": {**model, "weights": str(tmp_path / "w.safetensors")},
            "data": {"path": "phantom:chest_xray", "count": 24, "pixels": 28},
            "attacks": [{"name": "FGSM"}],
            "audit": {"eps": ["2/255"], "chunk": 8},
        }
    )
    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        audit_plan(plan, out=run, device="cpu", progress=StopAt(3))
    for name in ("run.lock", "outcomes.sqlite-shm", "outcomes.sqlite-wal"):
        before = state(run)
        report = unfinished_report(run)
        assert state(run) == before
        assert report.data.cases == 16 and report.data.unfinished == 8
        run = Path(shutil.copytree(run, tmp_path / f"without {name}"))
        (run / name).unlink(missing_ok=True)
    with pytest.raises(InputError, match="no such file"):
        unfinished_report(tmp_path)


def test_a_run_whose_cases_were_handed_over_in_python_is_reported_on_too(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        audit(
            classifier(),
            phantoms(24),
            attacks=["FGSM"],
            chunk=8,
            out=tmp_path,
            progress=StopAt(8),
        )
    found = unfinished_report(tmp_path)
    assert (found.data.cases, found.data.unfinished) == (8, 16)
