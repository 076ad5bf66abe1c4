"""`Draft`: a plan or a recipe in the making; each value has its reason, or is marked as a guess."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import tomli_w

from robust.errors import InputError, excerpt
from robust.printable import one_line

WIDTH = 100
"""Columns of the text."""


@dataclass(frozen=True)
class Value:
    """A value of a field, and why it has it."""

    value: Any
    why: str = ""
    guess: bool = False
    """Whether the user should look at it."""


@dataclass(frozen=True)
class Question:
    """A field that cannot be known from the files."""

    place: str
    """Of the field: `data.label`."""
    text: str
    """What is asked, as a sentence with a question mark."""
    example: Any
    """A value, for the line that is to be filled in."""
    choices: tuple[str, ...] = ()
    """All answers, where they are few."""
    several: bool = False
    """Whether the answer is a list."""


@dataclass
class Draft:
    """Values by the dotted name of their field, and what is still to be said."""

    about: list[str] = field(default_factory=list)
    """Paragraphs at the head."""
    values: dict[str, Value] = field(default_factory=dict)
    questions: list[Question] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """Sentences that the user is told beside the plan."""

    def set(self, place: str, value: Any, why: str = "", *, guess: bool = False) -> None:
        """Set a field, unless the user has set it."""
        known = self.values.get(place)
        if known is None or known.why != GIVEN:
            self.values[place] = Value(value, why, guess)

    def has(self, place: str) -> bool:
        """Whether a field has a value."""
        return place in self.values

    def get(self, place: str, default: Any = None) -> Any:
        """The value of a field."""
        known = self.values.get(place)
        return default if known is None else known.value

    def drop(self, *places: str) -> None:
        """Take fields out, unless the user has set them."""
        for place in places:
            if place in self.values and self.values[place].why != GIVEN:
                del self.values[place]

    def give(self, changes: Mapping[str, Any]) -> None:
        """Set what the user has said, which no guess replaces."""
        for place, value in changes.items():
            self.values[place] = Value(value, GIVEN)

    def ask(self, question: Question) -> None:
        """Note a field that cannot be known, unless it has a value."""
        if not self.has(question.place):
            self.questions.append(question)

    def answer(self, question: Question, value: Any) -> None:
        """The user's answer."""
        self.questions.remove(question)
        self.give({question.place: value})

    def tables(self) -> dict[str, Any]:
        """The values as the tables of a TOML file."""
        raw: dict[str, Any] = {}
        for place, value in self.values.items():
            table, _, name = place.rpartition(".")
            (raw.setdefault(table, {}) if table else raw)[name] = value.value
        return raw

    def text(self) -> str:
        """The TOML file, with reasons as comments; InputError for a name that is no UTF-8."""
        names = dict.fromkeys(
            place.rpartition(".")[0]
            for place in (*self.values, *(question.place for question in self.questions))
        )
        lines = [line for paragraph in self.about for line in comment(paragraph)]
        for table in sorted(names, key=lambda name: (name != "", _rank(name))):
            lines += ["", f"[{table}]"] if table else []
            for place, value in self.values.items():
                inside, _, name = place.rpartition(".")
                if inside == table:
                    lines += comment(f"guess: {value.why}" if value.guess else value.why)
                    lines += assignment(name, value.value)
            for question in self.questions:
                inside, _, name = question.place.rpartition(".")
                if inside == table:
                    lines += comment(f"FILL IN: {question.text}")
                    if question.choices:
                        lines += comment(f"One of: {', '.join(question.choices[:40])}")
                    lines += [f"# {line}" for line in assignment(name, question.example)]
        text = "\n".join(lines).strip("\n") + "\n"
        try:
            text.encode()
        except UnicodeEncodeError:
            bad = next(line for line in lines if not _is_utf8(line))
            raise InputError(
                f"{excerpt(bad.partition('=')[2].strip() or bad)} is no UTF-8, so no plan can hold "
                f"it; rename the file or the folder"
            ) from None
        return text


GIVEN = "as you said"
"""Why a value is there that no guess replaces."""
_ORDER = ("model", "network", "data", "splits", "audit", "training")


def _rank(table: str) -> int:
    return _ORDER.index(table) if table in _ORDER else len(_ORDER)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def comment(text: str) -> list[str]:
    """Lines of a comment; none of an empty text."""
    return [f"# {line}" for line in textwrap.wrap(one_line(text), WIDTH - 2)]


def assignment(name: str, value: Any) -> list[str]:
    """The lines that set a field; a long list takes several."""
    line = f"{name} = {_written(value)}"
    if len(line) <= WIDTH or not isinstance(value, list | tuple):
        return [line]
    lines = [""]
    for part in (f"{_written(one)}," for one in value):
        if lines[-1] and len(lines[-1]) + len(part) + 1 > WIDTH - 4:
            lines.append("")
        lines[-1] += f" {part}" if lines[-1] else part
    return [f"{name} = [", *(f"    {one}" for one in lines), "]"]


def _written(value: Any) -> str:
    if isinstance(value, Mapping):
        parts = [f"{_key(name)} = {_written(one)}" for name, one in value.items()]
        return f"{{ {', '.join(parts)} }}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{', '.join(map(_written, value))}]"
    return tomli_w.dumps({"x": value}).removeprefix("x = ").removesuffix("\n")


def _key(name: str) -> str:
    return tomli_w.dumps({name: 0}).removesuffix(" = 0\n")
