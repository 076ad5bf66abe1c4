"""The code blocks of README, CONTRIBUTING and the site, with what a comment before each says.

`<!-- example: run -->` before a block: it is executed with the others; `slow`: by `make slow`;
`attack`, `detector`, `pytest`, `hook`: a test of its own. Without a comment a block is only checked.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
_FIRST = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "docs" / "start.md")
PAGES = (
    *_FIRST,
    *(
        page
        for page in sorted((ROOT / "docs").rglob("*.md"))
        if "notes" not in page.parts and page not in _FIRST
    ),
)
"""In the order of reading: what an example leaves, those on later pages use."""
_BLOCK = re.compile(r"(?:<!-- example: (\w+) -->\n)?```(\w+)\n(.*?)```", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: str
    mark: str
    """What the comment before it says; empty where there is none."""
    language: str
    text: str

    def __str__(self) -> str:
        """For the names of tests."""
        return f"{self.page}: {self.text.strip().splitlines()[0]}"

    def commands(self) -> list[str]:
        """The `robust` commands of a console block, lines that go on joined."""
        joined = self.text.replace("\\\n", " ")
        return re.findall(r"^\$ (robust .*)$", joined, flags=re.MULTILINE)

    def arguments(self) -> list[list[str]]:
        """The same as lists of arguments, `robust` left out."""
        return [shlex.split(command)[1:] for command in self.commands()]


def blocks(language: str, *marks: str) -> list[Block]:
    """Blocks in that language, with one of these marks if any are given, page by page."""
    return [
        block
        for page in PAGES
        for mark, kind, text in _BLOCK.findall(page.read_text(encoding="utf-8"))
        if kind == language and (not marks or mark in marks)
        for block in [Block(page.relative_to(ROOT).as_posix(), mark, kind, text)]
    ]
