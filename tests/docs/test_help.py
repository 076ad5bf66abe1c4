"""What `--help` shows works as printed."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import torch
import torchvision

from robust.cli import app as cli
from tests.cli.test_sweep import SWEEP
from tests.docs.conftest import call
from tests.drafting import sets

EXAMPLE = re.compile(r"Example(?: \(after ([^)]*)\))?: (robust .*)")
"""What comes before it, if anything does, and the command; or several, one after the other."""
REGISTERED = [info.name or "" for info in cli.app.registered_commands]


@pytest.mark.parametrize("command", REGISTERED)
def test_help_shows_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    call(f"robust {command} --help")
    assert f"robust {command} " in capsys.readouterr().out.split("Example")[1]


def write_the_users_own_files(folder: Path) -> None:
    """What the examples of `robust init` and `robust sweep` take: a model, images, a sweep."""
    torch.manual_seed(0)
    network = torchvision.models.squeezenet1_1(num_classes=2)
    torch.save(network.state_dict(), folder / "model.pth")
    lines = ["lesion_id,image_id,dx,dx_type,age,sex,localization"]
    for n in range(8):
        lines.append(f"HAM_{n},ISIC_{n},{('nv', 'mel')[n % 2]},histo,{30 + n}.0,male,back")
        place = folder / "HAM10000" / f"HAM10000_images_part_{n % 2 + 1}" / f"ISIC_{n}.jpg"
        sets.write(place, n, colour=True)
    table = folder / "HAM10000" / "HAM10000_metadata.csv"
    table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "sweep.toml").write_text(SWEEP, encoding="utf-8")


@pytest.mark.slow
def test_help_examples_work_as_printed(
    demo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a copy, since other examples write to folders of the same names."""
    shutil.copytree(demo_folder / "demo-report", tmp_path / "demo-report")
    write_the_users_own_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    done: list[str] = []
    for info in cli.app.registered_commands:
        found = EXAMPLE.fullmatch(info.epilog or "")
        assert found, info.epilog
        before, commands = found[1] or "", found[2].split(", then ")
        if before.startswith("robust ") and before != "robust demo":
            call(before)
        elif before.startswith("th"):  # the examples of other commands
            assert set(re.findall(r"robust ([a-z-]+)", before)) <= {*done}
        for command in commands:
            call(command)
        done.append(info.name or "")
    for made in ("adversarial/attacks.csv", "seen.csv", "ranked.csv", "runs.html"):
        assert (tmp_path / made).is_file(), made
    assert (tmp_path / "sweeps/sweep/sweep.html").is_file()
    assert (tmp_path / "comparisons/pgd/comparison.html").is_file()
