"""Reading the documentation: its fenced blocks, its tables, what it shows as a command's output."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "CONTRIBUTING.md")

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    kind: str  #: the word behind the fence
    line: int  #: of its first line, from 1
    text: str


@dataclass(frozen=True)
class Command:
    """A line that a reader types, and what the page shows of its output."""

    line: int
    text: str
    output: tuple[str, ...]


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text("utf-8")
    for match in _FENCE.finditer(text):
        yield Block(match[1], text.count("\n", 0, match.start(2)) + 1, match[2])


def commands(block: Block) -> list[Command]:
    found: list[Command] = []
    for number, line in enumerate(block.text.splitlines(), block.line):
        if line.startswith("$ "):
            found.append(Command(number, line[2:], ()))
        else:
            last = found.pop()  # output before any command is a mistake of the page
            found.append(Command(last.line, last.text, (*last.output, line)))
    return found


def missing_line(shown: Sequence[str], said: str) -> str | None:
    """The first shown line that the output lacks, in order; ``...`` is anything, widths may differ."""
    lines = iter([" ".join(line.split()) for line in said.splitlines()])
    for wanted in shown:
        parts = " ".join(wanted.split()).split("...")
        pattern = re.compile(".*".join(map(re.escape, parts)))
        if wanted.strip() != "..." and not any(pattern.fullmatch(line) for line in lines):
            return wanted
    return None


def table(page: str, heading: str, rank: int = 0) -> list[list[str]]:
    """The cells of a table below a heading, without its head."""
    text = (ROOT / page).read_text("utf-8")
    section = re.split(rf"^#+ {re.escape(heading)}$", text, flags=re.MULTILINE)[1]
    section = re.split(r"^##", section, flags=re.MULTILINE)[0]
    tables = re.findall(r"(?:^\|.*\n)+", section, re.MULTILINE)
    rows = [[c.strip() for c in line.strip("|").split("|")] for line in tables[rank].splitlines()]
    return rows[2:]


def code(cell: str) -> list[str]:
    """What stands in backquotes."""
    return re.findall(r"`([^`]+)`", cell)
