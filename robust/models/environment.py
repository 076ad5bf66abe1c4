"""The computing environment of a run: device, threads, and versions of everything that computes."""

from __future__ import annotations

import functools
import importlib.metadata
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from robust.errors import excerpt


def processor_name(device: torch.device) -> str:
    """What computes: the GPU, or the processor as Linux names it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return excerpt(cpu_info("model name") or platform.processor() or platform.machine(), 100)


def cpu_info(field: str) -> str:
    """What Linux says of the first processor under a name; empty elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(field)), "")


def find_environment(device: torch.device, packages: Sequence[str]) -> dict[str, Any]:
    """As a report or a model's card names it; `packages` are distributions that are installed."""
    return {
        "robust": _version("robust-audit"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "processor": processor_name(device),
        "threads": torch.get_num_threads(),
        **{name: _version(name) for name in packages},
    }


@functools.cache
def _version(package: str) -> str:
    """Of what this process runs: its metadata is read and parsed once."""
    return importlib.metadata.version(package)
