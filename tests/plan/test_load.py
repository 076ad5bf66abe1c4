"""Plans with values that no plan has: refused in one line, at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from robust.errors import InputError
from robust.plan import load_plan, make_plan


@pytest.mark.parametrize(
    "audit",
    [
        {"eps": ["9" * 400]},
        {"eps": ["1e999999999"]},
        {"eps": ["1/1e999999999"]},
        {"eps": ["\u0663"]},
        {"eps": [10**5000]},
        {"seed": 10**5000},
        {"seed": float("nan")},
        {"eps": ["1/255"] * 20_000},
        {"\x1b[2J\nx": 1},
    ],
)
def test_odd_values(audit: dict[str, Any]) -> None:
    with pytest.raises(InputError) as refused:
        make_plan({"audit": audit})
    assert len(str(refused.value)) < 1000 and "\x1b" not in str(refused.value)


@pytest.mark.parametrize(
    "content",
    [
        b"a = " + b"[" * 5000,
        b"a = " + b"[" * 50 + b"]" * 50,
        b"a = " + b"9" * 5000,
        "title = 'x'".encode("utf-16"),
        b"title = '\0'",
    ],
)
def test_odd_files(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "plan.toml"
    path.write_bytes(content)
    with pytest.raises(InputError):
        load_plan(path)


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    path.write_text("title = 'x'", encoding="utf-8-sig")
    assert load_plan(path).title == "x"
