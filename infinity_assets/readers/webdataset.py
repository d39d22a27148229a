"""Webdataset shards: tar or gzip tar, members of one key together, the key up to the basename's first dot."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from infinity_assets.readers.base import (
    Annotation,
    Locator,
    Media,
    ReaderOptions,
    Record,
    RowError,
    Slice,
    Turn,
    canonical_json,
)
from infinity_assets.readers.files import SourceFiles
from infinity_assets.readers.json_values import BadJson, parse
from infinity_assets.readers.native_fields import (
    DEFAULT_PROMPT,
    caption_turns,
    llava_turns,
    media_kind,
    native_id,
)
from infinity_assets.readers.rows import BadRow
from infinity_assets.readers.tar_members import (
    PATTERNS,
    Member,
    TarSample,
    digest,
    error_record,
    listing,
    plan_tars,
    read_tar,
)


class WebDatasetOptions(ReaderOptions):
    """Options of ``webdataset``."""

    prompt: str = DEFAULT_PROMPT  #: the user's turn before a bare caption


class WebDataset:
    """``.json`` -> fields, ``.txt`` -> caption, ``.cls`` -> label, pictures, clips and sounds -> media.

    Turns are the JSON's LLaVA ``conversations``; else its ``caption`` or ``text``, or the ``.txt`` member,
    as the answer to ``prompt`` where there is a picture; else there are none and the annotations stand alone.
    """

    name = "webdataset"
    version = 1
    Options: type[ReaderOptions] = WebDatasetOptions
    patterns: tuple[str, ...] = PATTERNS

    def plan(self, files: SourceFiles, options: WebDatasetOptions) -> Iterator[Slice]:
        """About 8 MiB or 20,000 samples of a plain tar; a gzip tar is one slice."""
        return plan_tars(files)

    def read(self, files: SourceFiles, piece: Slice, options: WebDatasetOptions) -> Iterator[Record]:
        """One record for each key; the offset is in the tar, uncompressed where it is gzip."""
        for locator, sample in read_tar(files, piece):
            yield _record(locator, sample, options.prompt)


def _record(locator: Locator, sample: TarSample, prompt: str) -> Record:
    if sample.error is not None:
        return error_record(locator, sample)
    try:
        parts = _Parts(sample, locator)
        raw = canonical_json({"__key__": sample.key, **parts.native})
        turns = _turns(parts, prompt)
    except _Unusable as bad:
        return Record(locator, bad.raw or listing(sample), native_id=sample.key, error=bad.error)
    consumed = {"id", "conversations"} if "conversations" in parts.fields else {"id"}
    extras = {key: value for key, value in parts.fields.items() if key not in consumed}
    return Record(
        locator=locator,
        raw=raw,
        native_id=native_id(parts.fields.get("id")) or sample.key,
        turns=turns,
        media=tuple(parts.media),
        annotations=tuple(parts.annotations),
        extras=extras | parts.others,
    )


class _Unusable(Exception):
    def __init__(self, error: RowError, raw: bytes = b"") -> None:
        super().__init__(error.detail)
        self.error = error
        self.raw = raw


class _Parts:
    """A sample's members by what they are."""

    def __init__(self, sample: TarSample, locator: Locator) -> None:
        self.native: dict[str, Any] = {}  #: the record as read, by suffix
        self.fields: dict[str, Any] = {}
        self.media: list[Media] = []
        self.annotations: list[Annotation] = []
        self.others: dict[
            str, Any
        ] = {}  #: further extras: members of other kinds by suffix, as size and hash
        self.caption: str | None = None
        self._has_json = False
        for member in sample.members:
            self.where = f"{locator.file}, {member.name} at byte {member.offset}"
            self._put(member)

    def _put(self, member: Member) -> None:
        kind, data = media_kind(member.name), member.data or b""
        last = member.suffix.rpartition(".")[2].lower()
        if kind is not None:
            if not data:
                raise _Unusable(RowError("bad_member", f"{self.where}: the {kind} has no bytes"))
            self.media.append(Media(kind, member.name, data))
            self.native[member.suffix] = digest(member)
        elif last == "json":
            self._json(member, data)
        elif last in ("txt", "cls"):
            text = self._text(data)
            self.native[member.suffix] = text
            if last == "cls":
                self.annotations.append(Annotation("label", label=text.strip()))
            elif self.caption is None and member.suffix.lower() == "txt":
                self.caption = text.strip()
                self.annotations.append(Annotation("caption", text=self.caption))
            else:
                self.annotations.append(Annotation("text", label=member.suffix, text=text))
        else:
            self.native[member.suffix] = self.others[member.suffix] = digest(member)

    def _json(self, member: Member, data: bytes) -> None:
        if self._has_json:  # a dot in the key joins samples: 1.5.jpg and 1.6.jpg are both of key "1"
            detail = f"{self.where}: a second .json for one key; are there dots in the keys?"
            raise _Unusable(RowError("bad_member", detail))
        self._has_json = True
        try:
            value, _ = parse(data)
        except BadJson as error:
            raise _Unusable(RowError("bad_json", f"{self.where}: {error}"), data) from None
        if not isinstance(value, dict):
            raise _Unusable(RowError("bad_record", f"{self.where}: not a JSON object"), data)
        self.native[member.suffix] = self.fields = value

    def _text(self, data: bytes) -> str:
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise _Unusable(
                RowError("bad_member", f"{self.where}: not UTF-8: {error.reason}"), data
            ) from None


def _turns(parts: _Parts, prompt: str) -> tuple[Turn, ...]:
    if "conversations" in parts.fields:
        try:
            turns, media, extras = llava_turns(parts.fields["conversations"])
        except BadRow as bad:
            raise _Unusable(
                RowError(bad.reason, f"{parts.where}: {bad}"), canonical_json(parts.native)
            ) from None
        parts.media += media
        parts.others |= extras
        return turns
    for name in ("caption", "text"):
        value = parts.fields.get(name)
        if isinstance(value, str) and value.strip():
            parts.annotations.append(Annotation("caption", text=value.strip()))
            caption = value.strip()
            break
    else:
        caption = parts.caption or ""
    pictures = sum(m.kind == "image" for m in parts.media)
    return caption_turns(caption, prompt, pictures) if caption and pictures else ()
