"""LLaVA JSON and JSONL: ``{id, image, conversations: [{from, value}]}``; also Infinity-MM's own rows.

``image`` and ``video`` hold a path, a list of paths, or nothing. Markers stay where the text has them; one
that is missing is not added, because LLaVA requires them (a later stage judges that).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infinity_assets.readers.base import ReaderOptions, Turn
from infinity_assets.readers.chat import MediaOptions, conversation, row_media, without
from infinity_assets.readers.rows import BadRow, Parts, RowReader, kind

#: Measures that Infinity-MM ships with its rows (arXiv 2410.18558, data card).
UPSTREAM_FIELDS = ("ram++_tags", "ram++_tags_score", "phash", "qw2vl_loss")


class LlavaOptions(MediaOptions):
    """Where image and video paths start from."""


class LlavaReader(RowReader[LlavaOptions]):
    """Rows of LLaVA JSON; ``phash`` is unsigned and may exceed 2^63."""

    name = "llava"
    Options: type[ReaderOptions] = LlavaOptions

    def convert(self, row: Mapping[str, Any], options: LlavaOptions) -> Parts:
        """See :class:`~infinity_assets.readers.rows.RowReader`."""
        if "conversations" not in row:
            raise BadRow("bad_record", "no 'conversations'; is this LLaVA JSON?")
        media, used = row_media(row, options)
        turns, part_media, extras = conversation(row["conversations"], "from", "value", options)
        used |= {self.id_field(options), "conversations", *UPSTREAM_FIELDS}
        prompt = row.get("system_prompt")
        if prompt:
            if not isinstance(prompt, str):
                raise BadRow("bad_turns", f"'system_prompt' is {kind(prompt)}, not a text")
            turns.insert(0, Turn("system", prompt))
            used.add("system_prompt")
        return Parts(
            turns=turns,
            media=part_media + media,
            extras=extras | without(row, used),
            upstream={name: row[name] for name in UPSTREAM_FIELDS if name in row},
        )
