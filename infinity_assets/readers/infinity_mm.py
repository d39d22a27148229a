"""Infinity-MM as released (arXiv 2410.18558; data card): tars of one .json and one .jpg a key.

A ``.jpg`` of zero bytes means a text-only row, whatever the file's name says; the picture's real suffix
stands in the JSON's ``image`` field. Our own exports add ``.1.jpg``, ``.2.jpg``, ... where a conversation has
several pictures; upstream has no such rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from infinity_assets.readers.base import Locator, Media, ReaderOptions, Record, RowError, Slice
from infinity_assets.readers.files import SourceFiles
from infinity_assets.readers.json_values import BadJson, parse
from infinity_assets.readers.native_fields import llava_turns, media_kind, native_id
from infinity_assets.readers.rows import BadRow
from infinity_assets.readers.tar_members import (
    PATTERNS,
    Member,
    TarSample,
    error_record,
    listing,
    plan_tars,
    read_tar,
)

#: Measures that the card ships: tags, their raw logits (not probabilities), unsigned 64-bit pHash, VLM loss.
UPSTREAM = ("ram++_tags", "ram++_tags_score", "phash", "qw2vl_loss")


class InfinityMM:
    """One record for each key; upstream measures are kept verbatim."""

    name = "infinity_mm"
    version = 1
    Options: type[ReaderOptions] = ReaderOptions  #: none: the profile is fixed
    patterns: tuple[str, ...] = PATTERNS

    def plan(self, files: SourceFiles, options: ReaderOptions) -> Iterator[Slice]:
        """As ``webdataset``."""
        return plan_tars(files)

    def read(self, files: SourceFiles, piece: Slice, options: ReaderOptions) -> Iterator[Record]:
        """As ``webdataset``; a key without its ``.json`` or ``.jpg`` is a ``bad_record``."""
        for locator, sample in read_tar(files, piece):
            yield _record(locator, sample)


def _record(locator: Locator, sample: TarSample) -> Record:
    if sample.error is not None:
        return error_record(locator, sample)
    where = f"{locator.file}, key {sample.key} at byte {sample.offset}"
    members = {m.suffix.lower(): m for m in sample.members}
    suffixes = ["jpg", *(f"{i}.jpg" for i in range(1, len(members) - 1))]
    if set(members) != {"json", *suffixes}:
        names = ", ".join(m.name for m in sample.members[:8])
        detail = f"{where}: expected one .json and one .jpg, found {names}"
        return Record(locator, listing(sample), native_id=sample.key, error=RowError("bad_record", detail))
    data = members["json"].data or b""
    try:
        fields, raw = parse(data)
    except BadJson as bad:
        return Record(locator, data, native_id=sample.key, error=RowError("bad_json", f"{where}: {bad}"))
    if not isinstance(fields, dict):
        error = RowError("bad_record", f"{where}: the .json is not an object")
        return Record(locator, raw, native_id=sample.key, error=error)
    try:
        turns, _, extras = llava_turns(fields.get("conversations"))
    except BadRow as bad:
        error = RowError(bad.reason, f"{where}: {bad}")
        return Record(locator, raw, native_id=native_id(fields.get("id")) or sample.key, error=error)
    known = {"id", "conversations", *UPSTREAM}
    return Record(
        locator=locator,
        raw=raw,
        native_id=native_id(fields.get("id")) or sample.key,
        turns=turns,
        media=_pictures([members[suffix] for suffix in suffixes], fields.get("image")),
        extras={key: value for key, value in fields.items() if key not in known} | extras,
        upstream=_upstream(fields),
    )


def _pictures(members: Sequence[Member], image: object) -> tuple[Media, ...]:
    """Media of the picture members; a single one of zero bytes is no picture."""
    if len(members) == 1 and not members[0].data:
        return ()
    names = image if isinstance(image, list) and len(image) == len(members) else [image] * len(members)
    pairs = zip(members, names, strict=True)
    return tuple(Media("image", _ref(m.name, name), m.data or b"") for m, name in pairs)


def _ref(member: str, image: object) -> str:
    """The member's name with the suffix that the picture had before it was packed."""
    suffix = PurePosixPath(image).suffix if isinstance(image, str) else ""
    if media_kind(f"x{suffix}") != "image":
        return member
    return str(PurePosixPath(member).with_suffix(suffix))


def _upstream(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The card's measures as they stand; a loss of exactly 0.0 is marked: failures look like it."""
    found = {key: fields[key] for key in UPSTREAM if key in fields}
    loss = found.get("qw2vl_loss")
    if isinstance(loss, int | float) and not isinstance(loss, bool) and loss == 0:
        found["qw2vl_loss_suspect"] = True
    return found
