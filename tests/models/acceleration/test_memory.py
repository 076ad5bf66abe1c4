"""Batches follow a fixed budget; less where memory is short, before it runs out."""

from __future__ import annotations

import platform
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from robust.engine.mixed_precision import cases_at_once, make_mixed_precision_attacker
from robust.engine.run_store import RunStore
from robust.errors import InputError
from robust.models import Classifier, prepare
from robust.models.acceleration import memory
from robust.models.acceleration.memory import (
    BatchSize,
    bytes_for_gradient,
    find_batch_size,
    free_memory,
)


def convolutions() -> Classifier:
    layers = [nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()]
    net = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2))
    return prepare(Classifier(net, head="softmax"))


def test_what_a_gradient_keeps_grows_with_the_pixels() -> None:
    classifier = convolutions()
    small, large = (bytes_for_gradient(classifier, torch.rand(1, 3, s, s)) for s in (32, 64))
    # The inputs of both convolutions and what both ReLUs leave, in float32; weights count nothing.
    assert 4 * 64 * 64 * (8 + 8) <= large <= 4 * 64 * 64 * (3 + 8 * 4 + 4 * 3)
    assert 3.8 * small <= large <= 4.2 * small


def test_a_budget_and_not_what_is_free_sets_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    classifier, x = convolutions(), torch.rand(4, 3, 32, 32)
    per_image = memory.WORKING_MEMORY * bytes_for_gradient(classifier, x[:1])
    monkeypatch.setattr(memory, "BATCH_MEMORY", int(40 * per_image))
    for free in (2**50, 2**40, None, int(70 * per_image)):
        monkeypatch.setattr(memory, "free_memory", lambda device, free=free: free)
        assert find_batch_size(classifier, x, 64) == BatchSize(40, 40)
        assert find_batch_size(classifier, x, 8) == BatchSize(8, 8)
    for share, used in ((60, 20), (20, 10), (1, 1), (0, 1)):
        monkeypatch.setattr(memory, "free_memory", lambda device, s=share: int(s * per_image))
        assert find_batch_size(classifier, x, 64) == BatchSize(40, used)


def test_where_nothing_is_known_the_chunk_is_the_limit() -> None:
    def refusing(x: Tensor) -> Tensor:
        raise RuntimeError("not today")

    assert find_batch_size(refusing, torch.rand(1, 3, 8, 8), 64) == BatchSize(64, 64)


def test_this_machine_says_what_is_free() -> None:
    free = free_memory(torch.device("cpu"))
    assert free is None or 2**20 < free < 2**50


def test_a_resumed_run_splits_its_batches_as_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    classifier, x, store = convolutions(), torch.rand(2, 3, 32, 32), RunStore(tmp_path)
    monkeypatch.setattr(memory, "free_memory", lambda device: 2**22)
    first = make_mixed_precision_attacker(classifier, x, "auto", store, 64).sizes.of(x)
    assert first.used < first.settled == 64
    assert f"{first.used} in place of 64 images of 3 x 32 x 32" in caplog.text
    monkeypatch.setattr(memory, "free_memory", lambda device: 2**40)
    again = make_mixed_precision_attacker(classifier, x, "auto", store, 64).sizes
    assert again.of(x) == first
    again.halve(x[:2])  # memory ran out although the estimate allowed it
    assert again.of(x) == BatchSize(64, 1) and cases_at_once(store) == 1
    assert make_mixed_precision_attacker(classifier, x, "auto", store, 64).sizes.of(x).used == 1
    other = torch.rand(1, 3, 16, 16)
    assert again.of(other).used == 64  # another shape has its own
    store.close()


FREED = """
import resource
from pathlib import Path
import torch
from robust.models.acceleration.memory import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(2**24)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

faults()
fetched = faults()
if fetched == 0:
    raise SystemExit(3)
with keep_freed_memory(torch.device("cpu")):
    assert min(faults() for _ in range(8)) < fetched / 10
    inside = resident()
assert resident() < inside - 2**25
assert faults() > fetched / 2
"""


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_freed_memory_is_kept_within_and_given_back_at_the_end() -> None:
    """Counted in the pages that the system hands out for a tensor of 64 MiB, made again.

    In a process of its own: what libraries of other tests leave in the heap decides with it.
    """
    done = subprocess.run([sys.executable, "-c", FREED], capture_output=True, text=True)
    if done.returncode == 3:
        pytest.skip("this system counts no page faults")
    assert done.returncode == 0, done.stderr


def test_a_process_that_may_take_too_little_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "NEEDED_MEMORY", 1 << 60)
    prepare(Classifier(nn.Flatten(), head="softmax"))  # no limit, no check
    if not Path("/proc/self/statm").exists():
        return
    most = 1 << 50
    old = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (most, old[1]))
    try:
        with pytest.raises(InputError, match=r"may take \d+ MiB more memory .*ulimit -v"):
            prepare(Classifier(nn.Flatten(), head="softmax"))
        free = free_memory(torch.device("cpu"))
        assert free is not None and free < most
    finally:
        resource.setrlimit(resource.RLIMIT_AS, old)
