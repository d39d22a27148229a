"""What every reader gives: raw records with locators, losslessly, in constant memory.

A reader knows one native format. It *plans* (cuts the record files into slices) and *reads* (turns one slice
into records). Both are pure functions of the files' bytes and of the reader's options: no clock, no network
beyond the source's own files, no knowledge of stages, stores or policies.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

import orjson
from pydantic import BaseModel, ConfigDict

from infinity_assets.readers.files import SourceFiles

MediaKind = Literal["image", "video", "audio"]
Role = Literal["system", "user", "assistant", "tool"]

#: Markers that stand for media in a turn's text, one for each medium, in order.
MARKERS: Mapping[MediaKind, str] = {"image": "<image>", "video": "<video>", "audio": "<audio>"}


@dataclass(frozen=True, slots=True)
class Slice:
    """A piece of a source that one worker reads on its own.

    ``content`` determines what the slice yields, together with the reader's options: usually the BLAKE3 of
    the slice's bytes, or the file's hash with the range. Other parts of the source must not change it.
    """

    file: str  #: path of the record file, relative to the source's root
    content: str  #: hex hash of what the slice will read
    start: int = 0  #: byte offset, row group or row, as the reader likes
    end: int = -1  #: exclusive; -1 is the end of the file
    first_row: int = 0  #: row number of the slice's first record in its file
    args: tuple[tuple[str, str | int], ...] = ()  #: anything else the reader needs


@dataclass(frozen=True, slots=True)
class Locator:
    """Where a record came from, precise enough to read it again."""

    file: str
    row: int | None = None  #: 0-based record number in the file
    member: str | None = None  #: tar member (of the record, not of its image) or JSON path
    offset: int | None = None  #: byte offset in the file, where the format has one


@dataclass(frozen=True, slots=True)
class Turn:
    """One utterance. Text keeps its ``<image>``, ``<video>`` and ``<audio>`` markers."""

    role: Role
    text: str


@dataclass(frozen=True, slots=True)
class Media:
    """A picture, clip or sound of a record, either by reference or with its bytes."""

    kind: MediaKind
    ref: str  #: path relative to the source's media root, or a name inside the container
    data: bytes | None = None  #: embedded bytes; None means: look ``ref`` up among the source's files


@dataclass(frozen=True, slots=True)
class Annotation:
    """What upstream says about a picture, typed. Absent parts are None, never 0."""

    kind: Literal["caption", "label", "box", "keypoints", "region", "choice", "answer", "text"]
    label: str | None = None  #: class or category name, option letter
    text: str | None = None  #: caption, region description, option or answer text
    box: tuple[float, float, float, float] | None = None  #: x0, y0, x1, y1 in pixels of the original
    image: int | None = None  #: index into the record's media
    data: str | None = None  #: canonical JSON of whatever else it holds (segmentation, keypoints, flags)


@dataclass(frozen=True, slots=True)
class RowError:
    """Why a record cannot be used. ``reason`` is one of :data:`READ_REASONS`."""

    reason: str
    detail: str  #: one line: what was wrong and where


#: Reason codes that a reader may give; later stages add their own.
READ_REASONS: Mapping[str, str] = {
    "bad_json": "the record is not valid JSON (syntax, encoding, NaN, lone surrogate, repeated key)",
    "bad_record": "the record parses but lacks what its format requires",
    "bad_turns": "roles or texts of the conversation cannot be understood",
    "bad_member": "an archive member is unusable (absolute path, '..', link, repeated key, truncated)",
    "too_large": "the record or a member exceeds the reader's limit",
    "unreadable_file": "the file as a whole cannot be read past this point",
}


@dataclass(frozen=True, slots=True)
class Record:
    """One raw record, readable or not. Nothing of the native row is lost: the rest goes to extras."""

    locator: Locator
    raw: bytes  #: canonical JSON of the record as read, or its raw bytes where it does not parse
    native_id: str | None = None
    turns: tuple[Turn, ...] = ()
    media: tuple[Media, ...] = ()
    annotations: tuple[Annotation, ...] = ()
    extras: Mapping[str, Any] = field(default_factory=dict)  #: native fields without a column of their own
    upstream: Mapping[str, Any] = field(
        default_factory=dict
    )  #: measures that upstream ships (tags, loss, phash)
    licence: str | None = None  #: the row's own licence, where it differs from the source's
    error: RowError | None = None


class ReaderOptions(BaseModel):
    """Base of every reader's options; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@runtime_checkable
class Reader(Protocol):
    """One native format. Registered in ``readers/__init__.py`` under the name that a catalogue uses."""

    name: str
    version: int  #: raised when the same bytes give other records
    Options: type[ReaderOptions]
    patterns: tuple[str, ...]  #: globs of record files under a folder location, e.g. ``("**/*.jsonl",)``

    def plan(self, files: SourceFiles, options: Any) -> Iterator[Slice]:
        """Cut the record files into slices of about 8 MiB or 20,000 records, in source order."""
        ...

    def read(self, files: SourceFiles, piece: Slice, options: Any) -> Iterator[Record]:
        """Yield every record of one slice, in source order; a bad one with ``error`` set, none left out."""
        ...


def canonical_json(value: Any) -> bytes:
    """Sorted keys, UTF-8, no spaces: one byte string for equal JSON values.

    Raises:
        TypeError: if the value is not JSON (bytes, lone surrogates, integers over 64 bits).
    """
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
