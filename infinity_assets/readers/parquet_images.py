"""Parquet tables with pictures inside: cauldron and FineVision, LLaVA-OneVision, Data-Juicer.

Columns are taken by name and each value by what it is, so files of one source may differ: a struct or bare
bytes or a path, a list or a single value, a column that is missing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from infinity_assets.readers.base import (
    MARKERS,
    Media,
    ReaderOptions,
    Record,
    RowError,
    Slice,
    Turn,
)
from infinity_assets.readers.chat import media_ref, with_markers
from infinity_assets.readers.files import SourceFiles
from infinity_assets.readers.native_fields import (
    DEFAULT_PROMPT,
    caption_turns,
    llava_turns,
    native_id,
)
from infinity_assets.readers.parquet_rows import ParquetRow, json_value, plan_groups, rows
from infinity_assets.readers.rows import BadRow

#: Data-Juicer's marks in a text (its special tokens).
DJ_IMAGE = "<__dj__image>"
DJ_END_OF_CHUNK = "<|__dj__eoc|>"

#: FineVision rates every turn on four axes: ``<axis>_ratings`` and the least of them, ``<axis>_min``.
_RATING = re.compile(r"(.+)_(ratings|min)")

_TURN_COLUMNS = ("conversations", "texts", "text", "caption")
_IMAGE_COLUMNS = ("image_bytes", "images", "image")


class ParquetImagesOptions(ReaderOptions):
    """Options of ``parquet_images``."""

    prompt: str = DEFAULT_PROMPT  #: the user's turn before a bare caption


class ParquetImages:
    """Turns from ``conversations``, ``texts`` (user and assistant), ``text`` or ``caption``, in this order.

    Pictures from ``image_bytes`` (named by ``images``), ``images`` or ``image``. Columns with FineVision's
    ratings are upstream measures, all others extras.
    """

    name = "parquet_images"
    version = 1
    Options: type[ReaderOptions] = ParquetImagesOptions
    patterns: tuple[str, ...] = ("**/*.parquet",)

    def plan(self, files: SourceFiles, options: ParquetImagesOptions) -> Iterator[Slice]:
        """Whole row groups, several together while they are below 8 MiB and 20,000 rows."""
        for entry in files.records:
            yield from plan_groups(files, entry)

    def read(self, files: SourceFiles, piece: Slice, options: ParquetImagesOptions) -> Iterator[Record]:
        """One record for each row; what cannot be read of a row group is one ``unreadable_file`` record."""
        for row in rows(files, piece):
            yield _record(row, options.prompt)


def _record(row: ParquetRow, prompt: str) -> Record:
    if row.error is not None:
        return Record(row.locator, row.raw, error=row.error)
    values = row.values
    identity = native_id(values.get("id"))
    try:
        media = tuple(_media(values))
        turn_column = next((name for name in _TURN_COLUMNS if values.get(name) is not None), None)
        if turn_column is None:
            raise BadRow("bad_record", f"none of the columns {', '.join(_TURN_COLUMNS)} holds a value")
        turns, rest = _turns(turn_column, json_value(values[turn_column]), media, prompt)
    except BadRow as wrong:
        detail = f"{row.locator.file}, row {row.locator.row}: {wrong}"
        return Record(row.locator, row.raw, identity, error=RowError(wrong.reason, detail))
    used = {"id", turn_column, *_IMAGE_COLUMNS}
    others = {name: json_value(v) for name, v in values.items() if name not in used and v is not None}
    upstream = {name: value for name, value in others.items() if _is_rating(name, values)}
    return Record(
        locator=row.locator,
        raw=row.raw,
        native_id=identity,
        turns=turns,
        media=media,
        extras={name: v for name, v in others.items() if name not in upstream} | rest,
        upstream=upstream,
    )


def _is_rating(name: str, values: Mapping[str, Any]) -> bool:
    match = _RATING.fullmatch(name)
    return match is not None and f"{match[1]}_ratings" in values


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _media(values: Mapping[str, Any]) -> Iterator[Media]:
    column = next((name for name in _IMAGE_COLUMNS if values.get(name) is not None), None)
    if column is None:
        return
    names = _as_list(values.get("images")) if column == "image_bytes" else []
    for i, item in enumerate(_as_list(values[column])):
        name = names[i] if i < len(names) and isinstance(names[i], str) else f"{column}[{i}]"
        if isinstance(item, bytes):
            yield Media("image", name, item)
        elif isinstance(item, str):
            yield Media("image", media_ref(item))
        elif item is None:
            yield Media("image", name, b"")
        elif isinstance(item, dict) and {"bytes", "path"} & item.keys():
            yield _struct_media(item, name)
        else:
            raise BadRow("bad_record", f"{name} is neither bytes, a path nor a struct of both")


def _struct_media(item: Mapping[str, Any], name: str) -> Media:
    data, path = item.get("bytes"), item.get("path")
    if not isinstance(data, bytes | None) or not isinstance(path, str | None):
        raise BadRow("bad_record", f"{name}: bytes or path is of another type")
    if data is None and path:
        return Media("image", media_ref(path))
    return Media("image", path or name, data or b"")


def _turns(
    column: str, value: Any, media: Sequence[Media], prompt: str
) -> tuple[tuple[Turn, ...], dict[str, Any]]:
    """The turns, and what the column holds besides them."""
    if column == "conversations":
        turns, _, extras = llava_turns(value)
        return turns, extras
    if column == "texts":
        return _pairs(value, media)
    if not isinstance(value, str):
        raise BadRow("bad_turns", f"column {column} holds a {type(value).__name__}, not a string")
    return _text_turns(value, len(media), prompt), {}


def _pairs(value: Any, media: Sequence[Media]) -> tuple[tuple[Turn, ...], dict[str, Any]]:
    """Cauldron: each item a user's and an assistant's text; pictures belong before the first of them."""
    items = _as_list(value)
    turns: list[Turn] = []
    rest: list[dict[str, Any]] = []
    for i, item in enumerate(items):
        user, answer = (item.get("user"), item.get("assistant")) if isinstance(item, dict) else (None, None)
        if not isinstance(user, str) or not isinstance(answer, str):
            raise BadRow("bad_turns", f"texts[{i}] lacks a user's or an assistant's text")
        turns += [Turn("user", user), Turn("assistant", answer)]
        rest.append({k: v for k, v in item.items() if k not in ("user", "assistant")})
    if not turns:
        raise BadRow("bad_turns", "texts is empty")
    return tuple(with_markers(turns, media)), {"texts": rest} if any(rest) else {}


def _text_turns(text: str, images: int, prompt: str) -> tuple[Turn, ...]:
    """A caption is the answer to the prompt; a text with pictures between its words stays one turn."""
    marked = text.replace(DJ_IMAGE, MARKERS["image"]).replace(DJ_END_OF_CHUNK, "").strip()
    caption = marked
    while caption.startswith(MARKERS["image"]):
        caption = caption.removeprefix(MARKERS["image"]).lstrip()
    if not caption:
        raise BadRow("bad_turns", "the text is empty")
    if images == 0 or MARKERS["image"] in caption:
        return (Turn("assistant", marked),)
    leading = (len(marked) - len(caption)) and marked.count(MARKERS["image"])
    return caption_turns(caption, prompt, leading or images)
