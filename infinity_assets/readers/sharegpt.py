"""ShareGPT as LLaMA-Factory writes it: ``{conversations: [{from, value}], system, tools, images}``.

Roles are human, gpt, function_call (an assistant turn), observation (a tool turn) and system. Markers stay
where the text has them; a missing one is not added.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infinity_assets.readers.base import ReaderOptions, Turn
from infinity_assets.readers.chat import MediaOptions, conversation, row_media, without
from infinity_assets.readers.rows import BadRow, Parts, RowReader


class ShareGptOptions(MediaOptions):
    """Where media paths start from."""


class ShareGptReader(RowReader[ShareGptOptions]):
    """Rows of ShareGPT JSON; ``tools`` stays in extras."""

    name = "sharegpt"
    Options: type[ReaderOptions] = ShareGptOptions

    def convert(self, row: Mapping[str, Any], options: ShareGptOptions) -> Parts:
        """See :class:`~infinity_assets.readers.rows.RowReader`."""
        if "conversations" not in row:
            raise BadRow("bad_record", "no 'conversations'; is this ShareGPT?")
        media, used = row_media(row, options)
        turns, part_media, extras = conversation(row["conversations"], "from", "value", options)
        used |= {self.id_field(options), "conversations"}
        if isinstance(row.get("system"), str) and row["system"]:
            turns.insert(0, Turn("system", row["system"]))
            used.add("system")
        return Parts(turns, part_media + media, extras=extras | without(row, used))
