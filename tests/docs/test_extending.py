"""The attack and the detector of docs/extending.md pass what the project asks of its own."""

from __future__ import annotations

import subprocess
import sys
import types
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from attacks import Noise, Streams, ThreatModel
from attacks.contract import require_attack_class
from attacks.losses import margin
from detectors import Features, Reference
from tests.docs.pages import ROOT, Block, blocks


def example(mark: str, name: str) -> type:
    """The class that the example defines."""
    (block,) = blocks("python", mark)
    module = types.ModuleType(f"extending_{mark}")
    sys.modules[module.__name__] = module
    exec(compile(block.text, block.page, "exec"), module.__dict__)
    return getattr(module, name)  # type: ignore[no-any-return]


def model(x: Tensor) -> Tensor:
    return torch.tanh(network(2 * x - 1) * 3)


torch.manual_seed(0)
network = nn.Sequential(nn.Flatten(), nn.Linear(48, 16), nn.Tanh(), nn.Linear(16, 3))
network.requires_grad_(False)


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_the_attack_fulfils_its_contract_and_beats_noise(norm: str) -> None:
    kind = example("attack", "MIFGSM")
    require_attack_class(kind)
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(40, 3, 4, 4, generator=generator)
    y = model(x).argmax(1)
    threat = ThreatModel(norm, 0.03 if norm == "Linf" else 0.15)
    streams = Streams.of(0, [str(i) for i in range(40)], "example")
    x_adv = kind()(model, x, y, threat, streams)
    assert x_adv.shape == x.shape and bool(((x_adv >= 0) & (x_adv <= 1)).all())
    assert float(threat.distance(x_adv, x).max()) <= threat.eps + 1e-6
    noise = Noise()(model, x, y, threat, streams)
    found, drawn = margin(model(x_adv), y), margin(model(noise), y)
    assert float(found.mean()) > float(drawn.mean()) and (found > 0).sum() > (drawn > 0).sum()
    one = kind()(model, x[:1], y[:1], threat, streams[torch.tensor([0])])
    torch.testing.assert_close(one, x_adv[:1])


def test_the_detector_scores_each_image_by_itself() -> None:
    logits = torch.tensor([[3.0, 0.0], [1.0, 0.5], [0.0, 9.0]])
    features = Features(logits=logits, layers={"last": logits})
    fitted = example("detector", "MaxLogit")().fit(Reference(features, torch.tensor([0, 0, 1])))
    assert fitted.score(features).tolist() == [-3.0, -1.0, -9.0]


@pytest.mark.slow
@pytest.mark.parametrize("block", blocks("python", "attack", "detector"), ids=str)
def test_mypy_and_ruff_accept_them(block: Block, tmp_path: Path) -> None:
    file = tmp_path / "example.py"
    file.write_text(block.text, encoding="utf-8")
    for command in (
        ["ruff", "check", "--config", str(ROOT / "pyproject.toml")],
        ["ruff", "format", "--check", "--config", str(ROOT / "pyproject.toml")],
        ["mypy", "--follow-imports=silent", "--config-file", str(ROOT / "pyproject.toml")],
    ):
        done = subprocess.run(
            [sys.executable, "-m", *command, str(file)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
