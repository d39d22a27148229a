"""Templates of the pages. Everything is escaped; characters that could act are made visible."""

from __future__ import annotations

import json
import unicodedata
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

FOLDER = Path(__file__).parent
SHOWN_CHARACTERS = 20_000  #: of one text; a page stays below a few megabytes


def printable(value: object) -> str:
    """A text as it may be shown: control, bidirectional and invisible characters become visible signs.

    An escape sequence or a right-to-left override in a sample must be seen, not obeyed. Newlines, tabs stay.
    """
    text = str(value)
    cut = text[:SHOWN_CHARACTERS]
    shown = "".join(_visible(c) for c in cut)
    return shown if len(text) == len(cut) else f"{shown} … ({len(text) - len(cut):,} more characters)"


def pretty_json(value: str | None) -> str:
    """Canonical JSON, indented; the text itself where it does not parse."""
    try:
        return json.dumps(json.loads(value or "null"), indent=2, ensure_ascii=False)
    except ValueError:
        return value or ""


def render(name: str, **values: Any) -> str:
    """The page ``templates/<name>``."""
    return _environment().get_template(name).render(**values)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(printable=printable, pretty_json=pretty_json)
    return environment


def _visible(c: str) -> str:
    if c in "\n\t" or c.isprintable():
        return c
    code = ord(c)
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\u2421"
    if unicodedata.category(c) == "Zs" or c == "\u200d":  # wide spaces and the joiner of emoji are harmless
        return c
    return f"\u27e8U+{code:04X}\u27e9"
