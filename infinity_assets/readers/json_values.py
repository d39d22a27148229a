"""One JSON value from bytes, strictly and losslessly, or the reason why not.

JSON decoders differ in what they let pass (NaN, repeated keys, half surrogates, integers that turn into
floats). What passes silently is lost silently, so here each of these is an error that is named.
"""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

from infinity_assets.errors import InfinityError
from infinity_assets.readers.base import canonical_json

#: A record above this many bytes is reported as ``too_large`` and never held in memory (our choice: a turn
#: of 10 MB is legal, 43 M rows of Infinity-MM average 2 kB).
RECORD_LIMIT = 64 << 20

#: Digits become "0" and all else a space, so that long runs of digits are found by a plain search.
_ONLY_DIGITS = bytes(0x30 if 0x30 <= byte <= 0x39 else 0x20 for byte in range(256))
_RUN = b"0" * 19
_LARGEST = b"18446744073709551615"
_ESCAPED_COLON = re.compile(rb"\\u003[aA]")
_UNSIGNED_64 = 2**64


class BadJson(InfinityError):
    """The bytes are not one JSON value that can be kept without loss; the message says what is wrong."""


def parse(raw: bytes) -> tuple[Any, bytes]:
    """The value, and its canonical JSON.

    Repeated keys are found by counting colons: strings keep theirs and each key has one, so the canonical
    form has fewer than the text exactly when a key was dropped (unless a colon is written as an escape: then
    the slow parser decides). Measured on rows of 2.2 kB: decoding and canonical form 3.2 us, repeated keys
    2.8 us, integers over 64 bits 1.7 us.

    Raises:
        BadJson: syntax, encoding, NaN, lone surrogate, repeated key, integer over 64 bits, too deep.
    """
    try:
        value = orjson.loads(raw)
        canonical = canonical_json(value)
    except (orjson.JSONDecodeError, TypeError) as error:
        raise BadJson(_what_is_wrong(raw, error)) from None
    if (
        raw.count(b":") != canonical.count(b":")
        or (b"\\u003" in raw and _ESCAPED_COLON.search(raw))
        or not _integers_surely_fit(raw)
    ):
        _strict(raw)
    return value, canonical


def _integers_surely_fit(raw: bytes) -> bool:
    """Whether no run of digits is longer or larger than 64 bits (an unsigned hash has up to 20 digits)."""
    plain = raw.translate(_ONLY_DIGITS)
    at = plain.find(_RUN)
    while at >= 0:
        end = plain.find(b" ", at)
        end = len(raw) if end < 0 else end
        digits = raw[at:end]
        if raw[at - 1 : at] == b"-" or len(digits) > 20 or (len(digits) == 20 and digits > _LARGEST):
            return False
        at = plain.find(_RUN, end)
    return True


def _strict(raw: bytes) -> None:
    """Parse with the standard library, refusing what orjson lets pass."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            again = next(name for name in names if names.count(name) > 1)
            raise BadJson(f"the key {again[:80]!r} is repeated in one object")
        return found

    def integer(digits: str) -> int:
        if len(digits) > 40 or not -(_UNSIGNED_64 // 2) <= int(digits) < _UNSIGNED_64:
            raise BadJson(f"the integer {digits[:40]} needs more than 64 bits; write it as a string")
        return int(digits)

    def constant(name: str) -> None:
        raise BadJson(f"{name} is not a JSON value")

    try:
        json.loads(raw.decode(), object_pairs_hook=unique, parse_int=integer, parse_constant=constant)
    except RecursionError:
        raise BadJson("values are nested too deeply") from None


def _what_is_wrong(raw: bytes, error: Exception) -> str:
    """Name the defect that made orjson refuse: encoding, NaN, surrogate, depth, or syntax and where."""
    try:
        raw.decode()
    except UnicodeDecodeError as encoding:
        return f"byte {encoding.start} of the record is not UTF-8 ({encoding.reason})"
    try:
        _strict(raw)
    except BadJson as named:
        return str(named)
    except json.JSONDecodeError as syntax:
        return f"not JSON at line {syntax.lineno} column {syntax.colno} of the record: {syntax.msg}"
    except ValueError as other:
        return f"not JSON: {other}"
    if "surrogate" in str(error):
        return "a string holds half of a surrogate pair"
    if "infinity" in str(error):
        return f"a number is out of the range of a double ({error})"
    return f"values are nested too deeply or cannot be kept ({error})"
