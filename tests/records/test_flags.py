"""Warnings: texts of each, and that gates can name them without loading what computes."""

from __future__ import annotations

import subprocess
import sys

from robust.records import FLAG_TEXTS, FLAGS, Flag


def test_each_warning_says_when_it_is_raised_why_it_matters_and_what_to_do() -> None:
    assert tuple(FLAG_TEXTS) == FLAGS and len(set(FLAGS)) == len(FLAGS)
    for name, text in FLAG_TEXTS.items():
        assert text.name == name
        for part in (text.raised_if, text.why, text.remedy):
            assert len(part) > 10 and part[0] == part[0].lower() and not part.endswith("."), name
        assert text.flag("x") == Flag(name, "x", text.why, text.remedy)


def test_the_names_need_neither_torch_nor_numpy() -> None:
    code = (
        "import sys, robust.records.flags;"
        "sys.exit(bool({'torch', 'numpy', 'robust.diagnostics'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_of_outlines_no_warning_speaks_of_readings() -> None:
    raised = [text.flag("seen", outlines=True) for text in FLAG_TEXTS.values()]
    changed = [flag for flag, text in zip(raised, FLAG_TEXTS.values(), strict=True)
               if (flag.why, flag.remedy) != (text.why, text.remedy)]  # fmt: skip
    assert {flag.name for flag in changed} == {
        *("run cut short", "attacks without a verdict", "attacks fail without bounds"),
        "more steps still help",
    }
    assert not [flag.name for flag in changed if "misread" in flag.why + flag.remedy]
    assert FLAG_TEXTS["more steps still help"].flag("seen").remedy.endswith("case is misread")
