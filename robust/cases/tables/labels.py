"""From the label columns of a table to classes: one a row, one-hot, or one finding of several."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from robust.cases.case import MOST_CLASSES
from robust.cases.cell_types import EMPTY_WORDS, is_blank
from robust.cases.tables.label_cells import check_single, numbers_of, values_of
from robust.errors import InputError, did_you_mean, excerpt

Policy = Literal["positive", "negative", "exclude"]
_POLICIES = '"positive", "negative" or "exclude"'
LEFT_OUT = -1
"""Label of a row that a policy leaves out."""


@dataclass(frozen=True)
class LabelRules:
    """How label cells are read; the fields are those of `[data]`."""

    separator: str | None = None
    positive: tuple[str, ...] = ()
    uncertain: Policy | None = None
    blank: Policy | None = None
    classes: tuple[str, ...] | None = None

    def policy(self, policy: Policy | None) -> int:
        """The label that a policy gives."""
        return {"positive": 1, "negative": 0, "exclude": LEFT_OUT}[policy or "exclude"]


@dataclass(frozen=True)
class LabelColumn:
    """The label cells of all images, and what messages call them."""

    table: str
    name: str
    cells: Sequence[str]
    keys: Sequence[str]
    """What each row calls its image."""
    names: Sequence[str] | None = None
    """The class's name in each row, where the table has them beside the number."""

    @property
    def where(self) -> str:
        """Table and column."""
        return f"{self.table}: {excerpt(self.name)}"


@dataclass(frozen=True)
class Labels:
    """Classes, and the number of a class, or `LEFT_OUT`, for each row."""

    classes: tuple[str, ...]
    values: list[int]
    finding: bool
    """Whether the classes are the absence and the presence of a finding."""
    note: str = ""
    """What the report says of the values that were named as the finding."""


def read_labels(column: LabelColumn, rules: LabelRules) -> Labels:
    """The labels in one column; InputError where a cell has no meaning without a policy."""
    if rules.separator is not None:
        return _one_of_several(column, rules)
    numbers = numbers_of(column.cells)
    return _words(column, rules) if numbers is None else _numbers(column, rules, numbers)


def read_columns(columns: Sequence[LabelColumn], rules: LabelRules) -> Labels:
    """The labels in several columns of 1 and 0: a class each, or the findings named positive.

    InputError where a row has not exactly one class and no finding is named.
    """
    names = [column.name for column in columns]
    table = columns[0].table
    if rules.separator is not None:
        raise InputError("[data] separator is for one label column; several were named")
    for name in rules.positive:
        if name not in names:
            raise InputError(
                f"{table}: positive {excerpt(name)!r} is none of the label columns; "
                f"{did_you_mean(name, names)}"
            )
    named = [column for column in columns if column.name in rules.positive] or list(columns)
    plain = LabelRules(uncertain=rules.uncertain, blank=rules.blank)
    values = [_one_finding(column, plain) for column in named]
    if rules.positive:
        found = [_any(row) for row in zip(*values)]
        return Labels(_finding_names(rules), found, True)
    counts = [sum(value == 1 for value in row) for row in zip(*values)]
    left_out = [LEFT_OUT in row for row in zip(*values)]
    wrong = sum(count != 1 and not out for count, out in zip(counts, left_out))
    if wrong:
        many = sum(count > 1 for count in counts)
        raise InputError(
            f"{table}: of {len(counts)} rows {many} have several of the {len(names)} label columns "
            f"and {wrong - many} have none; name the finding to audit: positive = "
            f'"{excerpt(names[0])}"'
        )
    classes = tuple(rules.classes or names)
    if len(classes) != len(names):
        raise InputError(
            f"{table}: {len(names)} label columns have {len(classes)} classes; name one for each"
        )
    return Labels(
        classes,
        [LEFT_OUT if out else row.index(1) for row, out in zip(zip(*values), left_out)],
        False,
    )


def _one_finding(column: LabelColumn, rules: LabelRules) -> list[int]:
    """1 and 0 of one of several label columns, and what policies make of -1 and blank."""
    numbers = numbers_of(column.cells)
    if numbers is None and all(cell in EMPTY_WORDS for cell in column.cells):
        numbers = [None] * len(column.cells)
    if numbers is None or not _sure(numbers) <= {0, 1}:
        odd = next(cell for cell in column.cells if not _says_presence(cell))
        raise InputError(
            f"{column.where} holds {excerpt(odd, 40)!r}; of several label columns each holds 1, 0, "
            f"-1 or nothing"
        )
    _require_policies(column, rules, numbers)
    return _presence(rules, numbers, {1.0})


def _says_presence(cell: str) -> bool:
    numbers = numbers_of([cell])
    return cell in EMPTY_WORDS if numbers is None else numbers[0] in (0, 1, -1)


def _sure(numbers: Sequence[float | None]) -> set[float]:
    return {number for number in numbers if number is not None and number != -1}


def _any(values: Sequence[int]) -> int:
    """Presence wins; else an unsure one leaves the row out."""
    return 1 if 1 in values else LEFT_OUT if LEFT_OUT in values else 0


def _numbers(column: LabelColumn, rules: LabelRules, numbers: Sequence[float | None]) -> Labels:
    """Classes by number, or a finding: 1, 0, -1 for uncertain, blank for not mentioned."""
    if "-1" in rules.positive:
        numbers = [-2.0 if number == -1 else number for number in numbers]  # no longer uncertain
    _require_policies(column, rules, numbers)
    if rules.positive:
        wanted = _positive_numbers(column, rules)
        known = {f"{n:g}" for n in numbers if n is not None and n != -1}
        note = _absent(column, [f"{number:g}" for number in wanted], known)
        values = _presence(rules, numbers, {*wanted})
        return Labels(_finding_names(rules, column.name), values, True, note)
    if (rules.uncertain or rules.blank) and _sure(numbers) <= {0, 1}:
        names = tuple(rules.classes or (f"no {column.name}", column.name))
        if len(names) != 2:
            raise InputError(f"{column.where} is one finding: name two classes, absence first")
        return Labels(names, _presence(rules, numbers, {1.0}), True)
    kept = [number is not None and number != -1 for number in numbers]
    if not all(kept):
        _only_exclude(column, rules)
    return _class_numbers(column, rules, numbers, kept)


def _require_policies(
    column: LabelColumn, rules: LabelRules, numbers: Sequence[float | None]
) -> None:
    """InputError where -1 or a blank stands in a cell, and the plan does not say what it means."""
    unsure, blanks = numbers.count(-1), numbers.count(None)
    if not unsure or rules.uncertain is not None:
        _require_blank_policy(column, rules, [number is None for number in numbers])
        return
    both = blanks and rules.blank is None
    raise InputError(
        f"{column.where} -1 is out of range, in {unsure} of {len(numbers)} rows"
        f"{f', and {blanks} are empty' if both else ''}; labels are whole numbers from 0. Where -1 "
        f"means uncertain, say what it counts as: uncertain = {_POLICIES}"
        f"{'; and of empty cells blank, in the same words' if both else ''}"
    )


def _presence(rules: LabelRules, numbers: Sequence[float | None], wanted: set[float]) -> list[int]:
    unsure, blank = rules.policy(rules.uncertain), rules.policy(rules.blank)
    return [blank if n is None else unsure if n == -1 else int(n in wanted) for n in numbers]


def _positive_numbers(column: LabelColumn, rules: LabelRules) -> list[float]:
    """The numbers that are the finding, -2 for -1; InputError for a word."""
    found = []
    for text in rules.positive:
        (number,) = numbers_of([text]) or [None]
        if number is None:
            raise InputError(f"{column.where} holds numbers; positive {excerpt(text)!r} is none")
        found.append(-2.0 if number == -1 else number)
    return found


def _words(column: LabelColumn, rules: LabelRules) -> Labels:
    """Classes by word, or the finding that some of the words stand for."""
    check_single(column.cells, {*rules.positive, *(rules.classes or ())}, column.where)
    blank = [is_blank(cell) for cell in column.cells]
    _require_blank_policy(column, rules, blank)
    if not rules.positive:
        if any(blank):
            _only_exclude(column, rules)
        return _class_words(column, rules, [not out for out in blank])
    note = _absent(column, rules.positive, set(column.cells))
    empty = rules.policy(rules.blank)
    values = [
        empty if out else int(cell in rules.positive) for cell, out in zip(column.cells, blank)
    ]
    return Labels(_finding_names(rules), values, True, note)


def _absent(column: LabelColumn, wanted: Sequence[str], known: Collection[str]) -> str:
    """What to say of values of the finding that are in no row; InputError where none is."""
    absent = [text for text in wanted if text not in known]
    if len(absent) == len(wanted):
        raise InputError(
            f"{column.where} is {excerpt(wanted[0])!r} in no row; "
            f"{did_you_mean(wanted[0], sorted(known), limit=20)}"
        )
    return f"no row has the {column.name} {' or '.join(absent)}" if absent else ""


def _one_of_several(column: LabelColumn, rules: LabelRules) -> Labels:
    """One finding among the values of each cell; or classes where each cell holds one."""
    values = values_of(column.cells, rules.separator or "", column.where)
    known = sorted({value for several in values for value in several})
    blank = [not several for several in values]
    _require_blank_policy(column, rules, blank, several=True)
    if rules.positive:
        note = _absent(column, rules.positive, {*known})
        wanted, empty = set(rules.positive), rules.policy(rules.blank)
        found = [int(bool(wanted.intersection(v))) if v else empty for v in values]
        return Labels(_finding_names(rules), found, True, note)
    many = sum(len(several) > 1 for several in values)
    if many:
        raise InputError(
            f"{column.where} holds several values in {many} of {len(values)} rows; name the "
            f"finding to audit: positive; {did_you_mean('', known, limit=20)}"
        )
    words = LabelColumn(column.table, column.name, [v[0] if v else "" for v in values], column.keys)
    _only_exclude(column, rules)
    return _class_words(words, rules, [not out for out in blank])


def _require_blank_policy(
    column: LabelColumn, rules: LabelRules, blank: Sequence[bool], several: bool = False
) -> None:
    count = sum(blank)
    if count and rules.blank is None:
        first = column.keys[list(blank).index(True)]
        instead = "" if several else ", exclude it with where,"
        raise InputError(
            f"{column.table}: {excerpt(first, 200) or 'a row'} has no {excerpt(column.name)}, as "
            f"{count} of {len(blank)} rows; fill it in{instead} or say what an empty label counts "
            f"as: blank = {_POLICIES}"
        )


def _only_exclude(column: LabelColumn, rules: LabelRules) -> None:
    """InputError where a policy would turn a row into one of two classes, and there are others."""
    for name, policy in (("blank", rules.blank), ("uncertain", rules.uncertain)):
        if policy not in (None, "exclude"):
            raise InputError(
                f'[data] {name} = "{policy}" needs a finding, and {column.name} holds classes; '
                f'name the finding with positive, or set {name} = "exclude"'
            )


def _finding_names(rules: LabelRules, column: str = "") -> tuple[str, ...]:
    """Absence and presence, as the plan calls them, else by the values and a column of numbers."""
    if rules.classes is not None:
        if len(rules.classes) != 2:
            raise InputError(
                "[data] positive makes two classes, absence and presence; name two classes"
            )
        return rules.classes
    presence = f"{column} {' or '.join(rules.positive)}".strip()
    return f"{'no' if len(rules.positive) == 1 else 'not'} {presence}", presence


def _class_words(column: LabelColumn, rules: LabelRules, kept: Sequence[bool]) -> Labels:
    present = {cell for cell, keep in zip(column.cells, kept) if keep}
    if len(present) > MOST_CLASSES:
        raise InputError(
            f"{column.where} has {len(present)} values, too many for classes; choose another label "
            f"column"
        )
    names = rules.classes if rules.classes is not None else tuple(sorted(present))
    for text in sorted(present):
        if text not in names:
            raise InputError(
                f"{column.where} {text!r} is not among the classes; {did_you_mean(text, names)}"
            )
    places = {name: place for place, name in reversed([*enumerate(names)])}
    return Labels(
        names, [places[c] if keep else LEFT_OUT for c, keep in zip(column.cells, kept)], False
    )


def _class_numbers(
    column: LabelColumn,
    rules: LabelRules,
    numbers: Sequence[float | None],
    kept: Sequence[bool],
) -> Labels:
    values = [n for n, keep in zip(numbers, kept) if keep and n is not None]
    for number in values:
        if not 0 <= number < MOST_CLASSES or number != round(number):
            raise InputError(
                f"{column.where} {_shown(number)} is out of range; labels are whole numbers from 0 "
                f"that number the classes; choose another label column or fix the row"
            )
    if not values:
        raise InputError(f"{column.where} is empty in every row; choose another label column")
    highest = int(max(values))
    classes = rules.classes
    if classes is None:
        classes = _number_names(column, numbers, kept, highest)
    if highest >= len(classes):
        raise InputError(
            f"{column.where} {highest} is out of range for the {len(classes)} classes "
            f"{', '.join(classes)}; name more classes or filter the rows"
        )
    whole = [int(n) if keep and n is not None else LEFT_OUT for n, keep in zip(numbers, kept)]
    return Labels(tuple(classes), whole, False)


def _shown(number: float) -> str:
    return (
        f"{number:.0f}"
        if number == number and abs(number) < 1e15 and number == round(number)
        else str(number)
    )


def _number_names(
    column: LabelColumn, numbers: Sequence[float | None], kept: Sequence[bool], highest: int
) -> tuple[str, ...]:
    names = [str(i) for i in range(highest + 1)]
    if column.names is None:
        return tuple(names)
    pairs = zip(numbers, column.names, kept, strict=True)
    for number, name in dict.fromkeys(
        (int(n), t) for n, t, keep in pairs if keep and n is not None
    ):
        if names[number] not in (str(number), name):
            raise InputError(
                f"{column.where} {number} is called {names[number]!r} and {name!r} in "
                f"{column.name}_name; use one name, or set classes"
            )
        names[number] = name
    return tuple(names)
