"""Readers, one module for each native format. A new format is one module and one line here."""

from __future__ import annotations

from typing import Any

from infinity_assets.readers.alpaca import AlpacaReader
from infinity_assets.readers.base import Reader, ReaderOptions
from infinity_assets.readers.captions import CaptionReader
from infinity_assets.readers.llava import LlavaReader
from infinity_assets.readers.mapping import MappingReader
from infinity_assets.readers.messages import MessagesReader
from infinity_assets.readers.sharegpt import ShareGptReader

READERS: dict[str, Reader] = {
    "alpaca": AlpacaReader(),
    "captions": CaptionReader(),
    "llava": LlavaReader(),
    "mapping": MappingReader(),
    "messages": MessagesReader(),
    "sharegpt": ShareGptReader(),
}


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
