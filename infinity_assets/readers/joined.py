"""What readers that join two lists of JSON objects share: path templates, and the slices of such a join.

The leading list is cut into slices as any JSON rows are. Reading a slice goes through the other list whole,
one element at a time, and keeps what the slice joins with: memory follows the slice, not the file (a COCO
instances file has 470 MB). What the other list alone knows to be wrong is told by the last slice.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from string import Formatter
from typing import Any

import blake3

from infinity_assets.errors import SourceError
from infinity_assets.readers.base import Locator, Record, RowError, Slice
from infinity_assets.readers.chat import media_ref
from infinity_assets.readers.files import FileEntry, SourceFiles
from infinity_assets.readers.json_rows import plan_json
from infinity_assets.readers.json_scan import Unclosed, elements, find_array
from infinity_assets.readers.json_values import BadJson, parse
from infinity_assets.readers.rows import BadRow

#: What a template may name: a part of the record file's path, and fields of an image.
TEMPLATE_FIELDS = frozenset({"split", "file_name", "image_id"})


def check_template(template: str) -> str:
    """A path template as it is.

    Raises:
        ValueError: if it names anything but ``{split}``, ``{file_name}`` and ``{image_id}``.
    """
    names = {name for _, name, _, _ in Formatter().parse(template) if name is not None}
    if unknown := names - TEMPLATE_FIELDS:
        known = ", ".join(sorted(TEMPLATE_FIELDS))
        raise ValueError(f"template {template!r} names {sorted(unknown)}; known: {known}")
    return template


def find_splits(files: SourceFiles, template: str) -> list[tuple[FileEntry, str]]:
    """The files that a template like ``captions_{split}.json`` fits, with their split ("" if it names none).

    Raises:
        SourceError: if no file fits: a typing error in the catalogue must not look like an empty source.
    """
    pattern = ""
    for literal, name, _, _ in Formatter().parse(template):
        pattern += re.escape(literal)
        if name is not None:
            pattern += "(?P=split)" if "(?P<split>" in pattern else "(?P<split>[^/]+)"
    found = [(entry, match) for entry in files if (match := re.fullmatch(pattern, entry.path))]
    if not found:
        raise SourceError(f"no file of the source fits {template!r}; check the reader's options")
    return [(entry, match.groupdict().get("split") or "") for entry, match in found]


def image_path(template: str, fields: Mapping[str, Any]) -> str:
    """The reference of an image; ``{image_id:012d}`` pads as COCO does.

    Raises:
        BadRow: if a field is missing or does not fit its format.
    """
    try:
        return media_ref(template.format_map(fields))
    except (ValueError, KeyError) as error:
        raise BadRow("bad_record", f"the image does not fit {template!r}: {error}") from None


def name_of(objects: Mapping[str | int, Any], key: object) -> str | None:
    """The ``name`` of a listed licence or category."""
    one = as_id(key)
    found = objects.get(one) if one is not None else None
    name = found.get("name") if isinstance(found, dict) else None
    return name if isinstance(name, str) else None


def plan_join(
    files: SourceFiles,
    entry: FileEntry,
    leading: tuple[str, ...],
    other: FileEntry | None,
    args: tuple[tuple[str, str], ...],
) -> Iterator[Slice]:
    """Slices of the leading list; each one's content covers the whole of the files that it joins with."""
    hashes = f"{entry.content_hash} {other.content_hash if other else ''} {args}"
    pieces = list(plan_json(files, entry, leading))
    for i, piece in enumerate(pieces):
        last = int(i == len(pieces) - 1)
        content = blake3.blake3(f"{piece.content} {hashes} {last}".encode()).hexdigest(length=16)
        yield replace(piece, content=content, args=(*piece.args, *args, ("last", last)))


@dataclass(slots=True)
class Joined:
    """What one list holds for the ids of a slice."""

    found: dict[str | int, list[bytes]] = field(default_factory=dict)  #: canonical JSON, in file order
    strays: list[Record] = field(default_factory=list)  #: elements that join with nothing, or are broken
    cut: str | None = None  #: why the list could not be read to its end


def join(
    files: SourceFiles,
    path: str,
    name: str,
    key: str,
    wanted: Iterable[str | int],
    every: set[str | int] | None = None,
) -> Joined:
    """The elements of the list ``name`` whose field ``key`` is wanted.

    Args:
        files: the source's files.
        path: the file with the list.
        name: the list's key in the file's object.
        key: the field to join on.
        wanted: the ids of the slice.
        every: ids of all slices; given, what joins with none of them becomes a stray, broken elements too.
    """
    joined = Joined({i: [] for i in wanted})
    try:
        for row, (offset, raw) in enumerate(_raw_elements(files, path, name)):
            where = Locator(path, row, f"{name}[{row}]", offset)
            try:
                value, canonical = parse(raw) if raw is not None else (None, b"")
            except BadJson as error:
                if every is not None:
                    joined.strays.append(_stray(where, raw or b"", "bad_json", str(error)))
                continue
            found = as_id(value.get(key)) if isinstance(value, dict) else None
            if found in joined.found and found is not None:
                joined.found[found].append(canonical)
            elif every is not None and found not in every:
                problem = f"{key} {str(found)[:80]} is not in the file's other list"
                joined.strays.append(_stray(where, canonical, "bad_record", problem))
    except (Unclosed, SourceError) as error:
        joined.cut = f"{path}: the list {name!r} cannot be read to its end: {error}"
    return joined


def list_ids(files: SourceFiles, path: str, name: str, key: str) -> set[str | int]:
    """Every id of a list; broken elements have none."""
    found: set[str | int] = set()
    try:
        for _, raw in _raw_elements(files, path, name):
            try:
                value = parse(raw)[0] if raw is not None else None
            except BadJson:
                continue
            if isinstance(value, dict) and (one := as_id(value.get(key))) is not None:
                found.add(one)
    except (Unclosed, SourceError):
        return found
    return found


def as_id(value: object) -> str | int | None:
    """An id to join on: a string or an integer; None for anything else."""
    return value if isinstance(value, str | int) and not isinstance(value, bool) else None


def small_list(files: SourceFiles, path: str, name: str, limit: int = 100_000) -> Mapping[str | int, Any]:
    """Objects of a short list (licences, categories) by their ``id``; empty where there is no such list."""
    found: dict[str | int, Any] = {}
    try:
        for _, raw in _raw_elements(files, path, name):
            try:
                value = parse(raw)[0] if raw is not None else None
            except BadJson:
                continue
            if isinstance(value, dict) and (one := as_id(value.get("id"))) is not None and len(found) < limit:
                found.setdefault(one, value)
    except (Unclosed, SourceError):
        return found
    return found


def _raw_elements(files: SourceFiles, path: str, name: str) -> Iterator[tuple[int, bytes | None]]:
    entry = files.entry(path)
    with files.open(path) as stream:
        start = find_array(stream, 0, (name,))
        if start is None:
            raise SourceError(f"no list {name!r}")
        for element in elements(stream, start, entry.bytes, "nested"):
            yield element.start, element.raw


def _stray(where: Locator, raw: bytes, reason: str, detail: str) -> Record:
    return Record(where, raw, error=RowError(reason, f"{where.file}, {where.member}: {detail}"))
