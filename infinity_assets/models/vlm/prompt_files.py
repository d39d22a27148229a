"""Prompts as versioned files of plain text. An old version stays, so that what it gave can be read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final, Literal

Language = Literal["en", "zh"]
_WORD: Final = re.compile(r"\{([a-z]+)\}")
_HAN: Final = re.compile(r"[\u3400-\u9fff]")


@cache
def read_prompt(folder: Path, name: str, version: int, language: Language) -> str:
    """The text of ``<name>-<version>.<language>.txt``."""
    return (folder / f"{name}-{version}.{language}.txt").read_text(encoding="utf-8").strip()


def prompt_name(name: str, version: int, language: Language) -> str:
    """As requests and tables state it."""
    return f"{name}.{language}@{version}"


def fill(prompt: str, words: Mapping[str, str]) -> str:
    """The prompt with each ``{name}`` of ``words`` replaced; what is put in is never looked at again."""
    return _WORD.sub(lambda found: words.get(found[1], found[0]), prompt)


def language_of(text: str) -> Language:
    """Which prompts suit a text: Chinese ones where it has a Chinese character."""
    return "zh" if _HAN.search(text) else "en"
