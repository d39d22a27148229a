"""Texts as hashes of runs of their words, many texts at once.

A word is what stands between characters that are neither letters nor digits; where a script puts no space
between words (Chinese, Japanese, Thai, Lao, Burmese, Khmer) each character is one. Hashes have 64 bits: equal
runs have equal hashes, and different ones differ but by an accident of 1 in 2^64 a pair. They guard against
accidents, not against a forger; whatever acts on them looks at the texts again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]

#: Raised when the same texts give other hashes.
SHINGLE_VERSION = 1

_WORD = re.compile(r"[^\W_]+")
#: Scripts without spaces between words, as ranges of code points: Thai and Lao, Burmese, Khmer, kana, Han
#: (with its compatibility forms and the planes beyond the first).
_UNSPACED = (
    (0x0E00, 0x0EFF),
    (0x1000, 0x109F),
    (0x1780, 0x17FF),
    (0x3040, 0x30FF),
    (0x3400, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x3FFFF),
)
_DIGITS = re.compile(r"\d+")
_SIGNS = r"+=<>^%$€£¥°±×÷≤≥≠√∞∑∫∈∪∩|\{}"

#: What a character is: between runs, in a run, a run of its own; a digit, or what counts before a digit.
_GAP, _LETTER, _ALONE, _DIGIT, _BEFORE_DIGIT = range(5)
Kinds = npt.NDArray[np.uint8]  #: the kind of each code point up to :data:`_LAST_WORD`
#: Code points from here on are in no word.
_LAST_WORD = 0x3FFFF
#: Odd, so that its powers have inverses modulo 2^64. Steele and Vigna, arXiv 2001.05304, table 4.
_BASE = 0xD1342543DE82EF95
_BASE_INVERSE = pow(_BASE, -1, 1 << 64)
#: Characters that are hashed together: bounds memory.
CHARS_AT_ONCE = 1 << 17


@dataclass(frozen=True, slots=True)
class Ragged:
    """Rows of different lengths in one array: row ``i`` is ``values[starts[i]:starts[i + 1]]``."""

    values: Hashes  #: ``(total,)``
    starts: npt.NDArray[np.int64]  #: ``(rows + 1,)``

    def __len__(self) -> int:
        return len(self.starts) - 1

    def row(self, i: int) -> Hashes:
        """The values of one row."""
        return self.values[self.starts[i] : self.starts[i + 1]]

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """How many values each row has."""
        return np.diff(self.starts)


def word_hashes(texts: Sequence[str]) -> Ragged:
    """A hash for each word of each text, in order. Case and form count: give normalized texts."""
    return _hashes(texts, _words)


def figure_hashes(texts: Sequence[str]) -> Ragged:
    """A hash for each run of digits and of signs of formulas and amounts of each text, in order.

    A hyphen counts before a digit; signs that punctuate prose do not.
    """
    return _hashes(texts, _figures)


def _hashes(texts: Sequence[str], kinds: Callable[[], Kinds]) -> Ragged:
    values: list[Hashes] = []
    lengths: list[npt.NDArray[np.int64]] = []
    at = 0
    while at < len(texts):
        end, chars = at, 0
        while end < len(texts) and (end == at or chars + len(texts[end]) <= CHARS_AT_ONCE):
            chars += len(texts[end])
            end += 1
        found, counts = _hash_runs(texts[at:end], kinds())
        values.append(found)
        lengths.append(counts)
        at = end
    return _ragged(values, lengths)


def ngram_hashes(words: Ragged, n: int) -> Ragged:
    """A hash for each run of ``n`` words of each text, in order; a text of fewer words has none.

    Args:
        words: from :func:`word_hashes`.
        n: at least 1.
    """
    counts = np.maximum(words.lengths - (n - 1), 0)
    starts = np.concatenate(([0], np.cumsum(counts)))
    size = len(words.values) - n + 1
    if size <= 0:
        return Ragged(np.empty(0, np.uint64), starts.astype(np.int64))
    rolled = np.zeros(size, np.uint64)
    for i in range(n):
        rolled *= np.uint64(_BASE)
        rolled += words.values[i : i + size]
    # Runs that would reach over the end of a text start at its last n - 1 words.
    inside = np.ones(len(words.values), bool)
    for back in range(1, n):
        ends = words.starts[1:] - back
        inside[ends[ends >= words.starts[:-1]]] = False
    return Ragged(mixed(rolled[inside[:size]]), starts.astype(np.int64))


def text_hashes(words: Ragged) -> Hashes:
    """One hash for all words of each text, ``(texts,)``; 0 for a text without words."""
    position = np.arange(len(words.values), dtype=np.int64) - np.repeat(words.starts[:-1], words.lengths)
    weighted = mixed(words.values + mixed(position.astype(np.uint64)))
    total = np.concatenate((np.zeros(1, np.uint64), np.cumsum(weighted, dtype=np.uint64)))
    sums = total[words.starts[1:]] - total[words.starts[:-1]]
    return np.where(words.lengths > 0, mixed(sums + words.lengths.astype(np.uint64)), np.uint64(0))


def mixed(values: Hashes) -> Hashes:
    """Each value spread over all 64 bits, one to one (SplitMix64's finalizer, Steele et al. 2014)."""
    spread = values ^ (values >> np.uint64(30))
    spread *= np.uint64(0xBF58476D1CE4E5B9)
    spread ^= spread >> np.uint64(27)
    spread *= np.uint64(0x94D049BB133111EB)
    spread ^= spread >> np.uint64(31)
    return spread


def contains(sorted_hashes: Hashes, wanted: Hashes) -> npt.NDArray[np.bool_]:
    """Which of some hashes are in a sorted array of distinct ones, ``(wanted,)``."""
    if len(sorted_hashes) == 0:
        return np.zeros(len(wanted), bool)
    places = np.searchsorted(sorted_hashes, wanted)
    places[places == len(sorted_hashes)] = 0
    found: npt.NDArray[np.bool_] = sorted_hashes[places] == wanted
    return found


def _ragged(values: list[Hashes], lengths: list[npt.NDArray[np.int64]]) -> Ragged:
    counts = np.concatenate(lengths) if lengths else np.empty(0, np.int64)
    flat = np.concatenate(values) if values else np.empty(0, np.uint64)
    return Ragged(flat, np.concatenate(([0], np.cumsum(counts))).astype(np.int64))


def _hash_runs(texts: Sequence[str], kinds: Kinds) -> tuple[Hashes, npt.NDArray[np.int64]]:
    """Hashes of all runs of characters of some kind, and how many each text has.

    A run's hash is a polynomial of its characters modulo 2^64, read off one running sum over all texts.
    """
    joined = "\n".join(texts) + "\n"
    if joined.isascii():
        chars = np.frombuffer(joined.encode("ascii"), np.uint8)
        kind = kinds[chars]
    else:
        chars = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), np.uint32)
        kind = kinds[np.minimum(chars, _LAST_WORD)]
    filled, alone = kind != _GAP, kind == _ALONE
    filled[:-1] &= (kind[:-1] != _BEFORE_DIGIT) | (kind[1:] == _DIGIT)
    starts = filled.copy()
    starts[1:] &= ~filled[:-1] | alone[1:] | alone[:-1]
    firsts = np.flatnonzero(starts)
    ends = filled
    ends[:-1] &= ~filled[1:] | starts[1:]
    lasts = np.flatnonzero(ends)
    powers, inverses = _powers(len(chars))
    running = np.zeros(len(chars) + 1, np.uint64)
    np.cumsum((chars + np.uint64(1)) * powers, out=running[1:])
    sums = (running[lasts + 1] - running[firsts]) * inverses[firsts]
    bounds = np.concatenate(([0], np.cumsum([len(text) + 1 for text in texts])))
    return mixed(sums), np.diff(np.searchsorted(firsts, bounds))


@cache
def _words() -> Kinds:
    kinds = _kinds_of(_WORD, _LETTER)
    for low, high in _UNSPACED:
        kinds[low : high + 1][kinds[low : high + 1] == _LETTER] = _ALONE
    return kinds


@cache
def _figures() -> Kinds:
    kinds = _kinds_of(_DIGITS, _DIGIT)
    kinds[[ord(sign) for sign in _SIGNS]] = _LETTER
    kinds[ord("-")] = _BEFORE_DIGIT
    return kinds


def _kinds_of(pattern: re.Pattern[str], kind: int) -> Kinds:
    kinds = np.full(_LAST_WORD + 1, _GAP, np.uint8)
    for run in pattern.finditer("".join(map(chr, range(_LAST_WORD)))):
        kinds[run.start() : run.end()] = kind
    return kinds


_powers_kept: tuple[Hashes, Hashes] = (np.ones(1, np.uint64), np.ones(1, np.uint64))


def _powers(count: int) -> tuple[Hashes, Hashes]:
    """The first powers of the base and of its inverse; kept up to what one batch needs."""
    global _powers_kept  # noqa: PLW0603
    if len(_powers_kept[0]) < count:
        size = max(count, CHARS_AT_ONCE // 2)
        made = tuple(_powers_of(base, size) for base in (_BASE, _BASE_INVERSE))
        if size > 2 * CHARS_AT_ONCE:
            return made[0], made[1]
        _powers_kept = made[0], made[1]
    return _powers_kept[0][:count], _powers_kept[1][:count]


def _powers_of(base: int, count: int) -> Hashes:
    powers = np.full(count, base, np.uint64)
    powers[0] = 1
    return np.cumprod(powers)
