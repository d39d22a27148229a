"""Readers, one module for each native format. A new format is one module and one line here."""

from __future__ import annotations

from typing import Any

from infinity_assets.readers.alpaca import AlpacaReader
from infinity_assets.readers.base import Reader, ReaderOptions
from infinity_assets.readers.captions import CaptionReader
from infinity_assets.readers.coco import Coco
from infinity_assets.readers.image_folder import ImageFolder
from infinity_assets.readers.infinity_mm import InfinityMM
from infinity_assets.readers.llava import LlavaReader
from infinity_assets.readers.mapping import MappingReader
from infinity_assets.readers.messages import MessagesReader
from infinity_assets.readers.parquet_images import ParquetImages
from infinity_assets.readers.sharegpt import ShareGptReader
from infinity_assets.readers.vqa import Vqa
from infinity_assets.readers.webdataset import WebDataset

READERS: dict[str, Reader] = {
    "alpaca": AlpacaReader(),
    "captions": CaptionReader(),
    "llava": LlavaReader(),
    "mapping": MappingReader(),
    "messages": MessagesReader(),
    "sharegpt": ShareGptReader(),
    # containers and joined files
    "coco": Coco(),
    "image_folder": ImageFolder(),
    "infinity_mm": InfinityMM(),
    "parquet_images": ParquetImages(),
    "vqa": Vqa(),
    "webdataset": WebDataset(),
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
