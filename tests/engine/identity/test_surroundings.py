"""Threads and versions: the number of threads is repeated, another version is in the report."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch

from robust.auditing import audit
from robust.engine.run_memory import START
from robust.engine.run_store import RunStore
from robust.records import Report
from tests.engine.nets import BRIEF, classifier, phantoms


def test_a_run_goes_on_with_its_threads_and_names_the_version_it_began_with(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    seen = []

    def watch(done: float, total: float, label: str) -> None:
        seen.append(torch.get_num_threads())

    def run() -> Report:
        options: dict[str, Any] = {"attacks": ["FGSM"], "eps": ["4/255"], **BRIEF}
        return audit(classifier(), phantoms(8), out=tmp_path, progress=watch, **options)

    before = torch.get_num_threads()
    first = run()
    store = RunStore(tmp_path)
    store.identify({name: store.identity(name) or "" for name in _names(store)})
    began = store.get(START)
    assert began is not None and began["threads"] == before
    store.put(START, {**began, "threads": before + 1, "torch": "1.0"})
    store.close()
    seen.clear()
    with caplog.at_level(logging.WARNING):
        second = run()
    assert seen[-1] == before + 1 and torch.get_num_threads() == before
    assert f"this run began with {before + 1} threads" in caplog.text
    assert second.environment["threads"] == before + 1
    assert second.environment["begun with"] == "torch 1.0"
    assert second.rows == first.rows


def _names(store: RunStore) -> list[str]:
    names = ("plan", "model", "data", "findings", "device", "reference", "surrogate")
    return [name for name in names if store.identity(name) is not None]
