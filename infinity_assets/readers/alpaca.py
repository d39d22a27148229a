"""Alpaca: ``{instruction, input, output, history, system}``; ``images`` and the like as LLaMA-Factory has.

The user turn is the instruction, and the input below it where there is one. ``history`` is a list of
[question, answer] pairs that come before. Media without any marker get theirs at the first user turn.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infinity_assets.readers.base import ReaderOptions, Turn
from infinity_assets.readers.chat import MediaOptions, row_media, with_markers, without
from infinity_assets.readers.rows import BadRow, Parts, RowReader, kind


class AlpacaOptions(MediaOptions):
    """Where media paths start from."""


class AlpacaReader(RowReader[AlpacaOptions]):
    """Rows of Alpaca JSON."""

    name = "alpaca"
    Options: type[ReaderOptions] = AlpacaOptions

    def convert(self, row: Mapping[str, Any], options: AlpacaOptions) -> Parts:
        """See :class:`~infinity_assets.readers.rows.RowReader`."""
        missing = [name for name in ("instruction", "output") if name not in row]
        if missing:
            raise BadRow("bad_record", f"no {missing[0]!r}; is this Alpaca?")
        turns = [Turn("system", text)] if (text := _text(row, "system")) else []
        history = row.get("history") or []
        for pair in history if isinstance(history, list) else [history]:
            if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(t, str) for t in pair):
                raise BadRow("bad_turns", "'history' is not a list of [question, answer]")
            turns += [Turn("user", pair[0]), Turn("assistant", pair[1])]
        question = "\n".join(t for t in (_text(row, "instruction"), _text(row, "input")) if t)
        turns += [Turn("user", question), Turn("assistant", _text(row, "output"))]
        media, used = row_media(row, options)
        used |= {self.id_field(options), "instruction", "input", "output", "history", "system"}
        return Parts(with_markers(turns, media), media, extras=without(row, used))


def _text(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    if value is not None and not isinstance(value, str):
        raise BadRow("bad_turns", f"{name!r} is {kind(value)}, not a text")
    return value or ""
