r"""Row filters such as `age > 40 and source == "odir"`: a language without calls, never evaluated.

    condition   = condition "or" condition | condition "and" condition | "not" condition
                | "(" condition ")" | comparison | column of True and False
    comparison  = operand ("==" | "!=" | "<" | "<=" | ">" | ">=") operand ...
                | column ["not"] "in" "[" value, ... "]" | column "is" ["not"] "None"
    operand     = column | `column with other signs` | value
    value       = "text" | 'text' | number | True | False

`&`, `|` and `~` mean and, or and not, as in a pandas query. An empty cell equals no value: with it
`==`, `<`, `>` and `in` are false, `!=` and `not in` true.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from robust.cases.cell_types import EMPTY_WORDS, plain_numbers
from robust.errors import InputError, excerpt

MOST_CHARACTERS = 4_000
MOST_DEPTH = 50
"""Of brackets and of `not` inside each other."""
Mask: TypeAlias = npt.NDArray[np.bool_]
Condition: TypeAlias = Callable[[pd.DataFrame], Mask]
"""Which rows of a table it holds for."""


@dataclass(frozen=True)
class RowFilter:
    """A filter that was read: the columns it needs, and which rows it keeps."""

    columns: frozenset[str]
    condition: Condition

    def rows(self, table: pd.DataFrame) -> Mask:
        """The rows that it keeps; InputError where a column holds another kind of value."""
        return self.condition(table)


def parse_filter(text: str) -> RowFilter:
    """Read a filter; InputError says what in it has no meaning."""
    if len(text) > MOST_CHARACTERS:
        raise InputError(
            f"the filter is {len(text)} characters long; at most {MOST_CHARACTERS} are read"
        )
    parser = _Parser(text)
    condition = parser.whole()
    return RowFilter(frozenset(parser.columns), condition)


# --- reading the text ---


@dataclass(frozen=True)
class _Column:
    name: str


@dataclass(frozen=True)
class _Value:
    value: str | int | float | bool
    text: str


_Part: TypeAlias = "_Column | _Value | Condition"

_TOKEN = re.compile(
    r"""(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
    |(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    |(?P<column>`[^`]+`)
    |(?P<word>[^\W\d]\w*)
    |(?P<sign>==|!=|<=|>=|[<>()\[\],&|~+-])""",
    re.VERBOSE | re.DOTALL,
)
_WORDS = ("and", "or", "not", "in", "is", "True", "False", "None")
_ESCAPED = {"\\": "\\", '"': '"', "'": "'", "n": "\n", "t": "\t"}
_MIRRORED = {"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_COMPARED = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class _Parser:
    """Recursive descent: or, and, not, comparison, operand."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.columns: set[str] = set()
        self.tokens = self._tokens()
        self.at = 0
        self.depth = 0

    def whole(self) -> Condition:
        if not self.tokens:
            self.refuse("it is empty")
        condition = self.condition(self.either())
        if self.at < len(self.tokens):
            self.unexpected()
        return condition

    def either(self) -> _Part:
        return self._joined(self.both, ("or", "|"), np.logical_or)

    def both(self) -> _Part:
        return self._joined(self.negated, ("and", "&"), np.logical_and)

    def _joined(self, part: Callable[[], _Part], words: tuple[str, str], join: np.ufunc) -> _Part:
        first = part()
        if not self.next_is(*words):
            return first
        conditions = [self.condition(first)]
        while self.take(*words):
            conditions.append(self.condition(part()))

        def joined(table: pd.DataFrame) -> Mask:
            rows = conditions[0](table)
            for condition in conditions[1:]:
                rows = join(rows, condition(table))
            return rows

        return joined

    def negated(self) -> _Part:
        if not self.next_is("not", "~"):
            return self.comparison()
        sign = self.advance()
        self.deeper()
        # In Python ~ binds more tightly than ==, and not less tightly: brackets leave no doubt.
        inner = self.condition(self.negated() if sign == "not" else self.operand())
        if sign == "~" and self.next_is("in", "not", "is", *_COMPARED):
            self.refuse("after ~ a comparison needs brackets: ~(age > 40)")
        self.depth -= 1
        return lambda table: ~inner(table)

    def comparison(self) -> _Part:
        left = self.operand()
        if self.next_is("in", "not", "is"):
            return self._membership(left)
        pairs = []
        while self.next_is(*_COMPARED):
            sign = self.advance()
            right = self.operand()
            pairs.append(self._pair(left, sign, right))
            left = right
        if not pairs:
            return left
        return lambda table: np.logical_and.reduce([pair(table) for pair in pairs])

    def _pair(self, left: _Part, sign: str, right: _Part) -> Condition:
        if isinstance(left, _Column) and isinstance(right, _Value):
            return lambda table: _compare(table, left, sign, right)
        if isinstance(left, _Value) and isinstance(right, _Column):
            return lambda table: _compare(table, right, _MIRRORED[sign], left)
        if isinstance(left, _Column) and isinstance(right, _Column):
            return lambda table: _compare_columns(table, left, sign, right)
        if isinstance(left, _Value) and isinstance(right, _Value):
            self.refuse(f"{left.text} {sign} {right.text} compares no column")
        self.refuse("conditions are joined by and, or, not; == and < compare a column with a value")

    def _membership(self, left: _Part) -> Condition:
        if not isinstance(left, _Column):
            self.refuse("a column is needed before in, not in and is")
        if self.take("is"):
            negative = self.take("not")
            if not self.take("None"):
                self.refuse("is asks for an empty cell, is None; write == to compare")
            return lambda table: np.asarray(table[left.name].isna()) != negative
        negative = self.take("not")
        if not self.take("in"):
            self.unexpected()
        values = self._listed()
        return lambda table: _member(table, left, values) != negative

    def _listed(self) -> list[_Value]:
        if not self.next_is("[", "("):
            self.refuse('in needs a list of values: site in ["north", "south"]')
        closing = "]" if self.advance() == "[" else ")"
        values: list[_Value] = []
        while not self.next_is(closing):
            value = self.operand()
            if not isinstance(value, _Value):
                self.refuse("a list holds values: texts in quotes, numbers, True, False")
            values.append(value)
            if not self.take(","):
                break
        if not self.take(closing):
            self.unexpected()
        if not values:
            self.refuse("a list is empty")
        return values

    def operand(self) -> _Part:
        if self.at == len(self.tokens):
            self.unexpected()
        kind, token = self.tokens[self.at]
        if self.take("("):
            self.deeper()
            inner = self.either()
            if not self.take(")"):
                self.unexpected()
            self.depth -= 1
            return inner
        if token in ("-", "+"):
            self.at += 1
            if self.at == len(self.tokens) or self.tokens[self.at][0] != "number":
                self.refuse("it computes nothing; + and - are signs of numbers")
            number = self.advance()
            return _Value(_number(number) * (-1 if token == "-" else 1), token + number)
        if kind == "word" and token in ("True", "False"):
            self.at += 1
            return _Value(token == "True", token)
        if kind == "sign" or (kind == "word" and token in _WORDS):
            self.unexpected()
        self.at += 1
        if kind == "number":
            return _Value(_number(token), token)
        if kind == "text":
            return _Value(self._unescaped(token[1:-1]), token)
        name = token.strip("`")
        self.columns.add(name)
        return _Column(name)

    def condition(self, part: _Part) -> Condition:
        """A part as a condition: a column by itself must hold True and False."""
        if isinstance(part, _Column):
            return lambda table: _compare(table, part, "==", _Value(True, "True"))
        if isinstance(part, _Value):
            self.refuse(f"{part.text} is compared with no column")
        return part

    # --- tokens ---

    def _tokens(self) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        at = 0
        while at < len(self.text):
            if self.text[at].isspace():
                at += 1
                continue
            match = _TOKEN.match(self.text, at)
            if match is None:
                self._refuse_sign(self.text[at])
            found.append((match.lastgroup or "", match.group()))
            at = match.end()
        return found

    def _unescaped(self, text: str) -> str:
        def plain(found: re.Match[str]) -> str:
            if found.group(1) not in _ESCAPED:
                self.refuse(r"in a text \ stands before \, a quote, n or t; write \\ for one \ ")
            return _ESCAPED[found.group(1)]

        return re.sub(r"\\(.)", plain, text, flags=re.DOTALL)

    def next_is(self, *words: str) -> bool:
        if self.at == len(self.tokens):
            return False
        kind, token = self.tokens[self.at]
        return kind in ("word", "sign") and token in words

    def take(self, *words: str) -> bool:
        found = self.next_is(*words)
        self.at += found
        return found

    def advance(self) -> str:
        self.at += 1
        return self.tokens[self.at - 1][1]

    def deeper(self) -> None:
        self.depth += 1
        if self.depth > MOST_DEPTH:
            self.refuse(f"more than {MOST_DEPTH} brackets or not stand inside each other")

    # --- errors ---

    def unexpected(self) -> NoReturn:
        if self.at == len(self.tokens):
            self.refuse("it breaks off")
        kind, token = self.tokens[self.at]
        if token == "None":
            self.refuse("None is no value; write is None for an empty cell")
        for kind, word in self.tokens[max(self.at - 1, 0) : self.at + 1]:
            if kind == "word" and word.lower() in _WORDS and word not in _WORDS:
                self.refuse(f"write {word.lower()} for {word}")
        if token in ("(", "["):
            self.refuse(f"{token} stands where nothing is called or indexed")
        self.refuse(f"{excerpt(token, 40)} is not expected there")

    def _refuse_sign(self, sign: str) -> NoReturn:
        meant = {
            "=": "write == to compare",
            '"': "a quote is not closed",
            "'": "a quote is not closed",
            "`": "a backtick is not closed",
            ".": "nothing is called; a column with a point in its name stands in backticks",
            "!": "write != or not",
        }
        self.refuse(meant.get(sign, f"{sign} has no meaning in it"))

    def refuse(self, what: str) -> NoReturn:
        raise InputError(
            f"the filter {excerpt(self.text, 120)!r} does not work: {what}. A filter compares "
            f'columns with values, such as age > 40 and source == "odir", with and, or, not, in '
            f"and is None"
        )


def _number(text: str) -> int | float:
    whole = int(text) if text.isdigit() else None
    return float(text) if whole is None or whole >= 1 << 63 else whole


# --- comparing columns ---

_NUMBERS, _TEXTS, _TRUTHS, _NOTHING = "numbers", "text", "True and False", "nothing"
_WRITE = {
    _NUMBERS: "write a number, without quotes",
    _TEXTS: "write the value in quotes",
    _TRUTHS: "write True or False",
}


def _kind(values: pd.Series[Any]) -> str:
    if values.isna().all():
        return _NOTHING
    if pd.api.types.is_bool_dtype(values.dropna().infer_objects()):
        return _TRUTHS
    return _NUMBERS if pd.api.types.is_numeric_dtype(values) else _TEXTS


def _kind_of_value(value: object) -> str:
    if isinstance(value, bool):
        return _TRUTHS
    return _TEXTS if isinstance(value, str) else _NUMBERS


def _compare(table: pd.DataFrame, column: _Column, sign: str, constant: _Value) -> Mask:
    values = _fitting(table, column, [constant])
    if isinstance(constant.value, bool) and sign not in ("==", "!="):
        raise InputError(
            f"the filter compares {column.name} with {constant.text} by {sign}; it holds True and "
            f"False, which are compared by == and !="
        )
    return _elementwise(sign, values, constant.value, np.asarray(values.isna()))


def _compare_columns(table: pd.DataFrame, left: _Column, sign: str, right: _Column) -> Mask:
    one, other = table[left.name], table[right.name]
    kinds = _kind(one), _kind(other)
    if kinds[0] != kinds[1]:
        raise InputError(
            f"the filter compares {left.name}, which holds {kinds[0]}, with {right.name}, which "
            f"holds {kinds[1]}; compare columns of one kind"
        )
    empty = np.asarray(one.isna() | other.isna())
    return _elementwise(sign, one, other, empty)


def _elementwise(sign: str, values: pd.Series[Any], other: Any, empty: Mask) -> Mask:
    """Compare cells that are not empty; the others are unequal to everything."""
    rows = np.full(len(values), sign == "!=")
    full = ~empty
    if full.any():
        right = other[full].to_numpy(object) if isinstance(other, pd.Series) else other
        rows[full] = _COMPARED[sign](values[full].to_numpy(object), right)
    return rows


def _member(table: pd.DataFrame, column: _Column, constants: Sequence[_Value]) -> Mask:
    values = _fitting(table, column, constants)
    known = {constant.value for constant in constants}
    return np.fromiter((v in known for v in values.to_numpy(object)), bool, len(values))


def _fitting(table: pd.DataFrame, column: _Column, constants: Sequence[_Value]) -> pd.Series[Any]:
    """The column; InputError where it holds another kind of value than it is compared with.

    Such a comparison is true or false for every row, and so never what is meant.
    """
    values = table[column.name]
    kind = _kind(values)
    if kind == _TEXTS and all(_kind_of_value(c.value) == _NUMBERS for c in constants):
        # Names of patients and files are text, also where each of them is a plain number.
        numbers = plain_numbers(values)
        values, kind = (values, kind) if numbers is None else (numbers, _NUMBERS)
    for constant in constants:
        if isinstance(constant.value, str) and constant.value in EMPTY_WORDS:
            raise InputError(
                f"the filter compares {column.name} with {constant.text}, which is read as an "
                f"empty cell; write `{column.name}` is None, or is not None"
            )
        if kind == _NOTHING:
            raise InputError(
                f"the filter compares {column.name}, which is empty in every row; fill it in or "
                f"leave it out"
            )
        if _kind_of_value(constant.value) != kind:
            shown = values.dropna().iloc[0]
            shown = f'"{excerpt(shown, 40)}"' if kind == _TEXTS else excerpt(shown, 40)
            raise InputError(
                f"the filter compares {column.name} with {excerpt(constant.text, 60)}, but it "
                f"holds {kind}, such as {shown}; {_WRITE[kind]}"
            )
    return values
