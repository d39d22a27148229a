"""Messages as chat APIs write them: ``{messages: [{role, content}], images, videos, audios}``.

``content`` is a text, whose markers stay as they are (a missing one is not added), or a list of typed parts
(``text``, ``image``, ``image_url``, ``video``, ``audio``, ...); each medium becomes a marker at its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infinity_assets.readers.base import ReaderOptions
from infinity_assets.readers.chat import MediaOptions, conversation, row_media, without
from infinity_assets.readers.rows import BadRow, Parts, RowReader


class MessagesOptions(MediaOptions):
    """Where media paths start from."""


class MessagesReader(RowReader[MessagesOptions]):
    """Rows of messages; media of typed parts come before those of the row's lists."""

    name = "messages"
    Options: type[ReaderOptions] = MessagesOptions

    def convert(self, row: Mapping[str, Any], options: MessagesOptions) -> Parts:
        """See :class:`~infinity_assets.readers.rows.RowReader`."""
        if "messages" not in row:
            raise BadRow("bad_record", "no 'messages'; is this a messages file?")
        media, used = row_media(row, options)
        turns, part_media, extras = conversation(row["messages"], "role", "content", options)
        used |= {self.id_field(options), "messages"}
        return Parts(turns, part_media + media, extras=extras | without(row, used))
