"""Captions or alt texts: rows of JSON, JSONL or CSV with a picture and its text.

A row becomes a question (``<image>`` and the prompt) and the caption as its answer, and a caption annotation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infinity_assets.readers.base import MARKERS, Annotation, ReaderOptions, Turn
from infinity_assets.readers.chat import MediaOptions, media_list, without
from infinity_assets.readers.rows import BadRow, Parts, RowReader, kind


class CaptionOptions(MediaOptions):
    """Which fields hold what."""

    image_field: str = "image"
    text_field: str = "text"
    id_field: str = "id"
    prompt: str = "Describe the image."
    columns: tuple[str, ...] = ()  #: names of CSV columns, where the file has no header row


class CaptionReader(RowReader[CaptionOptions]):
    """Rows of picture and text."""

    name = "captions"
    Options: type[ReaderOptions] = CaptionOptions
    patterns: tuple[str, ...] = ("**/*.json", "**/*.jsonl", "**/*.csv", "**/*.tsv")

    def id_field(self, options: CaptionOptions) -> str:
        """See :class:`~infinity_assets.readers.rows.RowReader`."""
        return options.id_field

    def columns(self, options: CaptionOptions) -> tuple[str, ...]:
        """See :class:`~infinity_assets.readers.rows.RowReader`."""
        return options.columns

    def convert(self, row: Mapping[str, Any], options: CaptionOptions) -> Parts:
        """See :class:`~infinity_assets.readers.rows.RowReader`."""
        media = media_list(row.get(options.image_field), "image", options, options.image_field)
        text = row.get(options.text_field)
        if not media:
            raise BadRow(
                "bad_record", f"no picture in {options.image_field!r}; check the option 'image_field'"
            )
        if not isinstance(text, str) or not text.strip():
            found = "empty" if isinstance(text, str) else kind(text)
            raise BadRow("bad_record", f"the caption {options.text_field!r} is {found}; check 'text_field'")
        markers = f"{MARKERS['image']}\n" * len(media)
        return Parts(
            [Turn("user", markers + options.prompt), Turn("assistant", text)],
            media,
            [Annotation("caption", text=text, image=0 if len(media) == 1 else None)],
            without(row, (options.image_field, options.text_field, options.id_field)),
        )
