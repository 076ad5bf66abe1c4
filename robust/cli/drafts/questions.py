"""Asks somebody at a terminal what files cannot tell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console

if TYPE_CHECKING:
    from robust.drafting.draft import Question


def ask(console: Console, question: Question) -> Any:
    """The answer of somebody at a terminal; a choice also by its number in the list."""
    console.print(f"\n{question.text}")
    for number, choice in enumerate(question.choices, 1):
        console.print(f"  {number:3} {choice}")
    while True:
        answer = str(typer.prompt("Answer", default=_default_answer(question))).strip()
        parts = [part.strip() for part in answer.split(",")] if question.several else [answer]
        known = [_choice(question, part) for part in parts]
        if all(one is not None for one in known):
            if isinstance(question.example, int) and parts[0].isdigit():
                return int(parts[0])
            return known if question.several else known[0]
        console.print("Give one of the list, by name or number.")


def _default_answer(question: Question) -> str:
    example = question.example
    return ",".join(example) if isinstance(example, list) else str(example)


def _choice(question: Question, text: str) -> str | None:
    if not question.choices or text in question.choices:
        return text
    if text.isdigit() and 1 <= int(text) <= len(question.choices):
        return question.choices[int(text) - 1]
    return None
