"""The pytest plugin as users meet it: in projects of their own, in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

import pytest

from attacks import FGSM
from tests.warm import Warm

NETS = """
import os, time
import robust, torch

class Bright(torch.nn.Module):
    "Calls an image a finding where it is brighter than phantoms are: 12 of 24 are read rightly."
    def forward(self, x):
        time.sleep(float(os.environ.get("SLEEP", 0)))
        z = 40 * (x.mean((1, 2, 3)) - 0.8)
        return torch.stack([torch.zeros_like(z), z], 1)

cases = robust.open_cases("phantom:chest_xray", count=24, pixels=28)
classifier = robust.Classifier(Bright(), head="softmax")
unprobed = {"doubts": {"probe": False}}
"""

STRANGER = """
from nets import cases, classifier, unprobed

def test_small(robustness):
    report = robustness(classifier, cases, attacks=["FGSM", "PGD"], eps=["1/255"])
    assert report.worst.robust_accuracy.low > 0.5

def test_large(robustness):
    settings = {"attacks": ["FGSM", "PGD"], "eps": ["1/255", "204/255"], **unprobed}
    report = robustness(classifier, cases, **settings)
    assert report.worst.robust_accuracy.low > 0.6

def test_misspelt(robustness):
    robustness(classifier, cases, attacks=["PDG"])
"""

MARKED = """
import pytest
from nets import cases, classifier, unprobed

pytestmark = [pytest.mark.robust_eps("204/255"), pytest.mark.robust_attacks("FGSM")]

@pytest.fixture(scope="module")
def report(robustness):
    return robustness(classifier, cases, title="Shared by a module", **unprobed)

def test_first(report):
    assert [(row.attack, row.eps) for row in report.rows] == [("FGSM", 0.8)]

def test_second(report):
    held = report.worst.robust_accuracy
    assert held.low > 0.6

@pytest.mark.robust_eps("1/255", "2/255")
def test_nearest_marker_and_call_before_marker(robustness):
    assert len(robustness(classifier, cases, **unprobed).rows) == 2
    own = robustness(classifier, cases, attacks=["Noise"], **unprobed)
    assert own.rows[0].attack == "Noise"
"""

PLANNED = """
import pytest

seen = []

def test_plan_of_the_command_line(robustness):
    seen.append(robustness())
    assert seen[0].title == "Of the plan" and seen[0].data.cases == 12
    assert len(seen[0].rows) == 1

def test_once_a_session(robustness):
    assert robustness("plan.toml") is seen[0]

@pytest.mark.robust_attacks("FGSM")
@pytest.mark.robust_eps("1/255", "2/255")
def test_markers_go_before_the_plan(robustness):
    assert [row.attack for row in robustness().rows] == ["FGSM", "FGSM"]

def test_bad_plan(robustness):
    robustness("bad.toml")
"""

PLAN = """
title = "Of the plan"
[model]
factory = "nets:Bright"
head = "softmax"
[data]
path = "phantom:chest_xray"
count = 24
pixels = 28
[audit]
eps = ["1/255"]
[doubts]
probe = false
[[attacks]]
name = "Noise"
"""

SPEED = """
import torch
from nets import cases, classifier

def test_speed(attack_benchmark):
    x = torch.stack([case.image for case in cases])
    y = torch.zeros(len(x), dtype=torch.int64)
    speed = attack_benchmark("FGSM", classifier, x, y, eps="1/255", rounds=2)
    assert speed.backward == 1 and speed.ratio_to_floor > 0
"""


@dataclass(frozen=True)
class Ran:
    code: int
    out: str


PLAIN = ("-p", "no:cacheprovider", "--strict-markers")


def forked(commands: Warm, folder: Path, *arguments: str) -> Ran:
    """As `run`, in a process that has imported already what an audit imports."""
    told = {name: None for name in os.environ if name.startswith(("PYTEST_", "COV_"))}
    env = {**told, "COLUMNS": "80"}
    done = commands.run(folder, *PLAIN, *arguments, env=env, module="pytest")
    return Ran(done.code, done.out + done.err)


def run(folder: Path, *arguments: str, python: str = sys.executable, **environment: str) -> Ran:
    """pytest on a project; what this pytest was told stays out of it."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "COV_"))}
    done = subprocess.run(
        [python, "-m", "pytest", *PLAIN, *arguments],
        cwd=folder,
        env={**kept, "OMP_NUM_THREADS": "1", "COLUMNS": "80", **environment},
        capture_output=True,
        text=True,
    )
    return Ran(done.returncode, done.stdout + done.stderr)


def project(folder: Path, **files: str) -> Path:
    (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    for name, text in {"nets": NETS, **files}.items():
        (folder / f"{name}.py").write_text(text.lstrip(), encoding="utf-8")
    return folder


def site_example() -> str:
    text = (Path(__file__).parents[2] / "docs/ci.md").read_text(encoding="utf-8")
    [example] = [b.split("```")[0] for b in text.split("```python\n") if "(robustness)" in b]
    return example


def outcomes(folder: Path) -> dict[str, ElementTree.Element]:
    cases = ElementTree.parse(folder / "out.xml").getroot().iter("testcase")
    return {case.attrib["name"]: case for case in cases}


def test_a_repository_without_a_conftest(commands: Warm, tmp_path: Path) -> None:
    """One run, since each costs seconds; then what it left, from JUnit to the summary."""
    project(tmp_path, test_stranger=STRANGER, test_marked=MARKED, test_planned=PLANNED)
    (tmp_path / "plan.toml").write_text(PLAN, encoding="utf-8")
    (tmp_path / "bad.toml").write_text(PLAN.replace("eps", "esp"), encoding="utf-8")
    plan = ("--robust-plan", "plan.toml", "--robust-limit", "12", "--robust-device", "cpu")
    ran = forked(commands, tmp_path, "-q", "--junitxml=out.xml", *plan)
    found = outcomes(tmp_path)
    failures = {
        name: failure
        for name, case in found.items()
        if (failure := case.find("failure")) is not None
    }
    assert set(failures) == {"test_large", "test_misspelt", "test_second", "test_bad_plan"}, ran.out
    assert len(found) == 10 and ran.code == 1
    assert not [name for name, case in found.items() if case.find("error") is not None]

    # A failure names attack, eps, cases and groups: of the 12 cases of --robust-limit six are of
    # the class that is read rightly.
    for text in (str(failures["test_large"].text), ran.out):
        assert "worst case, L∞ 204/255: robust accuracy 0.0 % [0.0, " in text
        assert "on 6 attacked cases of 6 groups; strongest: FGSM and PGD" in text
        assert "worst case, L∞ 1/255: robust accuracy 100.0 %" in text
        assert "no attack succeeded" in text
    message = failures["test_large"].attrib["message"]
    assert "<worst case, Linf 204/255: robust_accuracy 0.000" in message

    # So it does where a fixture made the audit, and not the test that fails.
    shared = str(failures["test_second"].text)
    assert "robustness: Shared by a module" in shared
    assert "worst case, L∞ 204/255: robust accuracy 0.0 %" in shared

    # Bad input is one line.
    for name, words in (
        ("test_misspelt", "unknown attack 'PDG'; did you mean PGD? there are: "),
        ("test_bad_plan", "unknown entry audit.esp; did you mean eps? there are: "),
    ):
        text = str(failures[name].text)
        assert text.startswith("robust: ") and words in text and len(text.splitlines()) == 1

    # The summary shows each audit once, and one that passed leaves its numbers as well.
    summary = ran.out.split("= robustness =")[1]
    assert summary.count("Shared by a module") == 1
    assert summary.count("Of the plan") == 2  # as it is, and with the attacks of the markers
    assert "test_planned.py::test_plan_of_the_command_line and 1 more" in summary
    assert "worst of 2 attacks" in summary and "95 % interval" in summary
    kept = [p.attrib["value"] for p in found["test_small"].iter("property")]
    assert len(kept) == 1 and "worst case, L∞ 1/255: robust accuracy 100.0 %" in kept[0]


@pytest.mark.slow
def test_workers_of_xdist_send_their_tables_home(tmp_path: Path) -> None:
    pytest.importorskip("xdist")
    ran = run(project(tmp_path, test_stranger=STRANGER), "-q", "-n1", "-k", "large")
    assert ran.code == 1
    failure, summary = ran.out.split("= robustness =")
    assert "on 12 attacked cases of 6 groups; strongest: FGSM and PGD" in failure
    assert "95 % interval" in summary


@pytest.mark.slow
def test_a_benchmark_is_stored_and_a_slower_one_fails(tmp_path: Path) -> None:
    pytest.importorskip("pytest_benchmark")
    project(tmp_path, test_speed=SPEED)
    first = run(tmp_path, "--benchmark-only", "--benchmark-autosave")
    assert first.code == 0, first.out
    [stored] = (tmp_path / ".benchmarks").rglob("*.json")
    info = json.loads(stored.read_text(encoding="utf-8"))["benchmarks"][0]["extra_info"]
    assert info["attack"] == repr(FGSM()) and info["eps"] == 1 / 255 and info["device"]
    assert (info["cases"], info["forward"], info["backward"]) == (24, 1, 1)
    rate = info["cases"] / info["seconds"]
    assert info["gradient_calls_per_second"] == pytest.approx(rate)
    assert info["ratio_to_floor"] == pytest.approx(info["seconds"] / info["floor_seconds"])
    # A pass of a fifth of a second is slower than before on any machine.
    slow = run(tmp_path, "--benchmark-compare", "--benchmark-compare-fail=min:20%", SLEEP="0.2")
    assert slow.code != 0
    assert "Performance has regressed" in slow.out


def test_without_pytest_benchmark_the_fixture_says_what_to_install(
    commands: Warm, tmp_path: Path
) -> None:
    text = "def test_speed(attack_benchmark):\n    raise AssertionError\n"
    (tmp_path / "test_speed.py").write_text(text, encoding="utf-8")
    ran = forked(commands, tmp_path, "-rs", "-p", "no:benchmark")
    assert ran.code == 0 and "1 skipped" in ran.out
    assert "pip install pytest-benchmark" in " ".join(ran.out.split())


def test_an_unrelated_project_loads_nothing_heavy(tmp_path: Path) -> None:
    heavy = ("torch", "numpy", "pandas", "rich", "pydantic", "robust.engine", "robust.records")
    text = "import sys\ndef test_it():\n    assert 'robust.pytest_plugin.plugin' in sys.modules\n"
    text += f"    assert not set(sys.modules) & set({heavy!r})\n"
    (tmp_path / "test_it.py").write_text(text, encoding="utf-8")
    ran = run(tmp_path)
    assert ran.code == 0, ran.out
    assert "robustness" not in ran.out
    assert "robust_eps(*eps)" in run(tmp_path, "--markers").out


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--robust-plan", "absent.toml"), "robust: no such plan: "),
        (("--robust-limit", "0"), "'0' leaves no case; give a whole number from 1"),
    ],
)
def test_bad_options_are_told_before_anything_runs(
    commands: Warm, tmp_path: Path, arguments: tuple[str, ...], line: str
) -> None:
    ran = forked(commands, tmp_path, *arguments)
    assert ran.code == 4
    assert line in ran.out and "Traceback" not in ran.out


@pytest.mark.slow
def test_a_stranger_installs_the_package_and_runs_the_example_of_the_site(
    tmp_path: Path,
) -> None:
    """In an environment of its own, with what the package depends on behind it."""
    place = tmp_path / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place], check=True)
    python = str(place / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))
    [own] = json.loads(
        subprocess.check_output(
            [python, "-c", "import json, site; print(json.dumps(site.getsitepackages()[:1]))"]
        )
    )
    ours = [path for path in sys.path if path.endswith("site-packages")]
    Path(own, "behind.pth").write_text("\n".join(ours) + "\n", encoding="utf-8")
    root = Path(__file__).parents[2]
    wheel = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", tmp_path, root]
    built = subprocess.run(wheel, capture_output=True, text=True)
    if built.returncode and "hatchling" in built.stderr:
        pytest.skip(f"the build backend cannot be had: {built.stderr.strip().splitlines()[-1]}")
    assert built.returncode == 0, built.stderr
    [file] = tmp_path.glob("*.whl")
    install = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps"]
    subprocess.run([*install, "--ignore-installed", file], check=True)
    mine = tmp_path / "mine"
    mine.mkdir()
    where = "import robust\ndef test_where():\n    print(robust.__file__)\n"
    strict = site_example().replace("low > 0.", "low > 1.0").replace("_under", "_strictly_under")
    for name, text in {"where": where, "mine": site_example(), "strict": strict}.items():
        (mine / f"test_{name}.py").write_text(text, encoding="utf-8")
    ran = run(mine, "-rA", "--junitxml=out.xml", python=python)
    assert own in ran.out, ran.out  # what is tested is the wheel, not this folder
    found = outcomes(mine)
    failed = [name for name, case in found.items() if case.find("failure") is not None]
    assert len(found) == 3 and failed == ["test_holds_strictly_under_attack"], ran.out
    failure = found["test_holds_strictly_under_attack"].find("failure")
    assert failure is not None and "attacked cases of" in str(failure.text)
