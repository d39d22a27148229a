"""Tar archives as samples: members grouped by key, in one pass, without ever extracting to disk.

Own walking, not :mod:`tarfile`: a slice starts in the middle, every allocation has a limit, and a bad member
is reported with its offset while the others go on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import BinaryIO

import blake3

from infinity_assets.readers.base import Locator, Record, RowError, Slice, canonical_json
from infinity_assets.readers.files import FileEntry, SourceFiles
from infinity_assets.readers.tar_headers import BLOCK, BadHeader, Header, parse_header, parse_pax, pax_size
from infinity_assets.readers.tar_streams import CannotRead, GzipStream, PlainStream, is_gzip

# Limits are our choice: far above what real shards hold, far below what hurts a worker.
MEMBER_LIMIT = 256 << 20  #: bytes of one picture, clip or other binary member
TEXT_LIMIT = 16 << 20  #: bytes of a json, txt or cls member: parsing multiplies them
SAMPLE_LIMIT = 512 << 20  #: bytes of all members of one key
SAMPLE_MEMBERS = 1024  #: members of one key
EXTENSION_LIMIT = 1 << 20  #: bytes of a PAX or GNU long-name header
NAME_LIMIT = 1024  #: characters of a member's name
ZERO_LIMIT = 64 << 20  #: bytes of zero blocks in a row

SLICE_BYTES = 8 << 20
SLICE_ROWS = 20_000

PATTERNS = ("**/*.tar", "**/*.tgz", "**/*.tar.gz")

_TEXT_SUFFIXES = frozenset({".json", ".txt", ".cls"})
_CAME_BACK = "the members of this key are not consecutive: other keys stand between them"


@dataclass(frozen=True, slots=True)
class Member:
    """One file member. ``offset`` is that of its first header, PAX and long-name headers included."""

    name: str
    key: str
    suffix: str  #: what follows the first dot of the basename, as it stands
    offset: int
    size: int
    data: bytes | None = None  #: None where it was not loaded
    error: RowError | None = None
    last: bool = False  #: nothing after it can be read


@dataclass(slots=True)
class TarSample:
    """The members of one key, or (``key`` None) the place where the archive stops being readable."""

    key: str | None
    offset: int
    members: list[Member] = field(default_factory=list)
    error: RowError | None = None
    raw: bytes = b""  #: the offending block, where ``key`` is None


def split_name(name: str) -> tuple[str, str]:
    """``a/b/0001.seg.png`` -> ``("a/b/0001", "seg.png")``; the suffix is empty where there is no key.

    The convention is webdataset's: the key ends at the first dot of the basename and keeps its folder.
    """
    folder, _, base = name.rpartition("/")
    stem, dot, suffix = base.partition(".")
    if not stem or not dot or not suffix:
        return name, ""
    return (f"{folder}/{stem}" if folder or name.startswith("/") else stem), suffix


def name_problem(name: str) -> str | None:
    """Why a member's name cannot be used, or None."""
    if not name:
        return "empty name"
    if len(name) > NAME_LIMIT:
        return f"name longer than {NAME_LIMIT} characters"
    if name.startswith("/") or re.match(r"[A-Za-z]:", name):
        return "absolute path"
    if ".." in PurePosixPath(name.replace("\\", "/")).parts:
        return "'..' in the path"
    if "\\" in name or any(ord(c) < 32 for c in name):
        return "backslash or control character in the name"
    return None if split_name(name)[1] else "the name has no key and suffix (expected key.suffix)"


class _Walker:
    """One pass over an archive's members."""

    def __init__(self, stream: PlainStream | GzipStream, end: int, load: bool) -> None:
        self._stream = stream
        self._end = end
        self._load = load
        self._key: str | None = None
        self._key_bytes = 0
        self.at = 0  #: where the block lies that was asked for last
        self._reset()

    def _reset(self) -> None:
        """Forget the extension headers of the member before."""
        self._start: int | None = None
        self._long_name: bytes | None = None
        self._pax: dict[str, bytes] = {}
        self._problem: RowError | None = None

    def members(self) -> Iterator[Member]:
        """Every file member in order; folders and global headers carry no data and are passed over.

        Raises:
            CannotRead: where the archive ends without its mark, or a header is broken.
        """
        zeros = 0
        while True:
            self.at = at = self._stream.position
            if self._start is None and self._end != -1 and at >= self._end:
                return
            block = self._stream.read(BLOCK)
            if not block and zeros and self._start is None:
                return
            if not block:
                raise CannotRead("unreadable_file", "the archive ends without its end mark; it may be cut")
            if len(block) < BLOCK:
                raise CannotRead("unreadable_file", "the archive ends inside a block; it may be cut", block)
            if not any(block):  # archives joined by `cat` go on after their end marks: so does this walk
                zeros += BLOCK
                if zeros > ZERO_LIMIT:
                    raise CannotRead("too_large", f"more than {ZERO_LIMIT} bytes of zero blocks")
                continue
            zeros = 0
            try:
                member = self._member(parse_header(block), at)
            except BadHeader as error:
                raise CannotRead("unreadable_file", f"broken header: {error}", block) from None
            if member is not None:
                yield member
                if member.last:
                    return

    def _member(self, header: Header, at: int) -> Member | None:
        if header.kind == b"g":
            self._stream.skip(header.padded)
            return None
        self._start = at if self._start is None else self._start
        if header.kind in b"xXLK":
            self._extension(header)
            return None
        if header.is_folder:
            self._reset()
            return None
        while header.sparse_extended and any(self._stream.read(BLOCK)[504:505]):
            pass
        size = header.size
        if "size" in self._pax:
            size = pax_size(self._pax["size"])
        raw_name = self._pax.get("path", header.name if self._long_name is None else self._long_name)
        name, problem = _decoded(raw_name)
        if problem is None and any(key.startswith("GNU.sparse.") for key in self._pax):
            problem = "sparse file"
        problem = header.problem or problem
        error = self._problem or (RowError("bad_member", problem) if problem else None)
        offset = self._start
        self._reset()
        return self._body(name, offset, size if header.has_data else 0, error)

    def _extension(self, header: Header) -> None:
        if header.size > EXTENSION_LIMIT:
            self._problem = RowError("too_large", f"a name or PAX header of {header.size} bytes")
            self._stream.skip(header.padded)
            return
        body = self._stream.read(header.padded)[: header.size]
        if len(body) < header.size:
            raise BadHeader("cut")
        if header.kind == b"L":
            self._long_name = body.split(b"\0", 1)[0]
        elif header.kind in b"xX":
            self._pax = parse_pax(body)

    def _body(self, name: str, offset: int, size: int, error: RowError | None) -> Member:
        key, suffix = split_name(name)
        self._key_bytes = size if key != self._key else self._key_bytes + size
        self._key = key
        error = error or self._size_error(name, size)
        data = None
        try:
            if error is None and self._load:
                data = self._stream.read(size)
                whole = len(data) == size
            else:
                whole = self._stream.skip(size)
            if whole:
                self._stream.skip(-size % BLOCK)
                return Member(name, key, suffix, offset, size, data, error)
            error = RowError("bad_member", "the archive ends inside it; nothing follows")
        except CannotRead as stop:
            reason = "too_large" if stop.reason == "too_large" else "bad_member"
            error = RowError(reason, f"{stop.detail}; nothing after it can be read")
        return Member(name, key, suffix, offset, size, None, error, last=True)

    def _size_error(self, name: str, size: int) -> RowError | None:
        limit = TEXT_LIMIT if PurePosixPath(name).suffix.lower() in _TEXT_SUFFIXES else MEMBER_LIMIT
        if size > limit:
            return RowError("too_large", f"{size} bytes; the limit is {limit}")
        if self._key_bytes > SAMPLE_LIMIT:
            return RowError("too_large", f"the members of its key exceed {SAMPLE_LIMIT} bytes")
        return None


def _decoded(raw_name: bytes) -> tuple[str, str | None]:
    """A member's name, cut to the limit, and what is wrong with it."""
    try:
        name, problem = raw_name.decode("utf-8"), None
    except UnicodeDecodeError:
        name, problem = raw_name.decode("utf-8", "backslashreplace"), "the name is not UTF-8"
    while name.startswith("./"):
        name = name[2:]
    return name[:NAME_LIMIT], problem or name_problem(name)


def samples(stream: BinaryIO, start: int = 0, end: int = -1, load: bool = True) -> Iterator[TarSample]:
    """Samples of an archive (plain or gzip, by its first bytes), in order; each is one record.

    A sample whose member is unusable has ``error`` set. Where the archive cannot be read any further, the
    last sample has ``key`` None. Offsets of a gzip archive count bytes of the uncompressed stream. Memory:
    one sample, and a 64-bit hash of each key seen, which is how a key that comes back is found.
    """
    packed = is_gzip(stream)
    stream.seek(0)
    walker = _Walker(GzipStream(stream) if packed else PlainStream(stream, start), end, load)
    seen: set[int] = set()
    sample: TarSample | None = None
    stop: TarSample | None = None
    members = walker.members()
    while stop is None:
        try:
            member = next(members, None)
        except CannotRead as error:
            member = None
            stop = TarSample(None, walker.at, [], RowError(error.reason, error.detail), error.raw)
        if sample is not None and (member is None or member.key != sample.key):
            yield sample
            sample = None
        if member is None:
            break
        if sample is None:
            sample = TarSample(member.key, member.offset)
            digest = int.from_bytes(blake3.blake3(member.key.encode()).digest(length=8), "big")
            if digest in seen:
                sample.error = RowError("bad_member", f"{member.name}: {_CAME_BACK}")
            seen.add(digest)
        _add(sample, member)
    if stop is not None:
        yield stop


def _add(sample: TarSample, member: Member) -> None:
    """Put a member into its sample; the first error of a sample stays, later ones are not told."""
    error = member.error
    if error is None and len(sample.members) >= SAMPLE_MEMBERS:
        error = RowError("too_large", f"more than {SAMPLE_MEMBERS} members of one key")
    elif error is None and any(m.suffix == member.suffix for m in sample.members):
        error = RowError("bad_member", "this name comes twice")
    if error is not None and sample.error is None:
        sample.error = RowError(error.reason, f"{member.name} at byte {member.offset}: {error.detail}")
    if len(sample.members) < SAMPLE_MEMBERS:
        sample.members.append(member)


def plan_tars(files: SourceFiles) -> Iterator[Slice]:
    """Slices of about 8 MiB or 20,000 samples, cut between samples.

    A gzip archive is one slice (it cannot be entered in the middle), and so is an archive in which a key
    comes back or a header is broken: only a reader of the whole can tell the same story every time.
    """
    for entry in files.records:
        with files.open(entry.path) as stream:
            cuts = [(0, 0)] if is_gzip(stream) else _cuts(stream)
        for (start, row), (end, _) in zip(cuts, [*cuts[1:], (-1, 0)], strict=True):
            yield Slice(entry.path, _content(entry, start, end), start, end, row)


def _cuts(stream: BinaryIO) -> list[tuple[int, int]]:
    """(byte offset, row number) of each slice of a plain archive."""
    cuts = [(0, 0)]
    for row, sample in enumerate(samples(stream, load=False)):
        if sample.key is None or (sample.error is not None and _CAME_BACK in sample.error.detail):
            return cuts[:1]
        start, first = cuts[-1]
        if sample.offset - start >= SLICE_BYTES or row - first >= SLICE_ROWS:
            cuts.append((sample.offset, row))
    return cuts


def _content(entry: FileEntry, start: int, end: int) -> str:
    if (start, end) == (0, -1):
        return entry.content_hash
    return blake3.blake3(f"{entry.content_hash} {start} {end}".encode()).hexdigest(length=16)


def read_tar(files: SourceFiles, piece: Slice) -> Iterator[tuple[Locator, TarSample]]:
    """The samples of one slice with their locators (row: of the archive; member: the key)."""
    with files.open(piece.file) as stream:
        for i, sample in enumerate(samples(stream, piece.start, piece.end)):
            yield Locator(piece.file, piece.first_row + i, sample.key, sample.offset), sample


def error_record(locator: Locator, sample: TarSample) -> Record:
    """The record of a sample whose ``error`` is set; ``raw`` lists its members with sizes and hashes."""
    if sample.error is None:
        raise ValueError("the sample has no error")
    where = f"{locator.file}, byte {locator.offset}"
    error = RowError(sample.error.reason, f"{where}: {sample.error.detail}")
    if sample.key is None:
        return Record(locator, sample.raw, error=error)
    return Record(locator, listing(sample), native_id=sample.key, error=error)


def listing(sample: TarSample) -> bytes:
    """A sample as canonical JSON of its members' names, sizes and hashes, where nothing better can be had."""
    members = [{"name": m.name, **digest(m)} for m in sample.members]
    return canonical_json({"__key__": sample.key, "members": members})


def digest(member: Member) -> dict[str, str | int]:
    """A member as JSON: its size, and its BLAKE3-128 where it was loaded."""
    if member.data is None:
        return {"bytes": member.size}
    return {"bytes": member.size, "blake3": blake3.blake3(member.data).hexdigest(length=16)}
