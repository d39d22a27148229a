"""Tar header blocks: ustar, GNU long names and base-256 numbers, PAX records (POSIX, GNU tar manual)."""

from __future__ import annotations

from dataclasses import dataclass

BLOCK = 512

_PROBLEMS = {
    b"1": "hard link",
    b"2": "symbolic link",
    b"3": "character device",
    b"4": "block device",
    b"6": "named pipe",
    b"S": "sparse file",
}
_REGULAR = (b"0", b"\0", b"7")
_WITHOUT_DATA = (b"1", b"2", b"3", b"4", b"5", b"6")


class BadHeader(ValueError):
    """A header block that is not one; the message says why."""


@dataclass(frozen=True, slots=True)
class Header:
    """One header block. ``name`` holds raw bytes, prefix included."""

    name: bytes
    size: int
    kind: bytes  #: one byte, the type flag
    sparse_extended: bool  #: old GNU sparse: further map blocks follow

    @property
    def padded(self) -> int:
        """Size rounded up to whole blocks."""
        return self.size + -self.size % BLOCK

    @property
    def is_folder(self) -> bool:
        """Type 5, or an old header whose name ends in a slash."""
        return self.kind == b"5" or (self.kind == b"\0" and self.name.endswith(b"/"))

    @property
    def has_data(self) -> bool:
        """Links, devices and folders carry no data, whatever their size field says."""
        return self.kind not in _WITHOUT_DATA

    @property
    def problem(self) -> str | None:
        """Why this kind of member cannot be used; None for a regular file."""
        if self.kind in _REGULAR:
            return None
        return _PROBLEMS.get(self.kind, f"unknown member type {self.kind!r}")


def parse_header(block: bytes) -> Header:
    """One block of 512 bytes.

    Raises:
        BadHeader: if the checksum is wrong or a number cannot be read.
    """
    stored = _number(block[148:156])
    blanked = block[:148] + b" " * 8 + block[156:]
    if stored != (plain := sum(blanked)) and stored != plain - 256 * sum(b > 127 for b in blanked):
        raise BadHeader("wrong checksum")  # some old tars summed signed bytes
    kind = block[156:157]
    name = block[:100].split(b"\0", 1)[0]
    if block[257:263] == b"ustar\0" and (prefix := block[345:500].split(b"\0", 1)[0]):
        name = prefix + b"/" + name
    return Header(name, _number(block[124:136]), kind, kind == b"S" and block[482] != 0)


def _number(text: bytes) -> int:
    """Octal digits, or GNU's big-endian base-256 where the top bit is set."""
    if text[0] & 0x80:
        if text[0] & 0x40:
            raise BadHeader("negative number")
        number = int.from_bytes(bytes([text[0] & 0x3F]) + text[1:], "big")
        if number >= 1 << 63:
            raise BadHeader("a number needs more than 63 bits")
        return number
    digits = text.split(b"\0", 1)[0].strip()
    if any(d not in b"01234567" for d in digits):
        raise BadHeader("a number is not octal")
    return int(digits or b"0", 8)


def parse_pax(body: bytes) -> dict[str, bytes]:
    """Records ``"<length> <key>=<value>\\n"``; a later one of the same key wins.

    Raises:
        BadHeader: if a record is malformed.
    """
    records: dict[str, bytes] = {}
    at = 0
    while at < len(body) and body[at] != 0:
        digits, space, _ = body[at : at + 12].partition(b" ")
        if not space or not digits.isdigit():
            raise BadHeader("malformed PAX record")
        end = at + int(digits)
        key, equals, value = body[at + len(digits) + 1 : end - 1].partition(b"=")
        if end > len(body) or not equals or body[end - 1 : end] != b"\n":
            raise BadHeader("malformed PAX record")
        records[key.decode("utf-8", "backslashreplace")] = value
        at = end
    return records


def pax_size(text: bytes) -> int:
    """The PAX ``size`` record, which replaces the header's from 8 GiB on.

    Raises:
        BadHeader: if it is not a decimal number of at most 19 digits.
    """
    if not text.isdigit() or len(text) > 19:
        raise BadHeader("the PAX size is not a number")
    return int(text)
