"""Drafts become TOML that reads back, whatever the names in it."""

from __future__ import annotations

import tomllib

import pytest

from robust.drafting.draft import WIDTH, Draft, Question
from robust.errors import InputError


def test_text_reads_back() -> None:
    draft = Draft(about=["A sentence that is long enough to need more than one line. " * 3])
    draft.set("title", 'He said "no" \\ and\nleft')
    draft.set("data.path", "über/ö", "why\nnot", guess=True)
    draft.set("data.splits", {"a b": 0.7, "test": "list.txt"})
    draft.set("data.classes", [f"class number {i}" for i in range(30)])
    draft.set("data.grey", True)
    draft.set("model.mean", [0.485, 0.5])
    draft.ask(Question("data.label", "Which column?", "dx", ("dx", "sex")))
    text = draft.text()
    assert tomllib.loads(text) == draft.tables()
    assert "# guess: why" in text and '# label = "dx"' in text
    assert text.index("[model]") < text.index("[data]")
    assert max(map(len, text.splitlines())) <= WIDTH


def test_no_guess_replaces_what_the_user_said() -> None:
    draft = Draft()
    draft.give({"data.label": "mine"})
    draft.set("data.label", "guessed", guess=True)
    draft.ask(Question("data.label", "Which?", "other"))
    draft.drop("data.label")
    assert draft.tables() == {"data": {"label": "mine"}}
    assert not draft.questions


def test_a_name_that_no_plan_can_hold() -> None:
    draft = Draft()
    draft.set("data.path", b"Th\xfcx".decode("utf-8", "surrogateescape"))
    with pytest.raises(InputError, match="no UTF-8"):
        draft.text()
