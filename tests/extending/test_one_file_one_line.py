"""An attack or a detector is added in one file and one line: done in a copy of the packages.

Contract, linter and the checks of the README's tables run over the addition, unchanged; a black box
that was added so takes part in the diagnosis of masked gradients.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import types
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, blocks

(MI_FGSM,) = (block.text for block in blocks("python", "attack"))
(MAX_LOGIT,) = (block.text for block in blocks("python", "detector"))
"""The attack and the detector of docs/extending.md."""

SIMBA = '''
"""Simple black-box attack on single pixels (SimBA): Guo et al. 2019 (arXiv 1905.07121)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from attacks._tracking import ActiveCases, BestSoFar
from attacks.contract import AttackTraits, Knowledge, Model, require_fit, require_positive
from attacks.streams import Streams, call_text
from attacks.threat import ThreatModel


@dataclass(frozen=True)
class SimBA:
    """Moves one random value at a time by eps, up or down, and keeps what helps.

    Use it where only logits are to be had and images are small.
    """

    norms: ClassVar[tuple[str, ...]] = ("Linf",)
    minimum_norm: ClassVar[bool] = False
    knowledge: ClassVar[Knowledge] = "scores"
    traits: ClassVar[AttackTraits] = AttackTraits()

    queries: int = 600
    """Images shown to the model per case."""

    def __post_init__(self) -> None:
        require_positive(self, "queries")

    @property
    def passes(self) -> int:
        """One per query."""
        return self.queries

    @property
    def stream_key(self) -> str:
        """Queries are all that there is to set."""
        return call_text("SimBA", queries=self.queries)

    @torch.no_grad()
    def __call__(
        self,
        model: Model,
        x: Tensor,
        y: Tensor,
        threat: ThreatModel,
        streams: Streams,
        target: Tensor | None = None,
    ) -> Tensor:
        """The adversarial images."""
        require_fit(self, threat)
        drawn = streams.uniform(x.new_empty(len(x), self.queries, 2))
        best, batch = BestSoFar(x), ActiveCases.of(x, y, streams, target)
        rows, values = torch.arange(len(x), device=x.device), x[0].numel()
        for pixel, sign in zip(*drawn.permute(2, 1, 0), strict=True):
            candidate = best.x_adv.flatten(1).clone()
            place = (pixel * values).long().clamp_max(values - 1)
            step = torch.where(sign < 0.5, -threat.eps, threat.eps).to(x)
            candidate[rows, place] = x.flatten(1)[rows, place] + step
            x_adv = threat.project(candidate.view_as(x), x)
            best.offer(batch, x_adv, model(x_adv))
        return best.x_adv
'''

AUDIT = '''
import torch
from torch import Tensor, nn

import robust.diagnostics.reattack as reattack
from attacks import PGD
from robust import Classifier, audit, open_cases


class Turned(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return -gradient


class Masked(nn.Module):
    """A linear network, fitted to phantoms by least squares, whose gradient points the other way."""

    def __init__(self) -> None:
        super().__init__()
        cases = open_cases("phantom:chest_xray", split="train", count=60, pixels=28)
        x = torch.stack([cases[i].image for i in range(60)]).flatten(1)
        y = torch.tensor([2.0 * entry.label - 1 for entry in cases.entries])
        self.centre = x.mean(0)
        x = x - self.centre
        ridge = torch.eye(x.shape[1]) * 0.1
        self.linear = nn.Linear(x.shape[1], 2)
        with torch.no_grad():
            weight = torch.linalg.solve(x.T @ x + ridge, x.T @ y)
            self.linear.weight.copy_(torch.stack([-weight, weight]))
            self.linear.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(Turned.apply(x.flatten(1)) - self.centre)


reattack.QUERIES = 1  # the probe's own black box finds nothing
for attacks in (["PGD"], ["PGD", "SimBA"]):
    report = audit(
        Classifier(Masked(), channels=1),
        open_cases("phantom:chest_xray", count=30, pixels=28),
        attacks=attacks,
        eps=["8/255"],
        device="cpu",
    )
    rates = {row.attack: row.scores.success.value for row in report.rows}
    print(rates, "black box beats white box" in {flag.name for flag in report.flags})
'''


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The packages and their tests, to be added to."""
    for folder in ("attacks", "detectors", "docs", "robust", "tests"):
        ignored = shutil.ignore_patterns("__pycache__", "*.png", "*.ttf", "*.woff2")
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=ignored)
    for file in ("pyproject.toml", "README.md", "CONTRIBUTING.md"):
        shutil.copy(ROOT / file, tmp_path)
    return tmp_path


def add(home: Path, package: str, module: str, name: str, text: str) -> None:
    """One file, and one line where the sorted imports have it."""
    (home / package / f"{module}.py").write_text(text.lstrip("\n"), encoding="utf-8")
    init = home / package / "__init__.py"
    init.write_text(with_line(init, f"{package}.{module}", name), encoding="utf-8")


def with_line(init: Path, module: str, name: str) -> str:
    """The text of an `__init__.py` with the one line that registers a class."""
    lines = init.read_text(encoding="utf-8").splitlines(keepends=True)
    line = f"from {module} import {name} as {name}\n"
    package = module.partition(".")[0]
    later = (i for i, own in enumerate(lines) if own.startswith(f"from {package}.") and own > line)
    lines.insert(next(later), line)
    return "".join(lines)


def run(home: Path, *command: str) -> str:
    """What a command prints in the copy, which comes before any installed package."""
    environment = {**os.environ, "PYTHONPATH": str(home), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *command], cwd=home, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


CHECKS = """
import runpy
import sys

import pytest

chosen = "MIFGSM or MaxLogit or import_no_other"
failed = pytest.main(["-q", "-p", "no:cacheprovider", *sys.argv[1:], "-k", chosen])
for option in ("--check", "--write"):
    sys.argv = ["generate.py", option]
    try:
        runpy.run_path("docs/generate.py", run_name="__main__")
    except SystemExit as ended:
        print(option, ended.code)
sys.exit(failed)
"""
"""The two contracts and README's tables, in one process: to import all of it takes longest."""


def linted(home: Path, *modules: str) -> None:
    """The linter and the formatter have nothing to say about the files and their lines."""
    pytest.importorskip("ruff")
    files = [f"{m}.py" for m in modules] + [f"{m.split('/')[0]}/__init__.py" for m in modules]
    for command in (["check"], ["format", "--check"]):
        run(home, "-m", "ruff", *command, *files)


def test_an_attack_and_a_detector(copy: Path) -> None:
    """README's tables are stale after the addition, and one command puts that right."""
    add(copy, "attacks", "mi_fgsm", "MIFGSM", MI_FGSM)
    add(copy, "detectors", "max_logit", "MaxLogit", MAX_LOGIT)
    linted(copy, "attacks/mi_fgsm", "detectors/max_logit")
    detectors = (f"tests/detectors/test_{name}.py" for name in ("contract", "another_device"))
    out = run(copy, "-c", CHECKS, "tests/attacks/contract", *detectors)
    assert out.endswith("--check 1\n--write 0\n"), out
    readme = (copy / "README.md").read_text(encoding="utf-8")
    assert "| `MIFGSM` |" in readme and "| `MaxLogit` |" in readme
    counted = re.search(r"(\d+) passed", out)
    assert counted is not None and int(counted[1]) > 30


@pytest.mark.slow
def test_a_black_box_feeds_the_flag_on_masked_gradients(copy: Path) -> None:
    """What it says of itself is enough: it fells what gradients leave, and the report doubts them."""
    add(copy, "attacks", "simba", "SimBA", SIMBA)
    linted(copy, "attacks/simba")
    (copy / "masked.py").write_text(AUDIT, encoding="utf-8")
    without, beside = run(copy, "masked.py").splitlines()
    assert without.endswith("False") and beside.endswith("True"), (without, beside)


def test_an_attack_that_forgets_something_is_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where it is imported: `attacks/__init__.py` with its line is run anew."""
    module = types.ModuleType("attacks.mi_fgsm")
    monkeypatch.setitem(sys.modules, "attacks.mi_fgsm", module)
    exec(MI_FGSM.replace('    knowledge: ClassVar[Knowledge] = "gradients"\n', ""), vars(module))
    text = with_line(ROOT / "attacks" / "__init__.py", "attacks.mi_fgsm", "MIFGSM")
    with pytest.raises(ValueError) as refused:
        exec(text, {"__name__": "attacks"})
    assert str(refused.value) == (
        "MIFGSM is not an attack: it has no knowledge; attacks/contract.py says what an attack has"
    )
    exec(MI_FGSM, vars(module))
    exec(text, {"__name__": "attacks"})
