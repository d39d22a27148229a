"""Readers, one module for each native format. A new format is one module and one line here."""

from __future__ import annotations

from typing import Any

from infinity_assets.readers.base import Reader, ReaderOptions

READERS: dict[str, Reader] = {}


def parse_options(reader: dict[str, Any]) -> tuple[Reader, ReaderOptions]:
    """The reader that ``format`` names, and its validated options.

    Raises:
        ValueError: if the format is unknown or an option is wrong; the message lists what is known.
    """
    options = dict(reader)
    name = options.pop("format", None)
    if name not in READERS:
        raise ValueError(f"unknown reader format {name!r}; known: {', '.join(sorted(READERS))}")
    chosen = READERS[name]
    return chosen, chosen.Options.model_validate(options)
