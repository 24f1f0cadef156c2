"""Finds what a reader could copy: the commands and the Python of README, docs and `--help`."""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from segtune.cli.commands import COMMANDS

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("README.md", *sorted(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")))
SHELL = re.compile(r"(segtune|python3?|pip|make|git|\.venv/bin/\S+) ")
"""How a line that is typed in a shell begins."""


@dataclass(frozen=True)
class Line:
    """One command of a page, with continued lines joined and without its comment."""

    page: str
    text: str

    @property
    def words(self) -> list[str]:
        """The words as a shell would hand them over."""
        return shlex.split(self.text)


def blocks(page: str) -> Iterator[str]:
    """Yields the code blocks of a page, fenced or indented by four spaces, without indentation."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for fenced in re.findall(r"^```\w*\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL):
        yield textwrap.dedent(fenced)
    text = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    for indented in re.findall(r"(?:^\n|\A)((?:^(?: {4}.*)?\n)+)", text, flags=re.MULTILINE):
        if indented.strip():
            yield textwrap.dedent(indented).strip("\n") + "\n"


def lines(page: str) -> list[Line]:
    """Returns the shell commands of a page, in order; a loop gives the commands inside of it."""
    found = []
    for block in blocks(page):
        joined = re.sub(r"\s*\\\n\s*", " ", block)
        typed = [re.sub(r"\s+#.*$", "", line).strip() for line in joined.splitlines()]
        found += [Line(page, line) for line in typed if SHELL.match(line)]
    return found


def python_blocks(page: str) -> list[str]:
    """Returns the blocks of Python code of a page, in order."""
    return [block for block in blocks(page) if re.match(r"(import|from) \w", block)]


def examples(command: str) -> list[Line]:
    """Returns the examples that `segtune COMMAND --help` shows."""
    return [Line(f"{command} --help", text) for text in COMMANDS[command].examples]
