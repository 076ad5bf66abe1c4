"""Foreign text is printed on one line and commands no terminal."""

import pytest

from robust.errors import MOST_CHARACTERS, InputError, did_you_mean
from robust.printable import one_line, printable

HOSTILE = "a\x1b]8;;x\x1b[8m\nrobust: gate passed\r\u202eb\x9b1m\udcfc\x00"


def test_no_control_character_is_left():
    line = one_line(HOSTILE)
    assert line == r"a\x1b]8;;x\x1b[8m robust: gate passed \u202eb\x9b1m\udcfc\x00"
    line.encode("utf-8")


def test_line_ends_stay_where_text_has_lines():
    assert printable("a\nb\tc\u00e9\u221e\u4e2d") == "a\nb\tc\u00e9\u221e\u4e2d"


def test_an_input_error_is_one_line():
    assert str(InputError(HOSTILE)) == one_line(HOSTILE)


def test_a_message_keeps_its_beginning_and_its_end_and_is_not_long():
    message = str(InputError("what " + "x" * 10**6 + " remedy"))
    assert message.startswith("what x") and message.endswith("x remedy")
    assert len(message) < MOST_CHARACTERS + 10


@pytest.mark.parametrize("known", [["n" * 10**5] * 3, ["n" * 10**5] * 20])
def test_suggestions_are_short(known):
    assert len(did_you_mean("m" * 10**6, known)) < 1000
