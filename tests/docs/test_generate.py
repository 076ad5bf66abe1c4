"""Tables and pages that are written from the classes: complete, and README's not stale."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from attacks import ATTACKS
from detectors import DETECTORS
from docs import generate
from docs.dependencies import GROUPS
from robust.plan.spec import Plan
from robust.records import FLAGS


def test_readme_is_not_stale() -> None:
    text = (generate.ROOT / "README.md").read_text(encoding="utf-8")
    assert generate.filled(text) == text, f"README.md is stale: run `{generate.COMMAND}`"


def test_the_command_tells_what_is_stale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "README.md").write_text("<!-- attacks: generated -->\nold\n<!-- end -->\n")
    monkeypatch.setattr(generate, "ROOT", tmp_path)
    monkeypatch.setattr(sys, "argv", ["generate.py", "--check"])
    assert generate.main() == 1
    monkeypatch.setattr(sys, "argv", ["generate.py", "--write"])
    assert generate.main() == 0
    assert "| `PGD` |" in (tmp_path / "README.md").read_text()
    monkeypatch.setattr(sys, "argv", ["generate.py", "--check"])
    assert generate.main() == 0


@pytest.mark.slow
def test_the_command_runs_as_printed() -> None:
    _, *arguments = generate.COMMAND.replace("--write", "--check").split()
    done = subprocess.run([sys.executable, *arguments], cwd=generate.ROOT, check=False)
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("table", "names"), [(generate.attack_table, ATTACKS), (generate.detector_table, DETECTORS)]
)
def test_every_class_has_a_row(table: object, names: dict[str, type]) -> None:
    assert callable(table)
    rows = re.findall(r"^\| `(\w+)` \|", table(), flags=re.MULTILINE)
    assert sorted(rows) == sorted(names)


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_page_says_what_the_class_says(name: str) -> None:
    page, kind = generate.attack_page(name), ATTACKS[name]
    assert page.startswith(f"# {name}\n") and generate.first_line(kind) in page
    for field in generate.own_fields(kind):
        assert f"| `{field.name}` |" in page
    assert "- **needs to know**: " in page


@pytest.mark.parametrize("name", DETECTORS)
def test_a_detector_page_says_what_the_class_says(name: str) -> None:
    page, kind = generate.detector_page(name), DETECTORS[name]
    assert page.startswith(f"# {name}\n") and generate.first_line(kind) in page
    for field in generate.own_fields(kind):
        assert f"| `{field.name}` |" in page


def test_every_extra_is_on_the_first_page() -> None:
    page = (generate.ROOT / "docs" / "start.md").read_text(encoding="utf-8")
    listed = "".join(re.findall(r"^\| `.*", page, flags=re.MULTILINE))
    assert set(re.findall(r"`([a-z-]+)`", listed)) >= set(GROUPS) - {"docs"}


def test_notes_belong_to_classes() -> None:
    notes = {path.stem for path in generate.NOTES.rglob("*.md")}
    assert notes <= set(ATTACKS) | set(DETECTORS)


def test_the_plan_reference_has_every_field_with_type_and_default() -> None:
    reference = generate.plan_reference()
    for name, field in Plan.model_fields.items():
        section = generate.table_of(field)
        assert f"[{name}]" in reference or f"| `{name}` | " in reference
        for key in section.model_fields if section else ():
            assert f"| `{key}` | " in reference
    assert '| `eps` | list of eps | `["0.5/255", "1/255"' in reference
    choice = '`"Linf"` or `"L2"` or `"L2-slice"` or `"L1"` or `"L0"`'
    assert f'| `norm` | {choice} | `"Linf"` |' in reference
    assert "| `threshold` | number, above 0, below 1 | `0.5` |" in reference


def test_every_warning_has_its_texts() -> None:
    reference = generate.warnings_reference()
    for name in FLAGS:
        assert f"### {name}\n\n**Raised if** " in reference


@pytest.mark.parametrize("kind", [*ATTACKS.values(), *DETECTORS.values()])
def test_a_page_says_when_to_use_what_it_is_about(kind: type) -> None:
    assert "Use it" in (kind.__doc__ or "")
