"""Adversarial images as files: lossless, within eps, and worth what the CSV says."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from robust.cases import open_cases
from robust.cases.images import read_image
from robust.engine.runner import RunOptions
from robust.errors import InputError
from robust.models import Classifier
from robust.plan.load import make_plan
from robust.plan.spec import Plan
from robust.storage.export_png import export_images
from tests.engine.nets import trained

CPU = RunOptions("cpu")


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "w.safetensors"
    save_file(trained(28).state_dict(), path)
    return path


def plan(weights: Path, eps: str) -> Plan:
    return make_plan(
        {
            "model": {
                "factory": "tests.engine.nets:small",
                "weights": str(weights),
                "channels": 1,
                "head": "softmax",
            },
            "data": {"path": "phantom:chest_xray", "count": 24, "pixels": 28},
            "attacks": [{"name": "PGD"}],
            "audit": {"eps": [eps], "chunk": 10},
        }
    )


@pytest.mark.parametrize(("eps", "bits"), [("2/255", None), ("2.5/255", None), ("0.4/255", 16)])
def test_the_files_are_what_the_table_says(
    weights: Path, tmp_path: Path, eps: str, bits: int | None
) -> None:
    made = plan(weights, eps)
    out = tmp_path / "out"
    done = export_images(made, out, bits=bits, options=CPU)
    written, fooled = done.images, done.fooled
    table = list(csv.DictReader((out / "attacks.csv").read_text(encoding="utf-8").splitlines()))
    assert written == len(table) == len(list(out.glob("*.png"))) > 12
    cases = open_cases("phantom:chest_xray", count=24, pixels=28)
    index = {entry.id: i for i, entry in enumerate(cases.entries)}
    net = Classifier(trained(28), channels=1, head="softmax").eval()
    reached = 0
    for line in table:
        pixels = read_image(out / line["file"])
        assert pixels.dtype == (np.uint16 if bits == 16 else np.uint8)
        case = cases[index[line["case"]]]
        stored = torch.from_numpy(pixels.astype(np.float64) / (65535 if bits == 16 else 255))
        moved = (stored - case.image[0].double()).abs().max().item()
        assert moved <= made.audit.eps[0] + 1e-6
        assert moved == pytest.approx(float(line["stored_linf"]), abs=1e-6)
        with torch.no_grad():
            said = int(net(stored.float()[None, None]).argmax())
        assert cases.classes[said] == line["stored_prediction"]
        assert (said != case.label) == (line["stored_success"] == "1")
        reached += said != case.label
    assert reached == fooled


def test_eight_bits_round_a_small_perturbation_away_and_sixteen_keep_it(
    weights: Path, tmp_path: Path
) -> None:
    made = plan(weights, "0.4/255")
    export_images(made, tmp_path / "eight", options=CPU)
    export_images(made, tmp_path / "sixteen", bits=16, options=CPU)
    moved = {
        name: [
            float(line["stored_linf"])
            for line in csv.DictReader(
                (tmp_path / name / "attacks.csv").read_text(encoding="utf-8").splitlines()
            )
        ]
        for name in ("eight", "sixteen")
    }
    assert max(moved["eight"]) < 1e-6
    assert min(moved["sixteen"]) > 0.38 / 255


def test_a_folder_with_something_in_it_is_left_alone(weights: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("x")
    with pytest.raises(InputError, match="not empty"):
        export_images(plan(weights, "1/255"), tmp_path / "out", options=CPU)
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["mine.txt"]
