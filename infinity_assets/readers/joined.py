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


def plan_join(
    files: SourceFiles,
    entry: FileEntry,
    leading: tuple[str, ...],
    other: FileEntry | None,
    args: tuple[tuple[str, str | int], ...],
) -> Iterator[Slice]:
    """Slices of the leading list; each one's content covers the whole of the files that it joins with."""
    hashes = f"{entry.content_hash} {other.content_hash if other else ''} {args}"
    pieces = list(plan_json(files, entry, leading))
    for i, piece in enumerate(pieces):
        last = int(i == len(pieces) - 1)
        content = blake3.blake3(f"{piece.content} {hashes} {last}".encode()).hexdigest(length=16)
        yield replace(piece, content=content, args=(*piece.args, *args, ("last", last)))


def locate(files: SourceFiles, path: str, names: tuple[str, ...]) -> tuple[tuple[str, int], ...]:
    """Where the lists of a file's object begin, as arguments of its slices; -1 for one that is not there.

    A list may stand behind hundreds of megabytes, so it is looked for once, when the slices are planned.
    """
    with files.open(path) as stream:
        found = [(name, find_array(stream, 0, (name,))) for name in names]
    return tuple((f"at_{name}", -1 if at is None else at) for name, at in found)


@dataclass(frozen=True, slots=True)
class JsonList:
    """One list of a JSON file's object."""

    files: SourceFiles
    path: str
    name: str
    at: int  #: offset of its first element, as :func:`locate` gives it

    def elements(self) -> Iterator[tuple[int, bytes | None]]:
        """Offset and bytes of each element; None where it is too large.

        Raises:
            Unclosed: where the list is cut.
            SourceError: if the file has no such list.
        """
        if self.at < 0:
            raise SourceError("the file has no such list")
        with self.files.open(self.path) as stream:
            for element in elements(stream, self.at, self.files.entry(self.path).bytes, "nested"):
                yield element.start, element.raw

    def objects(self) -> Iterator[dict[str, Any]]:
        """The objects that can be read; who must tell of the others uses :func:`join`."""
        try:
            for _, raw in self.elements():
                try:
                    value = parse(raw)[0] if raw is not None else None
                except BadJson:
                    continue
                if isinstance(value, dict):
                    yield value
        except (Unclosed, SourceError):
            return


@dataclass(slots=True)
class Joined:
    """What one list holds for the ids of a slice."""

    found: dict[str | int, list[bytes]] = field(default_factory=dict)  #: canonical JSON, in file order
    strays: list[Record] = field(default_factory=list)  #: elements that join with nothing, or are broken
    cut: str | None = None  #: why the list could not be read to its end


def join(
    other: JsonList, key: str, wanted: Iterable[str | int], every: set[str | int] | None = None
) -> Joined:
    """The elements of a list whose field ``key`` is wanted.

    Args:
        other: the list to go through.
        key: the field to join on.
        wanted: the ids of the slice.
        every: ids of all slices; given, what joins with none of them becomes a stray, broken elements too.
    """
    joined = Joined({i: [] for i in wanted})
    try:
        for row, (offset, raw) in enumerate(other.elements()):
            where = Locator(other.path, row, f"{other.name}[{row}]", offset)
            try:
                value, canonical = parse(raw) if raw is not None else (None, b"")
            except BadJson as error:
                if every is not None:
                    joined.strays.append(_stray(where, raw or b"", "bad_json", str(error)))
                continue
            found = as_id(value.get(key)) if isinstance(value, dict) else None
            if found is not None and found in joined.found:
                joined.found[found].append(canonical)
            elif every is not None and found not in every:
                problem = f"{key} {str(found)[:80]} is in no record of the list that it joins with"
                joined.strays.append(_stray(where, canonical, "bad_record", problem))
    except (Unclosed, SourceError) as error:
        joined.cut = f"{other.path}: the list {other.name!r} cannot be read to its end: {error}"
    return joined


def list_ids(whole: JsonList, key: str) -> set[str | int]:
    """Every id of a list."""
    return {one for value in whole.objects() if (one := as_id(value.get(key))) is not None}


def names_by_id(whole: JsonList) -> dict[str | int, str]:
    """``id`` -> ``name`` of a short list of licences or categories; the first of equal ids."""
    found: dict[str | int, str] = {}
    for value in whole.objects():
        one, name = as_id(value.get("id")), value.get("name")
        if one is not None and isinstance(name, str):
            found.setdefault(one, name)
    return found


def as_id(value: object) -> str | int | None:
    """An id to join on: a string or an integer; None for anything else."""
    return value if isinstance(value, str | int) and not isinstance(value, bool) else None


def _stray(where: Locator, raw: bytes, reason: str, detail: str) -> Record:
    return Record(where, raw, error=RowError(reason, f"{where.file}, {where.member}: {detail}"))
