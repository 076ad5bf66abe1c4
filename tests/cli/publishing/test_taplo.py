"""What `robust init` writes, in Taplo: the language server behind editors' TOML extensions."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cli.commands import Robust
from tests.drafting import sets

TAPLO = shutil.which("taplo")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(TAPLO is None, reason="needs Taplo (npm install -g @taplo/cli)"),
]


@pytest.mark.parametrize("classes", [("normal", "opacity"), ("bacteria", "virus")])
def test_a_drafted_plan_is_valid_finished_or_not(robust: Robust, classes: tuple[str, str]) -> None:
    for n in range(8):
        sets.write(Path("images") / classes[n % 2] / f"{n}.png", n)
    model = ("--model", "toy_factory:build") if "normal" in classes else ()
    made = robust("init", "images", *model)
    assert made.code == (0 if model else 1), made.err
    assert robust("schema", "plan", "--out", "plan.schema.json").code == 0
    text = "#:schema ./plan.schema.json\n\n" + Path("plan.toml").read_text(encoding="utf-8")
    Path("plan.toml").write_text(text, encoding="utf-8")
    done = _check()
    assert done.returncode == 0 and "total=1" in done.stderr, done.stderr
    Path("plan.toml").write_text(text.replace("[data]", "[data]\nspilt = 1"), encoding="utf-8")
    done = _check()
    assert done.returncode == 1 and "'spilt' was unexpected" in done.stderr


def _check() -> subprocess.CompletedProcess[str]:
    command = [str(TAPLO), "check", "--colors", "never", "plan.toml"]
    return subprocess.run(command, capture_output=True, text=True, check=False)
