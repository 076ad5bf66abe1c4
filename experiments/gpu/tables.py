"""The page of the GPU run: `python -m experiments.gpu.tables OUT > experiments/gpu/RESULTS.md`."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from experiments.gpu.run import MODALITIES, NETWORKS

HEAD = """# What runs on a GPU, and how fast

Made by `make gpu`; times are medians of rounds taken in turn in one process. Gradients are those of
single images. The other libraries run in two settings: `float32` is full float32, as every image of
robust is confirmed; `default` is as torch sets itself up, with TF32 in convolutions, which is what
their users get. Networks have random weights.
"""


def lines(folder: Path) -> Iterator[str]:
    """The page, line by line."""
    yield HEAD
    summary = _read(folder / "summary.json") or {}
    parts = [
        f"{name} {'done' if not one['exit code'] else 'FAILED'} in {one['seconds']:.0f} s"
        for name, one in summary.items()
    ]
    yield f"Parts: {'; '.join(parts)}.\n"
    for name in NETWORKS:
        found = _read(folder / f"{name.partition(':')[2]}.json")
        yield from _network(name, found) if found else [f"## {name}\n\nNot measured.\n"]
    yield "## Three modalities, 224 px, MobileNetV2\n"
    columns = "training, s", "audit, s", "cases", "accuracy", "worst case by eps", "detectors"
    yield f"| set | {' | '.join(columns)} | attacked by one who knows them |"
    yield "|---|---|---|---|---|---|---|---|"
    for name in MODALITIES:
        found = _read(folder / f"{name}.json")
        yield _modality(found) if found else f"| {name} | not measured | | | | | | |"


def _network(name: str, found: dict[str, Any]) -> Iterator[str]:
    yield f"## {name}, {found['images']} images of {found['size']} px\n"
    yield f"{found.get('card', 'CPU')}, torch {found['torch']}."
    if how := found.get("acceleration"):
        yield (
            f"robust ran with {how['folded']} normalisations folded, bfloat16 {how['bfloat16']}, "
            f"compiled {how['compiled']}; a pass of the plain network at float32 takes "
            f"{how['gain']} times as long."
        )
    yield "\n| attack, others | who | gradients a second | time / ours | MiB | strength |"
    yield "|---|---|---|---|---|---|"
    contests = {k: v for k, v in found.items() if isinstance(v, dict) and "rows" in v}
    for title, block in contests.items():
        ours = block["rows"]["robust"]["seconds"]
        for who, row in block["rows"].items():
            if row["failed"]:
                yield f"| {title} | {who} | {row['failed']} | | | |"
                continue
            strength = "" if math.isnan(row["strength"]) else f"{row['strength']:.3g}"
            yield (
                f"| {title} | {who} | {row['gradients per second']:,.0f} | "
                f"{row['seconds'] / ours:.2f} | {row['peak MiB']:,.0f} | {strength} |"
            )
    yield ""
    for title, block in contests.items():
        yield (
            f"- {title}: fastest other / ours {block['fastest other / ours']:.2f}, ours / bare "
            f"passes as quick {block['ours / floor']:.2f}."
        )
    if twice := found.get("twice"):
        yield (
            f"- The same cell twice: images {'equal' if twice['equal'] else 'DIFFERENT'}; of "
            f"{twice['cases']} cases {twice['confirmed at float32']} were confirmed at float32, "
            f"{twice['attacked again at float32']} were attacked again at float32."
        )
    for attack, rows in found.get("ensembles", {}).items():
        cells = []
        for who, row in rows.items():
            text = row.get("failed") or f"{row['seconds']:.2f} s, robust {row['strength']:.1%}"
            cells.append(f"{who} {text}")
        yield f"- {attack}, ten classes, 4/255: {'; '.join(cells)}."
    yield ""


def _modality(found: dict[str, Any]) -> str:
    report = found["report"]
    detection = report["detection"]
    clean = report["clean"]["scores"]["accuracy"]
    worst = ", ".join(
        f"{row['eps'] * 255:.3g}/255 {row['scores']['accuracy']['value']:.2f}"
        for row in report["worst_cases"]
        if row["eps"]
    )
    return (
        f"| {found['name']} | {found['seconds of training']:.0f} | "
        f"{found['seconds of the audit']:.0f} | {clean['cases']} | "
        f"{clean['value']:.2f} | {worst} | {len(detection['detectors'])} | "
        f"{len(detection['adaptive'])} |"
    )


def _read(path: Path) -> Any:
    return json.loads(path.read_text()) if path.is_file() else None


if __name__ == "__main__":
    print("\n".join(lines(Path(sys.argv[1]))))
