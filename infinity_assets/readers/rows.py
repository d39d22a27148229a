"""What all readers of row files share: slices and rows from JSON or CSV, one conversion for each format."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from infinity_assets.errors import InfinityError
from infinity_assets.readers.base import Annotation, Media, ReaderOptions, Record, RowError, Slice, Turn
from infinity_assets.readers.csv_rows import is_csv, plan_csv, read_csv
from infinity_assets.readers.files import SourceFiles
from infinity_assets.readers.json_rows import Row, plan_json, read_json

OptionsT = TypeVar("OptionsT", bound=ReaderOptions)


class BadRow(InfinityError):
    """A row cannot be converted; ``reason`` is one of the reader's reason codes."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(slots=True)
class Parts:
    """What a format finds in one row; the fields are those of a record."""

    turns: list[Turn] = field(default_factory=list)
    media: list[Media] = field(default_factory=list)
    annotations: list[Annotation] = field(default_factory=list)
    extras: dict[str, Any] = field(default_factory=dict)
    upstream: dict[str, Any] = field(default_factory=dict)


class RowReader(ABC, Generic[OptionsT]):
    """Base of the readers whose record is one row; a format gives :meth:`convert`."""

    name: str
    version = 1
    Options: type[ReaderOptions]
    patterns: tuple[str, ...] = ("**/*.json", "**/*.jsonl")

    @abstractmethod
    def convert(self, row: Mapping[str, Any], options: OptionsT) -> Parts:
        """The row's parts.

        Raises:
            BadRow: if the row lacks what the format requires.
        """

    def id_field(self, options: OptionsT) -> str:
        """The field with the row's own id."""
        return "id"

    def rows_path(self, options: OptionsT) -> tuple[str, ...]:
        """The keys that lead to the list of rows, where a file is an object."""
        return ()

    def columns(self, options: OptionsT) -> tuple[str, ...]:
        """Names of CSV columns, where the file has no header row."""
        return ()

    def plan(self, files: SourceFiles, options: OptionsT) -> Iterator[Slice]:
        """Cut every record file into slices of about 8 MiB, in source order."""
        for entry in files.records:
            if is_csv(entry.path):
                yield from plan_csv(files, entry, self.columns(options))
            else:
                yield from plan_json(files, entry, self.rows_path(options))

    def read(self, files: SourceFiles, piece: Slice, options: OptionsT) -> Iterator[Record]:
        """Every record of one slice, in source order; a bad one with ``error`` set, none left out."""
        is_table = "columns" in dict(piece.args)
        for row in read_csv(files, piece) if is_table else read_json(files, piece):
            yield self._record(row, options)

    def _record(self, row: Row, options: OptionsT) -> Record:
        if row.error is not None:
            return Record(row.locator, row.raw, error=row.error)
        where = f"row {row.locator.row} at byte {row.locator.offset}"
        if not isinstance(row.value, dict):
            error = RowError("bad_record", f"{where}: the row is {kind(row.value)}, not an object")
            return Record(row.locator, row.raw, error=error)
        native = row.value.get(self.id_field(options))
        if isinstance(native, bool) or not isinstance(native, str | int):
            native = None
        native_id = None if native is None else str(native)
        try:
            parts = self.convert(row.value, options)
        except BadRow as bad:
            return Record(row.locator, row.raw, native_id, error=RowError(bad.reason, f"{where}: {bad}"))
        return Record(
            row.locator,
            row.raw,
            native_id,
            tuple(parts.turns),
            tuple(parts.media),
            tuple(parts.annotations),
            parts.extras,
            parts.upstream,
            next((v for n in ("licence", "license") if isinstance(v := row.value.get(n), str) and v), None),
        )


def kind(value: Any) -> str:
    """What a JSON value is, in words for an error message."""
    names: dict[type, str] = {dict: "an object", list: "a list", str: "a text", bool: "a truth value"}
    if value is None:
        return "null"
    return names.get(type(value), "a number")
